package metrics

import (
	"context"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/lua"
)

// Gauges are what Redis tells of a namespace at one moment, for whoever watches it. What is nil could not be told.
type Gauges struct {
	// Seq is the last event's, Kept how many entries the log has.
	Seq, Kept int64
	// Fenced says that a flush keeps commands off.
	Fenced bool
	// Instances and Workers are those that live, Failed instances that failed less than five minutes ago and are not back.
	Instances, Workers, Failed int64
	// Open tasks are not finished. Pending ones ask for no roles and have no owner, Waiting ones ask for some; Orphaned ones
	// belong to an instance that is gone (those in the oldest 100 queues of such).
	Open, Pending, Waiting, Orphaned int64
	// RoleSets is how many sets of roles open tasks ask for, OrphanQueues how many queues of gone instances there are.
	RoleSets, OrphanQueues int64
	// Tasks counts tasks by status, and Assigned those pending ones that have an owner, as the state projection has them.
	Tasks    map[string]int64
	Assigned *int64
	// Events counts events by type since the last flush, Waits the claims and what the tasks had waited, Runs what was
	// finished and how long it ran, as the metrics projection has them.
	Events      map[events.Type]int64
	Waits, Runs *Total
	// Lags tells by projection how far it is behind.
	Lags map[string]Lag
}

// Total is how many there were, and how long they took together.
type Total struct {
	Count int64
	Sum   time.Duration
}

// Lag is how many events of the log a projection has not applied, and how old the first of them is.
type Lag struct {
	Events int64
	Age    time.Duration
}

var gaugesScript = lua.Named("read_gauges")

// ReadGauges reads them, in one round trip. It is no command: it counts nowhere. view is the checkpoint of the task view, ""
// when that is not known. The error is lua.ErrUnavailable when Redis does not answer in time.
func ReadGauges(ctx context.Context, scripts lua.Scripts, ttl time.Duration, view string) (*Gauges, error) {
	types := events.Types()
	args := []any{ttl.Milliseconds(), view}
	for _, t := range types {
		args = append(args, string(t))
	}
	reply, err := scripts.Run(ctx, gaugesScript, args...)
	if err != nil {
		return nil, err
	}
	values, _ := reply.([]any)
	if len(values) != 16 {
		return nil, fmt.Errorf("read_gauges returned %d values, not 16", len(values))
	}
	g := &Gauges{
		Seq: lua.Integer(values[0]), Kept: lua.Integer(values[1]), Fenced: lua.Integer(values[2]) == 1,
		Instances: lua.Integer(values[3]), Workers: lua.Integer(values[4]), Failed: lua.Integer(values[5]),
		Open: lua.Integer(values[6]), Pending: lua.Integer(values[7]), Waiting: lua.Integer(values[8]), RoleSets: lua.Integer(values[9]),
		Orphaned: lua.Integer(values[10]), OrphanQueues: lua.Integer(values[11]), Lags: map[string]Lag{},
	}
	// What a projection has not begun to count is not known, unless there is nothing to count.
	if state, _ := values[12].([]any); len(state) == 6 && (state[0] != nil || g.Seq == 0) {
		g.Tasks = map[string]int64{}
		for i, status := range []string{events.StatusPending, events.StatusInProgress, events.StatusCompleted, events.StatusFailed} {
			g.Tasks[status] = lua.Integer(state[1+i])
		}
		g.Assigned = new(lua.Integer(state[5]))
	}
	if totals, _ := values[13].([]any); len(totals) == 5 && (totals[0] != nil || g.Seq == 0) {
		g.Waits = &Total{lua.Integer(totals[1]), time.Duration(lua.Integer(totals[2])) * time.Millisecond}
		g.Runs = &Total{lua.Integer(totals[3]), time.Duration(lua.Integer(totals[4])) * time.Millisecond}
		g.Events = map[events.Type]int64{}
		counts, _ := values[14].([]any)
		for i, n := range counts {
			g.Events[types[i]] = lua.Integer(n)
		}
	}
	lags, _ := values[15].([]any)
	for i, name := range []string{"state", "metrics", "tasks"} {
		if i < len(lags) {
			if lag, _ := lags[i].([]any); len(lag) == 2 {
				g.Lags[name] = Lag{lua.Integer(lag[0]), time.Duration(lua.Integer(lag[1])) * time.Millisecond}
			}
		}
	}
	return g, nil
}
