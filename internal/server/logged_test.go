package server

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/claudebench/claudebench/internal/config"
)

// told is a log that calls then, in another goroutine, when the first line that contains want is
// written.
type told struct {
	want string
	then func()

	once sync.Once
	mu   sync.Mutex
	text strings.Builder
}

func (l *told) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(line)
	if l.then != nil && strings.Contains(string(line), l.want) {
		l.once.Do(func() { go l.then() })
	}
	return len(line), nil
}

func (l *told) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// startLogged is start with a log.
func startLogged(t *testing.T, cfg *config.Config, log *told) *client {
	t.Helper()
	s, err := Start(t.Context(), cfg, Options{Logger: slog.New(slog.NewTextHandler(log, nil)), BreakerOpen: briefly})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return newClient(t, s.Addr())
}
