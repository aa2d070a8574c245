package taskview

import (
	"context"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/lua"
)

// StaleAfter is how old the oldest event that a view lacks may be before the view counts as
// unhealthy.
const StaleAfter = 10 * time.Second

// Lag is how far a view is behind the log: how many events it lacks, and how old the oldest of them
// is.
type Lag struct {
	Events int64
	Age    time.Duration
}

// Stale reports whether a view that is so far behind is unhealthy.
func (l Lag) Stale() bool { return l.Age > StaleAfter }

// String is the lag as a sentence.
func (l Lag) String() string {
	return fmt.Sprintf("the task view is %d events behind the log, for %s", l.Events, l.Age.Round(time.Second))
}

type readViewLagArgs struct{ Checkpoint string }

var readViewLag = lua.Bind[readViewLagArgs]("read_view_lag")

// ReadLag asks Redis how far a view with this checkpoint is behind. The errors are those of
// lua.Runner.Run.
func ReadLag(ctx context.Context, scripts lua.Scripts, checkpoint string) (Lag, error) {
	reply, err := readViewLag.Run(ctx, scripts, readViewLagArgs{Checkpoint: checkpoint})
	if err != nil {
		return Lag{}, err
	}
	values, _ := reply.([]any)
	if len(values) != 2 {
		return Lag{}, fmt.Errorf("read_view_lag returned %v", reply)
	}
	return Lag{lua.Integer(values[0]), time.Duration(lua.Integer(values[1])) * time.Millisecond}, nil
}
