package audit

import (
	"fmt"

	"github.com/claudebench/claudebench/events"
)

// queueKind is where an open task is: in exactly one of these.
type queueKind uint8

const (
	kindNone     queueKind = iota
	kindWaiting            // for a worker, by the roles it requires
	kindAssigned           // to its holder, not claimed
	kindActive             // claimed by its holder
	kindOrphaned           // set aside until it is returned
)

// orphans are tasks that were set aside in one step because their instance left, died, or
// registered again as another process or with other roles.
type orphans struct {
	name     string // <seq of the event>:<active or instance>
	seq      int64
	instance string
	reason   string
	// all were set aside then. A task that was since finished, deleted or returned otherwise may
	// stay in the list until the list is processed.
	all map[int64]bool
	// left are those that must still be in the list.
	left map[int64]*Task
}

// put places a task that is in no queue.
func (f *Fold) put(t *Task, kind queueKind, holder *Instance) {
	t.in, t.holder = kind, holder
	switch kind {
	case kindWaiting:
		add(f.waiting, t.Roleset, 1)
	case kindAssigned:
		holder.assigned[t.Num] = t
	case kindActive:
		holder.active[t.Num] = t
	case kindNone, kindOrphaned:
	}
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
	case kindOrphaned:
		delete(t.set.left, t.Num)
	case kindNone:
	}
	t.in, t.holder, t.set = kindNone, nil, nil
}

// setAside makes orphans of all tasks that an instance has assigned, or active.
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

// score returns a task's place in a queue: the highest priority first, then the lowest number.
func (t *Task) score() int64 {
	priority := t.Priority
	if t.in == kindOrphaned {
		priority = t.orphanPriority
	}
	return score(priority, t.Num)
}

func score(priority, num int64) int64 { return (100-priority)<<46 + num }

// whereabouts returns where the log has a task.
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
	case kindOrphaned:
		return "it is set aside from " + t.set.instance
	case kindNone:
	}
	if t.Status == events.StatusPending {
		return "it is pending"
	}
	return "it is " + t.Status
}
