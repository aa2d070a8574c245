package fold

import (
	"iter"
	"maps"
	"slices"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/projections"
)

// This file has what a reader of the fold calls.

// Gap is a range of missing events, by seq.
type Gap struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Events returns how many events were folded.
func (f *Fold) Events() int64 { return f.count }

// Base returns the seq of the first event that the log has, or of the last flush.
func (f *Fold) Base() int64 { return f.base }

// Whole reports whether the log has every event about every object. Otherwise objects may be older than
// the log.
func (f *Fold) Whole() bool { return f.whole }

// Last returns the ID of the last event.
func (f *Fold) Last() events.ID { return f.last }

// LastType returns the type of the last event, "" if it could not be read.
func (f *Fold) LastType() events.Type { return f.lastType }

// Seq returns the seq of the last event.
func (f *Fold) Seq() int64 { return f.last.Seq }

// Gaps returns the first ranges of missing events.
func (f *Fold) Gaps() []Gap { return f.gaps }

// Leader returns the leader and its term. id is "" if the leader has left and nobody followed.
func (f *Fold) Leader() (id string, term int64) { return f.leader, f.term }

// Elected returns the last leader that was elected, even after it left.
func (f *Fold) Elected() string { return f.elected }

// Count returns how many tasks have a status.
func (f *Fold) Count(status string) int64 { return f.byStatus[status] }

// Total returns how many tasks were created and not deleted.
func (f *Fold) Total() int64 { return int64(len(f.tasks)) + f.ended.live }

// Unfinished returns how many tasks are not finished.
func (f *Fold) Unfinished() int64 {
	return f.Total() - f.byStatus[events.StatusCompleted] - f.byStatus[events.StatusFailed] - f.byStatus[events.StatusCancelled]
}

// Owned returns how many pending tasks are assigned.
func (f *Fold) Owned() int64 { return f.owned }

// Task returns a task, nil if it does not exist or was deleted.
func (f *Fold) Task(num int64) *Task {
	if t := f.tasks[num]; t != nil {
		return t
	}
	o, at := f.ended.look(num)
	if o == 0 || o == wasDeleted {
		return nil
	}
	return f.readEnded(at)
}

func (f *Fold) readEnded(at int64) *Task {
	t, err := f.ended.read(at)
	if err != nil && f.err == nil {
		f.err = err
	}
	return t
}

// Err returns why a finished task could not be read, nil if each could. After an error, the fold proves
// nothing.
func (f *Fold) Err() error { return f.err }

// Close frees the file that the fold may have. It is not needed at the end of a process.
func (f *Fold) Close() { f.ended.close() }

// Deleted reports whether a task existed and was deleted.
func (f *Fold) Deleted(num int64) bool {
	o, _ := f.ended.look(num)
	return o == wasDeleted
}

// Exists reports whether a task was ever created, deleted or not.
func (f *Fold) Exists(num int64) bool {
	o, _ := f.ended.look(num)
	return o != 0 || f.tasks[num] != nil
}

// Ended reports whether a task is finished, or was deleted.
func (f *Fold) Ended(num int64) bool {
	if t := f.tasks[num]; t != nil {
		return !t.Open()
	}
	return f.Exists(num)
}

// Tasks yields the tasks that were created and not deleted, in order of creation. It reads the finished
// ones from a file.
func (f *Fold) Tasks() iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		held := slices.Sorted(maps.Keys(f.tasks))
		for num, at := range f.ended.numbers {
			for len(held) > 0 && held[0] < num {
				if !yield(f.tasks[held[0]]) {
					return
				}
				held = held[1:]
			}
			if t := f.readEnded(at); t == nil || !yield(t) {
				return
			}
		}
		for _, num := range held {
			if !yield(f.tasks[num]) {
				return
			}
		}
	}
}

// Open yields the tasks that are not finished, in order of creation.
func (f *Fold) Open() iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		for _, num := range slices.Sorted(maps.Keys(f.tasks)) {
			if t := f.tasks[num]; t.Open() && !yield(t) {
				return
			}
		}
	}
}

// Waiting returns how many tasks wait for a worker in the queue of a role set, "" for that of tasks
// without roles.
func (f *Fold) Waiting(roleset string) int64 { return f.waiting[roleset] }

// RoleSets yields the role sets of open tasks, and how many open tasks each has.
func (f *Fold) RoleSets() iter.Seq2[string, int64] { return sorted(f.rolesets) }

// RoleSet returns how many open tasks have a role set.
func (f *Fold) RoleSet(set string) int64 { return f.rolesets[set] }

// Scheduled returns how many tasks wait for a time.
func (f *Fold) Scheduled() int64 { return f.scheduled }

// Blocked returns how many tasks wait for other tasks, or for their turn.
func (f *Fold) Blocked() int64 { return f.blocked }

// Deadlines returns how many claimed tasks end at a time.
func (f *Fold) Deadlines() int64 { return f.deadlines }

// Cancelling returns how many tasks an instance is to end.
func (f *Fold) Cancelling(instance string) int64 { return f.cancelling[instance] }

// Counted returns one of the counts that the metrics have of tries, by the name that they use.
func (f *Fold) Counted(name string) int64 { return f.counted[name] }

// Instance returns an instance that is or was registered, nil if the log does not know it.
func (f *Fold) Instance(id string) *Instance { return f.instances[id] }

// Instances yields all instances that are or were registered, by id.
func (f *Fold) Instances() iter.Seq[*Instance] {
	return func(yield func(*Instance) bool) {
		for _, i := range sorted(f.instances) {
			if !yield(i) {
				return
			}
		}
	}
}

// Living returns how many instances are registered.
func (f *Fold) Living() int64 { return f.living }

// Roles yields the roles of registered instances, and how many have each.
func (f *Fold) Roles() iter.Seq2[string, int64] { return sorted(f.roles) }

// OrphanQueues yields the orphan queues by name.
func (f *Fold) OrphanQueues() iter.Seq2[string, *Orphans] { return sorted(f.orphans) }

// Orphans returns an orphan queue, nil if there was none of that name.
func (f *Fold) Orphans(name string) *Orphans { return f.orphans[name] }

// Uniques yields the unique keys that are taken, and the number of the task that has each.
func (f *Fold) Uniques() iter.Seq2[string, int64] { return sorted(f.uniques) }

// Limits yields the limits by limitKey: how many tasks may be pending or claimed at a time.
func (f *Fold) Limits() iter.Seq2[string, int64] { return sorted(f.limits) }

// Limit returns the limit of a limitKey, and whether it has one.
func (f *Fold) Limit(key string) (int64, bool) {
	limit, set := f.limits[key]
	return limit, set
}

// Limited returns how many tasks count for the limit of a limitKey.
func (f *Fold) Limited(key string) int64 { return f.limited[key] }

// LimitKeys returns the limitKeys of open tasks.
func (f *Fold) LimitKeys() map[string]bool {
	found := map[string]bool{}
	for _, t := range f.tasks {
		if key := t.options.LimitKey; key != "" && t.Open() {
			found[key] = true
		}
	}
	return found
}

// Pauses yields the pauses that the log knows, as Redis stores them, by role set (AllQueues for all
// queues); "" is one that has ended.
func (f *Fold) Pauses() iter.Seq2[string, string] { return sorted(f.pauses) }

// Pause returns a pause, "" if it has ended. It returns false if the log does not know one.
func (f *Fold) Pause(queue string) (string, bool) {
	pause, known := f.pauses[queue]
	return pause, known
}

// Schedule returns a schedule, nil if it does not exist.
func (f *Fold) Schedule(id string) *Schedule { return f.schedules[id] }

// Schedules yields the schedules that were made and not deleted, by id.
func (f *Fold) Schedules() iter.Seq[*Schedule] {
	return func(yield func(*Schedule) bool) {
		for _, s := range sorted(f.schedules) {
			if !yield(s) {
				return
			}
		}
	}
}

// SkipSessions leaves the sessions of the events up to seq out.
func (f *Fold) SkipSessions(seq int64) { f.sessionsAfter = seq }

// SessionsAfter returns the seq up to which sessions were left out.
func (f *Fold) SessionsAfter() int64 { return f.sessionsAfter }

// Sessions returns the sessions of agents.
func (f *Fold) Sessions() *projections.SessionFold { return f.sessions }

// FlushedViews returns the seq of the last flush that deleted the task views too, 0 if none did.
func (f *Fold) FlushedViews() int64 { return f.flushedViews }

// sorted yields a map by key.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}

// Partial reports whether the task is older than the log, so that some of its fields are not known.
func (t *Task) Partial() bool { return t.partial }

// Extras reports whether the task has or had what only some tasks have: options, failures, deadlines.
func (t *Task) Extras() bool { return t.extras }

// Kind returns the kind of queue that the task is in.
func (t *Task) Kind() Kind { return t.in }

// Holder returns the instance that the task is assigned to or claimed by, nil if it is in no queue of an
// instance.
func (t *Task) Holder() *Instance { return t.holder }

// Waits returns how many tasks it still waits for.
func (t *Task) Waits() int64 { return int64(len(t.waits)) }

// Doomed returns the number of a task that has ended so that this one must be cancelled, 0 for none.
func (t *Task) Doomed() int64 { return t.doomed }

// Unsure reports whether the task depends on tasks that are older than the log.
func (t *Task) Unsure() bool { return t.unsure }

// DependsOn returns how many tasks it depended on at its creation.
func (t *Task) DependsOn() int64 { return int64(len(t.options.DependsOn)) }

// LimitKey returns its limitKey, "" for none.
func (t *Task) LimitKey() string { return t.options.LimitKey }

// Partial reports whether the instance registered before the log begins.
func (i *Instance) Partial() bool { return i.partial }

// Assigned returns how many tasks are assigned to the instance and not claimed.
func (i *Instance) Assigned() int64 { return int64(len(i.assigned)) }

// Active returns how many tasks the instance has claimed.
func (i *Instance) Active() int64 { return int64(len(i.active)) }

// Auto returns how many of the assigned tasks are auto-assigned.
func (i *Instance) Auto() int64 { return i.auto }

// Partial reports whether the schedule is older than the log, so that only its ticks are known.
func (c *Schedule) Partial() bool { return c.partial }

// Counted reports whether an event has told how often it fired.
func (c *Schedule) Counted() bool { return c.counted }

// Name returns the name of the queue: <seq of the event>:<active or instance>.
func (o *Orphans) Name() string { return o.name }

// Seq returns the seq of the event that set the tasks aside.
func (o *Orphans) Seq() int64 { return o.seq }

// Origin returns the instance that the tasks were taken from, and why.
func (o *Orphans) Origin() (instance, reason string) { return o.instance, o.reason }

// Had reports whether a task was set aside here. One that was finished, deleted or assigned since then
// may stay in the queue until requeue_orphans reaches it.
func (o *Orphans) Had(num int64) bool { return o.all[num] }

// Left returns a task if it must still be in the queue, else nil.
func (o *Orphans) Left(num int64) *Task { return o.left[num] }

// Remaining returns the numbers of the tasks that must still be in the queue, in order.
func (o *Orphans) Remaining() []int64 { return slices.Sorted(maps.Keys(o.left)) }
