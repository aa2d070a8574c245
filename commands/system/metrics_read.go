package system

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/minutes"
	"github.com/claudebench/claudebench/lua"
)

// measured is the reply of get_system_metrics.
type measured struct {
	Clock     int64    `json:"clock,string"` // ms since 1970
	Global    counters `json:"global"`
	Minutes   counters `json:"minutes"`
	Open      int64    `json:"open"`
	Instances int64    `json:"instances"`
	Pauses    string   `json:"pauses"` // JSON

	// The rest is set only if the script's argument detailed is set.
	Workers      int64            `json:"workers"`
	Seq          int64            `json:"seq,string"`
	Checkpoint   string           `json:"checkpoint"`
	Queues       counters         `json:"queues"`
	Scaling      counters         `json:"scaling"`
	Pending      int64            `json:"pending"`
	Scheduled    int64            `json:"scheduled"`
	Blocked      int64            `json:"blocked"`
	Roles        map[string]int64 `json:"roles"` // tasks by set of roles
	Orphaned     int64            `json:"orphaned"`
	OrphanQueues int64            `json:"orphanQueues"`
	Failed       int64            `json:"failed"`
	Leader       struct {
		ID    string `json:"id"`
		Term  int64  `json:"term,string"`
		Until int64  `json:"until,string"` // ms since 1970
	} `json:"leader"`
}

// counters are the fields of a hash that the metrics projection writes.
type counters map[string]string

// number returns a field as an integer, or 0 if the field is missing.
func (c counters) number(field string) int64 { return lua.Integer(c[field]) }

// throughput returns the number of tasks that were finished in the last minute, which slides over
// two calendar minutes. It counts all tasks of this calendar minute. Of those of the previous one
// it counts the share that the sliding minute still covers.
func (m *measured) throughput() float64 {
	const minute = int64(time.Minute / time.Millisecond)
	this := minutes.Of(m.Clock)
	passed := float64(m.Clock%minute) / float64(minute)
	return rounded(float64(m.finished(this)) + float64(m.finished(this-1))*(1-passed))
}

// finished returns the number of tasks that were finished in a minute.
func (m *measured) finished(minute int64) int64 {
	return minutes.Count(m.Minutes, minutes.Completed, minute) + minutes.Count(m.Minutes, minutes.Failed, minute)
}

// lastHour returns what happened in each of the last minutes, the current one last.
func (m *measured) lastHour() []api.MinuteMetrics {
	hour := make([]api.MinuteMetrics, minutes.Kept)
	first := minutes.Of(m.Clock) - minutes.Kept + 1
	for i := range hour {
		minute := first + int64(i)
		hour[i] = api.MinuteMetrics{
			Time:      time.UnixMilli(minute * time.Minute.Milliseconds()).UTC().Format(events.TimeLayout),
			Created:   minutes.Count(m.Minutes, minutes.Created, minute),
			Completed: minutes.Count(m.Minutes, minutes.Completed, minute),
			Failed:    minutes.Count(m.Minutes, minutes.Failed, minute),
			Wait:      m.times(minutes.Wait, minute),
			Run:       m.times(minutes.Run, minute),
		}
	}
	return hour
}

// times returns the median and the 95th percentile of a time in a minute, nil if there was none.
func (m *measured) times(what string, minute int64) *api.Times {
	found := minutes.Quantiles(m.Minutes, what, minute, 0.5, 0.95)
	if found == nil {
		return nil
	}
	return &api.Times{P50: found[0], P95: found[1]}
}

// detail sets the detailed members of the result that come from the log and the queues.
func (m *measured) detail(r *api.MetricsResult) {
	r.Queue = &api.QueueMetrics{
		Pending: m.Pending, Roles: m.roleQueues(), Orphaned: m.Orphaned, OrphanQueues: m.OrphanQueues,
		Assigned: m.Queues.number("assigned"), InProgress: m.Queues.number("inProgress"),
		Claims: m.Queues.number("waitCount"), AverageWaitMs: mean(m.Queues.number("waitTotalMs"), m.Queues.number("waitCount")),
		MaxWaitMs: m.Queues.number("waitMaxMs"), Requeued: m.Queues.number("requeued"),
		Scheduled: m.Scheduled, Blocked: m.Blocked,
	}
	r.Global = &api.GlobalMetrics{
		Events: map[string]int64{}, LastEventID: m.Global["lastEventId"], LastEventAt: m.Global["lastEventAt"],
		TasksCreated: m.Global.number("tasksCreated"), TasksUpdated: m.Global.number("tasksUpdated"), TasksDeleted: m.Global.number("tasksDeleted"),
		TasksAssigned: m.Global.number("tasksAssigned"), TasksUnassigned: m.Global.number("tasksUnassigned"), TasksClaimed: m.Global.number("tasksClaimed"),
		TasksRetried: m.Global.number("tasksRetried"), TasksTimedOut: m.Global.number("tasksTimedOut"),
		TasksLost: m.Global.number("tasksLost"), TasksCancelled: m.Global.number("tasksCancelled"),
		AverageRunMs: mean(m.Global.number("runTotalMs"), m.Global.number("runCount")), MaxRunMs: m.Global.number("runMaxMs"),
	}
	for field := range m.Global {
		if typ, ok := strings.CutPrefix(field, "events."); ok {
			r.Global.Events[typ] = m.Global.number(field)
		}
	}
	r.Scaling = &api.ScalingMetrics{
		Instances: m.Scaling.number("instances"), Workers: m.Scaling.number("workers"),
		InstancesRegistered: m.Scaling.number("instancesRegistered"), InstancesResumed: m.Scaling.number("instancesResumed"),
		InstancesUnregistered: m.Scaling.number("instancesUnregistered"), InstancesFailed: m.Scaling.number("instancesFailed"),
		LeaderElections: m.Scaling.number("leaderElections"), TasksReassigned: m.Scaling.number("tasksReassigned"),
		OpenTasksPerWorker: mean(m.Open, m.Workers),
	}
	_, applied, _ := strings.Cut(m.Checkpoint, "-")
	leader := m.Leader.ID
	if m.Leader.Until < m.Clock {
		leader = "" // its lease has ended
	}
	r.Current = &api.CurrentMetrics{
		Time: time.UnixMilli(m.Clock).UTC().Format(events.TimeLayout), Workers: m.Workers, Leader: leader, Term: m.Leader.Term,
		LastSeq: m.Seq, EventsLag: max(m.Seq-lua.Integer(applied), 0),
	}
}

// roleQueues returns the queues of sets of roles, ordered by set.
func (m *measured) roleQueues() []api.RoleQueue {
	queues := []api.RoleQueue{}
	for _, set := range slices.Sorted(maps.Keys(m.Roles)) {
		queues = append(queues, api.RoleQueue{Roles: jsontext.Strings([]byte(set)), Tasks: m.Roles[set]})
	}
	return queues
}

// mean returns a total divided by its count, or 0 if the count is 0.
func mean(total, count int64) float64 {
	if count == 0 {
		return 0
	}
	return rounded(float64(total) / float64(count))
}
