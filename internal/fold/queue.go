package fold

import (
	"fmt"

	"github.com/claudebench/claudebench/events"
)

// Kind is the kind of queue that a task is in. An open task is in exactly one.
type Kind uint8

// The kinds of queues.
const (
	KindNone      Kind = iota // in none, or the log does not know
	KindWaiting               // waits for a worker, in the queue of its role set
	KindAssigned              // assigned to its holder, not claimed
	KindActive                // claimed by its holder
	KindScheduled             // waits for a time
	KindBlocked               // waits for other tasks, or for its turn
	KindOrphaned              // set aside in an orphan queue, until requeue_orphans returns it
)

// Orphans is an orphan queue: tasks that were set aside in one step because their instance left,
// died, or registered again as another process or with other roles.
type Orphans struct {
	name     string // <seq of the event>:<active or instance>
	seq      int64
	instance string
	reason   string
	// all holds the tasks that were set aside. One that was finished, deleted or assigned since
	// then may stay in the queue until requeue_orphans reaches it.
	all map[int64]bool
	// left holds the tasks that must still be in the queue.
	left map[int64]*Task
}

// put puts a task that is in no queue into one.
func (f *Fold) put(t *Task, kind Kind, holder *Instance) {
	t.in, t.holder = kind, holder
	switch kind {
	case KindWaiting:
		add(f.waiting, t.Roleset, 1)
	case KindAssigned:
		holder.assigned[t.Num] = t
	case KindActive:
		holder.active[t.Num] = t
	case KindScheduled:
		f.scheduled++
	case KindBlocked:
		f.blocked++
	case KindNone, KindOrphaned:
	}
}

// kindOf returns the kind of queue where a task without an owner is.
func kindOf(status string) Kind {
	switch status {
	case events.StatusPending:
		return KindWaiting
	case events.StatusScheduled:
		return KindScheduled
	case events.StatusBlocked:
		return KindBlocked
	}
	return KindNone
}

// take removes a task from its queue.
func (f *Fold) take(t *Task) {
	switch t.in {
	case KindWaiting:
		add(f.waiting, t.Roleset, -1)
	case KindAssigned:
		delete(t.holder.assigned, t.Num)
		if t.Auto {
			t.holder.auto--
			t.Auto = false
		}
	case KindActive:
		delete(t.holder.active, t.Num)
	case KindScheduled:
		f.scheduled--
	case KindBlocked:
		f.blocked--
	case KindOrphaned:
		delete(t.set.left, t.Num)
	case KindNone:
	}
	t.in, t.holder, t.set = KindNone, nil, nil
}

// setAside moves all tasks that are assigned to an instance, or all that it has claimed, to an
// orphan queue.
func (s step) setAside(i *Instance, kind Kind, reason string) {
	name, from := "active", i.active
	if kind == KindAssigned {
		name, from = "instance", i.assigned
	}
	if len(from) == 0 {
		return
	}
	o := &Orphans{
		name: fmt.Sprintf("%d:%s", s.e.Seq, name), seq: s.e.Seq, instance: i.ID, reason: reason,
		all: make(map[int64]bool, len(from)), left: make(map[int64]*Task, len(from)),
	}
	for num, t := range from {
		s.take(t)
		t.in, t.set, t.orphanPriority = KindOrphaned, o, t.Priority
		o.all[num], o.left[num] = true, t
	}
	s.orphans[o.name] = o
}

// Score returns a task's place in its queue: the highest priority first, then the lowest number. The
// queue of scheduled tasks is in the order of their times.
func (t *Task) Score() int64 {
	priority := t.Priority
	if t.in == KindScheduled {
		return t.RunAt
	}
	if t.in == KindOrphaned {
		priority = t.orphanPriority
	}
	return Rank(priority, t.Num)
}

// Rank returns the score of a task in a queue that is in the order of priorities.
func Rank(priority, num int64) int64 { return (100-priority)<<46 + num }

// Whereabouts returns where a task is according to the log, as a clause for a violation.
func (t *Task) Whereabouts() string {
	switch t.in {
	case KindWaiting:
		if t.Roleset != "" {
			return "it waits for a worker with roles " + t.Roleset
		}
		return "it waits for a worker"
	case KindAssigned:
		return "it is assigned to " + t.holder.ID
	case KindActive:
		return "it is in progress with " + t.holder.ID
	case KindScheduled:
		return "it is scheduled for " + ISO(t.RunAt)
	case KindBlocked:
		return "it is blocked"
	case KindOrphaned:
		return "it was set aside from " + t.set.instance
	case KindNone:
	}
	if t.Status == events.StatusPending {
		return "it is pending"
	}
	return "it is " + t.Status
}
