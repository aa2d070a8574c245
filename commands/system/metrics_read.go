package system

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/lua"
)

// measured is what get_system_metrics replied.
type measured struct {
	clock           int64 // ms since 1970
	global          map[string]int64
	text            map[string]string // the fields of global that are no numbers
	open, instances int64

	// The rest is there when it was asked for in detail.
	workers, seq    int64
	checkpoint      string
	queues, scaling map[string]int64
	pending         int64
	roles           []RoleQueue
	orphans         int64
	orphanQueues    int64
	failed          int64
	leader          string
	term            int64
}

func readMetrics(reply any, detailed bool) (*measured, error) {
	values, _ := reply.([]any)
	want := 4
	if detailed {
		want = 15
	}
	if len(values) != want {
		return nil, fmt.Errorf("get_system_metrics returned %d values, not %d", len(values), want)
	}
	m := &measured{clock: lua.Integer(values[0]), open: lua.Integer(values[2]), instances: lua.Integer(values[3])}
	m.global, m.text = fields(values[1])
	if !detailed {
		return m, nil
	}
	m.workers, m.seq = lua.Integer(values[4]), lua.Integer(values[5])
	m.checkpoint, _ = values[6].(string)
	m.queues, _ = fields(values[7])
	m.scaling, _ = fields(values[8])
	m.pending, m.orphans, m.orphanQueues, m.failed = lua.Integer(values[9]), lua.Integer(values[11]), lua.Integer(values[12]), lua.Integer(values[13])
	m.roles = []RoleQueue{}
	sets, _ := values[10].([]any)
	for i := 0; i+1 < len(sets); i += 2 {
		m.roles = append(m.roles, RoleQueue{Roles: jsontext.Strings([]byte(fmt.Sprint(sets[i]))), Tasks: lua.Integer(sets[i+1])})
	}
	if leader, _ := values[14].([]any); len(leader) == 3 {
		m.term = lua.Integer(leader[1])
		if id, ok := leader[0].(string); ok && lua.Integer(leader[2]) >= m.clock {
			m.leader = id
		}
	}
	return m, nil
}

// fields reads a hash in a reply: the numbers, and what is none.
func fields(reply any) (numbers map[string]int64, text map[string]string) {
	values, _ := reply.([]any)
	numbers, text = map[string]int64{}, map[string]string{}
	for i := 0; i+1 < len(values); i += 2 {
		name, value := fmt.Sprint(values[i]), fmt.Sprint(values[i+1])
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			numbers[name] = n
		} else {
			text[name] = value
		}
	}
	return numbers, text
}

// throughput is how many tasks were finished in the sliding minute: those of this calendar minute, and of
// the one before the part that the sliding minute still covers.
func (m *measured) throughput() float64 {
	const minute = int64(time.Minute / time.Millisecond)
	this := m.clock / minute
	passed := float64(m.clock%minute) / float64(minute)
	return rounded(float64(m.finished(this)) + float64(m.finished(this-1))*(1-passed))
}

// finished is how many tasks were finished in a minute since 1970. The projection keeps them in a ring of
// 60 fields, `<minute>:<tasks>` each.
func (m *measured) finished(minute int64) int64 {
	of, count, _ := strings.Cut(m.text["finished."+strconv.FormatInt(minute%60, 10)], ":")
	if of != strconv.FormatInt(minute, 10) {
		return 0
	}
	return lua.Integer(count)
}

// detail fills in what the log and the queues tell in detail.
func (m *measured) detail(r *MetricsResult) {
	r.Queue = &QueueMetrics{
		Pending: m.pending, Roles: m.roles, Orphaned: m.orphans, OrphanQueues: m.orphanQueues,
		Assigned: m.queues["assigned"], InProgress: m.queues["inProgress"],
		Claims: m.queues["waitCount"], AverageWaitMs: mean(m.queues["waitTotalMs"], m.queues["waitCount"]),
		MaxWaitMs: m.queues["waitMaxMs"], Requeued: m.queues["requeued"],
	}
	r.Global = &GlobalMetrics{
		Events: map[string]int64{}, LastEventID: m.text["lastEventId"], LastEventAt: m.text["lastEventAt"],
		TasksCreated: m.global["tasksCreated"], TasksUpdated: m.global["tasksUpdated"], TasksDeleted: m.global["tasksDeleted"],
		TasksAssigned: m.global["tasksAssigned"], TasksUnassigned: m.global["tasksUnassigned"], TasksClaimed: m.global["tasksClaimed"],
		AverageRunMs: mean(m.global["runTotalMs"], m.global["runCount"]), MaxRunMs: m.global["runMaxMs"],
	}
	for field, n := range m.global {
		if typ, ok := strings.CutPrefix(field, "events."); ok {
			r.Global.Events[typ] = n
		}
	}
	r.Scaling = &ScalingMetrics{
		Instances: m.scaling["instances"], Workers: m.scaling["workers"],
		InstancesRegistered: m.scaling["instancesRegistered"], InstancesResumed: m.scaling["instancesResumed"],
		InstancesUnregistered: m.scaling["instancesUnregistered"], InstancesFailed: m.scaling["instancesFailed"],
		LeaderElections: m.scaling["leaderElections"], TasksReassigned: m.scaling["tasksReassigned"],
		OpenTasksPerWorker: mean(m.open, m.workers),
	}
	_, applied, _ := strings.Cut(m.checkpoint, "-")
	r.Current = &CurrentMetrics{
		Time: time.UnixMilli(m.clock).UTC().Format(events.TimeLayout), Workers: m.workers, Leader: m.leader, Term: m.term,
		LastSeq: m.seq, EventsLag: max(m.seq-lua.Integer(applied), 0),
	}
}

// mean is a total divided by its count, 0 when there is none.
func mean(total, count int64) float64 {
	if count == 0 {
		return 0
	}
	return rounded(float64(total) / float64(count))
}
