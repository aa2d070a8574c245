package projections

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/minutes"
)

// workerRole is the role of an instance that takes tasks.
const workerRole = "worker"

// inMinute is what is counted in a minute, see package minutes.
type inMinute struct {
	minute int64
	what   string
}

// metricsFold is what a batch adds to the metrics.
type metricsFold struct {
	anew    bool             // the batch contains a flush: only what follows it counts
	last    *events.Envelope // nil: none
	byType  map[events.Type]*typeCount
	global  map[string]int64
	queues  map[string]int64
	scaling map[string]int64
	waitMax int64
	runMax  int64
	minutes map[inMinute]int64
	load    map[string]*load
}

type typeCount struct {
	count int64
	last  *events.Envelope
}

// load is what a batch does to the counters of one instance: first before, which counts only if the
// instance is already known, then presence, then after.
type load struct {
	before, after counters
	presence      presence
}

type counters struct{ assigned, claimed, completed, failed int64 }

type presence string

const (
	unchanged presence = ""
	joined    presence = "join"  // registered again
	fresh     presence = "new"   // registered for the first time
	gone      presence = "leave" // left; its counters are deleted
)

func newMetricsFold() *metricsFold {
	return &metricsFold{
		byType: map[events.Type]*typeCount{}, global: map[string]int64{}, queues: map[string]int64{},
		scaling: map[string]int64{}, minutes: map[inMinute]int64{}, load: map[string]*load{},
	}
}

func (f *metricsFold) add(e *events.Envelope, p *fact) error {
	if e.Type == events.TypeSystemFlushed {
		*f = *newMetricsFold()
		f.anew = true
	}
	f.last = e
	of := f.byType[e.Type]
	if of == nil {
		of = &typeCount{}
		f.byType[e.Type] = of
	}
	of.count++
	of.last = e

	switch e.Type {
	case events.TypeTaskCreated:
		f.global["tasksCreated"]++
		f.happened(e, minutes.Created)
		f.enterQueue(createdStatus(p))
	case events.TypeTaskUpdated:
		f.global["tasksUpdated"]++
	case events.TypeTaskDeleted, events.TypeTaskAssigned, events.TypeTaskUnassigned, events.TypeTaskClaimed,
		events.TypeTaskCompleted, events.TypeTaskFailed, events.TypeTaskDue, events.TypeTaskRetried, events.TypeTaskCancelled,
		events.TypeTaskUnblocked, events.TypeTaskBlocked, events.TypeTaskRevived:
		if p.err != nil {
			return p.err
		}
		f.leaveQueue(e.Type, p)
		f.enterQueue(statusAfter(e.Type, p))
		f.addTask(e, p)
	case events.TypeTaskTimedOut:
		f.global["tasksTimedOut"]++
	case events.TypeTaskProgressed:
		f.global["tasksProgressed"]++
	case events.TypeInstanceRegistered, events.TypeInstanceUnregistered, events.TypeInstanceFailed:
		if p.err != nil {
			return p.err
		}
		f.addInstance(e, p)
	case events.TypeLeaderElected:
		f.scaling["leaderElections"]++
	}
	return nil
}

func (f *metricsFold) leaveQueue(what events.Type, p *fact) {
	switch p.PreviousStatus {
	case events.StatusPending:
		f.queues["pending"]--
		if p.assigned(what) {
			f.queues["assigned"]--
		}
	case events.StatusInProgress:
		f.queues["inProgress"]--
		if what == events.TypeTaskAssigned || what == events.TypeTaskUnassigned {
			f.queues["requeued"]++
		}
	case events.StatusScheduled, events.StatusBlocked:
		f.queues[p.PreviousStatus]--
	}
}

// enterQueue counts a task in the queue of its new status. A finished task is in none.
func (f *metricsFold) enterQueue(status string) {
	switch status {
	case events.StatusPending:
		f.queues["pending"]++
	case events.StatusInProgress:
		f.queues["inProgress"]++
	case events.StatusScheduled, events.StatusBlocked:
		f.queues[status]++
	}
}

func (f *metricsFold) addTask(e *events.Envelope, task *fact) {
	switch e.Type {
	case events.TypeTaskDeleted:
		f.global["tasksDeleted"]++
	case events.TypeTaskAssigned:
		f.global["tasksAssigned"]++
		f.queues["assigned"]++
		f.counters(task.InstanceID).assigned++
		f.lose(task)
	case events.TypeTaskUnassigned:
		f.global["tasksUnassigned"]++
		f.lose(task)
	case events.TypeTaskRetried:
		f.global["tasksRetried"]++
	case events.TypeTaskCancelled:
		f.global["tasksCancelled"]++
	case events.TypeTaskRevived:
		f.global["tasksRevived"]++
	case events.TypeTaskClaimed:
		f.global["tasksClaimed"]++
		f.queues["waitCount"]++
		f.queues["waitTotalMs"] += task.Waited
		f.waitMax = max(f.waitMax, task.Waited)
		f.happened(e, minutes.Wait+strconv.Itoa(minutes.Bucket(task.Waited)))
		f.counters(task.WorkerID).claimed++
	case events.TypeTaskCompleted:
		f.global["tasksCompleted"]++
		f.happened(e, minutes.Completed)
		f.counters(task.WorkerID).completed++
		f.finish(e, task)
	case events.TypeTaskFailed:
		f.global["tasksFailed"]++
		f.happened(e, minutes.Failed)
		f.counters(task.WorkerID).failed++
		f.finish(e, task)
		if bytes.HasPrefix(task.Error, []byte(`{"reason":"WORKER_LOST",`)) {
			f.lose(task) // once too often
		}
	}
}

// lose counts a loss of a task with its worker, if there was one.
func (f *metricsFold) lose(task *fact) {
	if task.Losses > 0 {
		f.global["tasksLost"]++
	}
}

func (f *metricsFold) finish(e *events.Envelope, task *fact) {
	f.global["runCount"]++
	f.global["runTotalMs"] += task.Duration
	f.runMax = max(f.runMax, task.Duration)
	f.happened(e, minutes.Run+strconv.Itoa(minutes.Bucket(task.Duration)))
}

// happened counts an event in its minute.
func (f *metricsFold) happened(e *events.Envelope, what string) {
	f.minutes[inMinute{minutes.Of(e.Timestamp), what}]++
}

func (f *metricsFold) addInstance(e *events.Envelope, instance *fact) {
	l := f.loadOf(instance.ID)
	switch e.Type {
	case events.TypeInstanceRegistered:
		f.scaling["instancesRegistered"]++
		if instance.Resumed {
			f.scaling["instancesResumed"]++
		}
		if instance.PreviousRoles == nil {
			f.scaling["instances"]++
			*l = load{presence: fresh}
		} else if l.presence == unchanged {
			l.presence = joined
		}
		f.scaling["workers"] += isWorker(instance.Roles) - isWorker(instance.PreviousRoles)
	default:
		if e.Type == events.TypeInstanceFailed {
			f.scaling["instancesFailed"]++
		} else {
			f.scaling["instancesUnregistered"]++
		}
		f.scaling["instances"]--
		f.scaling["workers"] -= isWorker(instance.Roles)
		f.scaling["tasksReassigned"] += instance.TasksReassigned
		*l = load{presence: gone}
	}
}

func (f *metricsFold) loadOf(instance string) *load {
	l := f.load[instance]
	if l == nil {
		l = &load{}
		f.load[instance] = l
	}
	return l
}

// counters returns the counters of an instance's tasks. After the instance left they are a dummy,
// because its counters are deleted and a task that it finishes late must not recreate them.
func (f *metricsFold) counters(instance string) *counters {
	switch l := f.loadOf(instance); l.presence {
	case unchanged:
		return &l.before
	case gone:
		return &counters{}
	default:
		return &l.after
	}
}

func isWorker(roles []string) int64 {
	if slices.Contains(roles, workerRole) {
		return 1
	}
	return 0
}

// changes returns the script's arguments: kind, hash, field, value.
func (f *metricsFold) changes() []any {
	args := make([]any, 0, 256)
	put := func(kind, hash, field, value string) { args = append(args, kind, hash, field, value) }
	var processed int64
	for _, typ := range slices.Sorted(maps.Keys(f.byType)) {
		of := f.byType[typ]
		processed += of.count
		hash := "events:" + string(typ)
		put("+", "global", "events."+string(typ), number(of.count))
		put("+", hash, "count", number(of.count))
		put("=", hash, "lastId", of.last.ID.String())
		put("=", hash, "lastAt", of.last.Time().Format(events.TimeLayout))
	}
	if processed > 0 {
		put("+", "global", "eventsProcessed", number(processed))
		put("=", "global", "lastEvent", string(f.last.Type))
		put("=", "global", "lastEventId", f.last.ID.String())
		put("=", "global", "lastEventAt", f.last.Time().Format(events.TimeLayout))
	}
	for hash, fields := range map[string]map[string]int64{"global": f.global, "queues": f.queues, "scaling": f.scaling} {
		for field, by := range fields {
			put("+", hash, field, number(by))
		}
	}
	if f.queues["waitCount"] > 0 {
		put("^", "queues", "waitMaxMs", number(f.waitMax))
	}
	if f.global["runCount"] > 0 {
		put("^", "global", "runMaxMs", number(f.runMax))
	}
	// Oldest first: if two minutes of the batch share a slot, the newer one must win.
	byMinute := func(a, b inMinute) int { return cmp.Or(cmp.Compare(a.minute, b.minute), cmp.Compare(a.what, b.what)) }
	for _, m := range slices.SortedFunc(maps.Keys(f.minutes), byMinute) {
		put("@", "minutes", minutes.Field(m.what, m.minute), minutes.Value(m.minute, f.minutes[m]))
	}
	for instance, l := range f.load {
		l.before.changes(instance, put)
		if l.presence != unchanged {
			put(string(l.presence), "scaling", instance, "")
		}
		l.after.changes(instance, put)
	}
	return args
}

func (c counters) changes(instance string, put func(kind, hash, field, value string)) {
	if c.assigned != 0 {
		put("?", "scaling", "assigned."+instance, number(c.assigned))
	}
	if c.claimed != 0 {
		put("?", "scaling", "claimed."+instance, number(c.claimed))
	}
	if c.completed != 0 {
		put("?", "scaling", "completed."+instance, number(c.completed))
	}
	if c.failed != 0 {
		put("?", "scaling", "failed."+instance, number(c.failed))
	}
}
