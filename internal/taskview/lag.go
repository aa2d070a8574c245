package taskview

import (
	"context"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/lua"
)

// StaleAfter is the lag after which the view counts as unhealthy.
const StaleAfter = 10 * time.Second

// Lag is how far a view is behind the log: the number of events that it has not applied, and the
// age of the oldest of them.
type Lag struct {
	Events int64
	Age    time.Duration
}

// Stale reports whether a view with this lag is unhealthy.
func (l Lag) Stale() bool { return l.Age > StaleAfter }

// String returns the lag as a sentence.
func (l Lag) String() string {
	return fmt.Sprintf("the task view is %d events behind the log, for %s", l.Events, l.Age.Round(time.Second))
}

type readViewLagArgs struct{ Checkpoint string }

var readViewLag = lua.Bind[readViewLagArgs]("read_view_lag")

// ReadLag returns the lag of a view with this checkpoint. It reads the log in Redis. Its errors are
// those of lua.Runner.Run.
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
