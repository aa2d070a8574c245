package audit

import (
	"fmt"

	"github.com/claudebench/claudebench/events"
)

// queueKind is the kind of queue that a task is in. An open task is in exactly one.
type queueKind uint8

const (
	kindNone      queueKind = iota // in none, or the log does not know
	kindWaiting                    // waits for a worker, in the queue of its role set
	kindAssigned                   // assigned to its holder, not claimed
	kindActive                     // claimed by its holder
	kindScheduled                  // waits for a time
	kindBlocked                    // waits for other tasks, or for its turn
	kindOrphaned                   // set aside in an orphan queue, until requeue_orphans returns it
)

// orphans is an orphan queue: tasks that were set aside in one step because their instance left,
// died, or registered again as another process or with other roles.
type orphans struct {
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
func (f *Fold) put(t *Task, kind queueKind, holder *Instance) {
	t.in, t.holder = kind, holder
	switch kind {
	case kindWaiting:
		add(f.waiting, t.Roleset, 1)
	case kindAssigned:
		holder.assigned[t.Num] = t
	case kindActive:
		holder.active[t.Num] = t
	case kindScheduled:
		f.scheduled++
	case kindBlocked:
		f.blocked++
	case kindNone, kindOrphaned:
	}
}

// kindOf returns the kind of queue where a task without an owner is.
func kindOf(status string) queueKind {
	switch status {
	case events.StatusPending:
		return kindWaiting
	case events.StatusScheduled:
		return kindScheduled
	case events.StatusBlocked:
		return kindBlocked
	}
	return kindNone
}

// take removes a task from its queue.
func (f *Fold) take(t *Task) {
	switch t.in {
	case kindWaiting:
		add(f.waiting, t.Roleset, -1)
	case kindAssigned:
		delete(t.holder.assigned, t.Num)
		if t.Auto {
			t.holder.auto--
			t.Auto = false
		}
	case kindActive:
		delete(t.holder.active, t.Num)
	case kindScheduled:
		f.scheduled--
	case kindBlocked:
		f.blocked--
	case kindOrphaned:
		delete(t.set.left, t.Num)
	case kindNone:
	}
	t.in, t.holder, t.set = kindNone, nil, nil
}

// setAside moves all tasks that are assigned to an instance, or all that it has claimed, to an
// orphan queue.
func (s step) setAside(i *Instance, kind queueKind, reason string) {
	name, from := "active", i.active
	if kind == kindAssigned {
		name, from = "instance", i.assigned
	}
	if len(from) == 0 {
		return
	}
	o := &orphans{
		name: fmt.Sprintf("%d:%s", s.e.Seq, name), seq: s.e.Seq, instance: i.ID, reason: reason,
		all: make(map[int64]bool, len(from)), left: make(map[int64]*Task, len(from)),
	}
	for num, t := range from {
		s.take(t)
		t.in, t.set, t.orphanPriority = kindOrphaned, o, t.Priority
		o.all[num], o.left[num] = true, t
	}
	s.orphans[o.name] = o
}

// score returns a task's place in its queue: the highest priority first, then the lowest number. The
// queue of scheduled tasks is in the order of their times.
func (t *Task) score() int64 {
	priority := t.Priority
	if t.in == kindScheduled {
		return t.RunAt
	}
	if t.in == kindOrphaned {
		priority = t.orphanPriority
	}
	return score(priority, t.Num)
}

func score(priority, num int64) int64 { return (100-priority)<<46 + num }

// whereabouts returns where a task is according to the log, as a clause for a violation.
func (t *Task) whereabouts() string {
	switch t.in {
	case kindWaiting:
		if t.Roleset != "" {
			return "it waits for a worker with roles " + t.Roleset
		}
		return "it waits for a worker"
	case kindAssigned:
		return "it is assigned to " + t.holder.ID
	case kindActive:
		return "it is in progress with " + t.holder.ID
	case kindScheduled:
		return "it is scheduled for " + iso(t.RunAt)
	case kindBlocked:
		return "it is blocked"
	case kindOrphaned:
		return "it was set aside from " + t.set.instance
	case kindNone:
	}
	if t.Status == events.StatusPending {
		return "it is pending"
	}
	return "it is " + t.Status
}
