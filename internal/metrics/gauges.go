package metrics

import (
	"context"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// Gauges are the values that Redis has for a namespace at one moment. Nil fields are unknown.
type Gauges struct {
	// Seq is the last event's seq. Kept is the number of entries in the log.
	Seq, Kept int64
	// Fenced reports that a flush rejects commands.
	Fenced bool
	// Instances and Workers count live instances. Failed counts instances that failed less than
	// five minutes ago and have not come back.
	Instances, Workers, Failed int64
	// Open counts tasks that are not finished. Pending counts those that require no roles and have
	// no owner, Waiting those that require some. Orphaned counts tasks of instances that are gone,
	// in the oldest 100 orphans' queues.
	Open, Pending, Waiting, Orphaned int64
	// RoleSets is how many sets of roles open tasks require. OrphanQueues is how many queues of
	// gone instances there are.
	RoleSets, OrphanQueues int64
	// Paused is how many pauses of queues there are; one of them may be that of all queues.
	Paused int64
	// Schedules counts schedules, and Ticks those that are not paused. Lateness is how late the tick
	// is that waits to be fired, or else how late the last one was. It is nil before the first tick.
	Schedules, Ticks int64
	Lateness         *time.Duration
	// Scheduled and Blocked count the tasks that wait for a time, and those that wait for other tasks
	// or for their turn. Late is for how long the earliest scheduled task is due.
	Scheduled, Blocked int64
	Late               time.Duration
	// Tasks counts tasks by status, and Assigned the pending ones with an owner. Both come from the
	// state projection.
	Tasks    map[string]int64
	Assigned *int64
	// Events counts events by type since the last flush. Waits counts claims and sums how long the
	// tasks had waited. Runs counts finished tasks and sums how long they ran. All come from the
	// metrics projection.
	Events      map[events.Type]int64
	Waits, Runs *Total
	// Tries counts what happened to tries since the last flush; nil as Waits.
	Tries *Tries
	// Lags is the lag of each projection by name.
	Lags map[string]Lag
}

// Tries are numbers of tries that were followed by another one, that timed out, that were lost with
// their worker, and of cancelled tasks.
type Tries struct{ Retried, TimedOut, Lost, Cancelled int64 }

// Total is a count, and the sum of durations.
type Total struct {
	Count int64
	Sum   time.Duration
}

// Lag is how many events of the log a projection has not applied, and the age of the first of them.
type Lag struct {
	Events int64
	Age    time.Duration
}

type readGaugesArgs struct {
	TTL         int64 // ms
	View, Index string
	Types       []string
}

var readGauges = lua.Bind[readGaugesArgs]("read_gauges")

// ReadGauges reads the values in one round trip. It is not a command, so it is not counted. at has the
// checkpoints in Postgres. The error is lua.ErrUnavailable if Redis does not reply in time.
func ReadGauges(ctx context.Context, scripts lua.Scripts, ttl time.Duration, at taskview.Checkpoints) (*Gauges, error) {
	types := events.Types()
	args := readGaugesArgs{TTL: ttl.Milliseconds(), View: at.Tasks, Index: at.Events}
	for _, t := range types {
		args.Types = append(args.Types, string(t))
	}
	var r gaugesReply
	if err := readGauges.Decode(ctx, scripts, args, &r); err != nil {
		return nil, err
	}
	g := &Gauges{
		Seq: r.Seq, Kept: r.Kept, Fenced: r.Fenced, Instances: r.Instances, Workers: r.Workers, Failed: r.Failed,
		Open: r.Open, Pending: r.Pending, Waiting: r.Waiting, RoleSets: r.RoleSets, Orphaned: r.Orphaned, OrphanQueues: r.OrphanQueues, Paused: r.Paused,
		Scheduled: r.Scheduled, Blocked: r.Blocked, Late: time.Duration(r.Late) * time.Millisecond,
		Schedules: r.Schedules, Ticks: r.Ticks, Lags: map[string]Lag{},
	}
	if r.Lateness != nil {
		g.Lateness = new(time.Duration(*r.Lateness) * time.Millisecond)
	}
	// Counts of a projection that has not started are unknown, unless the log is empty.
	if r.State["checkpoint"] != "" || g.Seq == 0 {
		g.Tasks = map[string]int64{}
		for _, status := range api.TaskStatuses {
			g.Tasks[status] = lua.Integer(r.State["tasks."+status])
		}
		g.Assigned = new(lua.Integer(r.State["tasks.assigned"]))
	}
	if r.Metrics.Checkpoint != "" || g.Seq == 0 {
		g.Waits = total(r.Metrics.Queues, "wait")
		g.Runs = total(r.Metrics.Runs, "run")
		tries := r.Metrics.Tries
		g.Tries = &Tries{
			Retried: lua.Integer(tries["tasksRetried"]), TimedOut: lua.Integer(tries["tasksTimedOut"]),
			Lost: lua.Integer(tries["tasksLost"]), Cancelled: lua.Integer(tries["tasksCancelled"]),
		}
		g.Events = map[events.Type]int64{}
		for _, t := range types {
			g.Events[t] = lua.Integer(r.Metrics.Events["events."+string(t)])
		}
	}
	for name, lag := range r.Lags {
		g.Lags[name] = Lag{lag.Events, time.Duration(lag.MS) * time.Millisecond}
	}
	return g, nil
}

// gaugesReply is the reply of read_gauges.
type gaugesReply struct {
	Seq          int64             `json:"seq,string"`
	Kept         int64             `json:"kept"`
	Fenced       bool              `json:"fenced"`
	Instances    int64             `json:"instances"`
	Workers      int64             `json:"workers"`
	Failed       int64             `json:"failed"`
	Open         int64             `json:"open"`
	Pending      int64             `json:"pending"`
	Waiting      int64             `json:"waiting"`
	RoleSets     int64             `json:"roleSets"`
	Orphaned     int64             `json:"orphaned"`
	OrphanQueues int64             `json:"orphanQueues"`
	Scheduled    int64             `json:"scheduled"`
	Blocked      int64             `json:"blocked"`
	Late         int64             `json:"late"` // ms
	Paused       int64             `json:"paused"`
	Schedules    int64             `json:"schedules"`
	Ticks        int64             `json:"ticks"`
	Lateness     *int64            `json:"lateness"` // ms
	State        map[string]string `json:"state"`
	Metrics      struct {
		Checkpoint string            `json:"checkpoint"`
		Queues     map[string]string `json:"queues"`
		Runs       map[string]string `json:"runs"`
		Tries      map[string]string `json:"tries"`
		Events     map[string]string `json:"events"`
	} `json:"metrics"`
	Lags map[string]struct {
		Events int64 `json:"events"`
		MS     int64 `json:"ms"`
	} `json:"lags"`
}

func total(fields map[string]string, name string) *Total {
	return &Total{lua.Integer(fields[name+"Count"]), time.Duration(lua.Integer(fields[name+"TotalMs"])) * time.Millisecond}
}
