package flush_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/flush"
	"github.com/claudebench/claudebench/lua"
)

// goneAfterwards loses the reply of the first script, and is unavailable for all others.
type goneAfterwards struct {
	lua.Scripts
	asked int
}

func (g *goneAfterwards) Run(context.Context, *lua.Script, ...any) (any, error) {
	if g.asked++; g.asked == 1 {
		return nil, lua.ErrOutcomeUnknown
	}
	return nil, lua.ErrUnavailable
}

// If a flush may have begun, its error must not mean that nothing has changed.
func TestAFlushThatMayHaveBegun(t *testing.T) {
	t.Parallel()
	scripts := &goneAfterwards{}
	f := flush.New(flush.Options{Scripts: scripts, Logger: slog.New(slog.DiscardHandler)})
	defer f.Stop()
	_, err := f.Flush(t.Context(), flush.Order{Timeout: 100 * time.Millisecond})
	if !errors.Is(err, lua.ErrOutcomeUnknown) || scripts.asked < 2 {
		t.Errorf("after %d attempts: %v", scripts.asked, err)
	}
}
