package system

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/lua"
)

// measured is the reply of get_system_metrics.
type measured struct {
	Clock     int64    `json:"clock,string"` // ms since 1970
	Global    counters `json:"global"`
	Open      int64    `json:"open"`
	Instances int64    `json:"instances"`

	// The rest is there when it was asked for in detail.
	Workers      int64            `json:"workers"`
	Seq          int64            `json:"seq,string"`
	Checkpoint   string           `json:"checkpoint"`
	Queues       counters         `json:"queues"`
	Scaling      counters         `json:"scaling"`
	Pending      int64            `json:"pending"`
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

// number returns a field as an integer, 0 where there is none.
func (c counters) number(field string) int64 { return lua.Integer(c[field]) }

// throughput is how many tasks were finished in the sliding minute: those of this calendar minute,
// and of the one before the part that the sliding minute still covers.
func (m *measured) throughput() float64 {
	const minute = int64(time.Minute / time.Millisecond)
	this := m.Clock / minute
	passed := float64(m.Clock%minute) / float64(minute)
	return rounded(float64(m.finished(this)) + float64(m.finished(this-1))*(1-passed))
}

// finished is how many tasks were finished in a minute since 1970. The projection keeps them in a
// ring of 60 fields, `<minute>:<tasks>` each.
func (m *measured) finished(minute int64) int64 {
	of, count, _ := strings.Cut(m.Global["finished."+strconv.FormatInt(minute%60, 10)], ":")
	if of != strconv.FormatInt(minute, 10) {
		return 0
	}
	return lua.Integer(count)
}

// detail fills in what the log and the queues tell in detail.
func (m *measured) detail(r *MetricsResult) {
	r.Queue = &QueueMetrics{
		Pending: m.Pending, Roles: m.roleQueues(), Orphaned: m.Orphaned, OrphanQueues: m.OrphanQueues,
		Assigned: m.Queues.number("assigned"), InProgress: m.Queues.number("inProgress"),
		Claims: m.Queues.number("waitCount"), AverageWaitMs: mean(m.Queues.number("waitTotalMs"), m.Queues.number("waitCount")),
		MaxWaitMs: m.Queues.number("waitMaxMs"), Requeued: m.Queues.number("requeued"),
	}
	r.Global = &GlobalMetrics{
		Events: map[string]int64{}, LastEventID: m.Global["lastEventId"], LastEventAt: m.Global["lastEventAt"],
		TasksCreated: m.Global.number("tasksCreated"), TasksUpdated: m.Global.number("tasksUpdated"), TasksDeleted: m.Global.number("tasksDeleted"),
		TasksAssigned: m.Global.number("tasksAssigned"), TasksUnassigned: m.Global.number("tasksUnassigned"), TasksClaimed: m.Global.number("tasksClaimed"),
		AverageRunMs: mean(m.Global.number("runTotalMs"), m.Global.number("runCount")), MaxRunMs: m.Global.number("runMaxMs"),
	}
	for field := range m.Global {
		if typ, ok := strings.CutPrefix(field, "events."); ok {
			r.Global.Events[typ] = m.Global.number(field)
		}
	}
	r.Scaling = &ScalingMetrics{
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
	r.Current = &CurrentMetrics{
		Time: time.UnixMilli(m.Clock).UTC().Format(events.TimeLayout), Workers: m.Workers, Leader: leader, Term: m.Leader.Term,
		LastSeq: m.Seq, EventsLag: max(m.Seq-lua.Integer(applied), 0),
	}
}

// roleQueues lists the queues of sets of roles, by set.
func (m *measured) roleQueues() []RoleQueue {
	queues := []RoleQueue{}
	for _, set := range slices.Sorted(maps.Keys(m.Roles)) {
		queues = append(queues, RoleQueue{Roles: jsontext.Strings([]byte(set)), Tasks: m.Roles[set]})
	}
	return queues
}

// mean is a total divided by its count, 0 when there is none.
func mean(total, count int64) float64 {
	if count == 0 {
		return 0
	}
	return rounded(float64(total) / float64(count))
}
