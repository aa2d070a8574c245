package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/claudebench/claudebench/internal/fold"
)

const (
	// queuePage is how many entries a script reads at once, from all its queues together.
	queuePage = 500
	// queueLot is how many queues a script reads at once.
	queueLot = 25
)

// queue is a sorted set to compare.
type queue struct {
	key  string
	from string // where its next page begins
	// expect returns the score that the log has for an entry. If the log does not have the entry
	// here, here is false and instead says where it belongs. The score unknown is not compared.
	expect func(member string) (score int64, here bool, instead string)
	// length returns the number of entries that the log has, unknown if the log does not determine
	// it.
	length func() int64
	// done, if it is set, is called after the last page was compared, at the position of that page.
	done func()
}

// unknown is a score or a length that is not compared.
const unknown = int64(-1)

// queues walks every queue and index that the log knows, page by page, and compares their entries.
func (v *verifier) queues(ctx context.Context) error {
	list := v.globalQueues()
	for i := range v.fold.Instances() {
		list = append(list, v.instanceQueues(i.ID)...)
	}
	if err := v.walk(ctx, list); err != nil {
		return err
	}
	var orphans []*queue
	for _, key := range slices.Sorted(maps.Keys(v.orphaned)) {
		orphans = append(orphans, v.orphansQueue(key))
	}
	return v.walk(ctx, orphans)
}

// walk walks queues, several at a time.
func (v *verifier) walk(ctx context.Context, list []*queue) error {
	v.report.Queues += int64(len(list))
	for len(list) > 0 {
		if err := v.step(ctx); err != nil {
			return err
		}
		lot := list[:min(len(list), queueLot)]
		length := queuePage / len(lot)
		args := []any{length}
		for _, q := range lot {
			args = append(args, q.key, q.from)
		}
		reply, err := v.run(ctx, readQueues, args...)
		if err != nil {
			return err
		}
		if err := v.at(ctx, reply); err != nil {
			return err
		}
		var more []*queue
		for n, q := range lot {
			page, _ := reply[2+2*n].([]any)
			if q.from == firstPage && q.length() != unknown {
				v.length(q.key, reply[1+2*n], q.length())
			}
			v.page(q, page)
			if len(page) == 2*length {
				q.from = "(" + text(page[len(page)-1])
				more = append(more, q)
			} else if q.done != nil {
				q.done()
			}
		}
		list = append(more, list[len(lot):]...)
	}
	return nil
}

const firstPage = "-inf"

// page compares a page of a queue.
func (v *verifier) page(q *queue, page []any) {
	for i := 0; i+1 < len(page); i += 2 {
		v.report.Places++
		member := text(page[i])
		stored, _ := number(page[i+1])
		log, here, instead := q.expect(member)
		switch {
		case !here:
			v.report.violation("queue %s contains %s, but the log says that %s", q.key, member, instead)
		case log != unknown && log != stored:
			v.report.violation("queue %s contains %s with score %d, but the log says %d", q.key, member, stored, log)
		}
	}
}

// ofTasks returns a queue that must hold the tasks for which here returns true.
func (v *verifier) ofTasks(key string, length func() int64, here func(*fold.Task) bool) *queue {
	return &queue{key: key, from: firstPage, length: length, expect: func(member string) (int64, bool, string) {
		num, ok := fold.TaskNumber(member)
		t := v.fold.Task(num)
		switch {
		case ok && t == nil && !v.fold.Whole() && num < v.fold.Base():
			return unknown, true, "" // older than the log
		case !ok || t == nil && !v.fold.Deleted(num):
			return 0, false, "this task does not exist"
		case t == nil:
			return 0, false, "it is deleted"
		case t.Partial():
			return unknown, true, ""
		case !here(t):
			return 0, false, t.Whereabouts()
		case key == v.keys.Open():
			return fold.Rank(t.Priority, t.Num), true, ""
		case key == v.keys.Deadlines():
			deadline, _ := t.Deadline()
			return deadline, true, ""
		case key == v.keys.Cancelling(t.AssignedTo):
			return t.CancelAt, true, ""
		}
		return t.Score(), true, ""
	}}
}

// ofInstances returns an index that must hold the instances for which here returns true.
func (v *verifier) ofInstances(key string, length func() int64, here func(*fold.Instance) bool, instead string) *queue {
	return &queue{key: key, from: firstPage, length: length, expect: func(member string) (int64, bool, string) {
		i := v.fold.Instance(member)
		return unknown, i == nil && !v.fold.Whole() || i != nil && (i.Partial() || here(i)), instead
	}}
}

func (v *verifier) globalQueues() []*queue {
	anyLength := func() int64 { return unknown }
	list := []*queue{
		v.ofTasks(v.keys.Open(), v.fold.Unfinished, (*fold.Task).Open),
		v.ofTasks(v.keys.Scheduled(), v.fold.Scheduled, func(t *fold.Task) bool { return t.Kind() == fold.KindScheduled }),
		v.ofTasks(v.keys.Blocked(), v.fold.Blocked, func(t *fold.Task) bool { return t.Kind() == fold.KindBlocked }),
		v.ofTasks(v.keys.Deadlines(), v.fold.Deadlines, func(t *fold.Task) bool { _, watched := t.Deadline(); return watched }),
		{key: v.keys.Orphaned(), from: firstPage, length: anyLength, expect: v.expectOrphaned, done: v.unlisted},
		v.ofInstances(v.keys.Alive(), v.fold.Living,
			func(i *fold.Instance) bool { return i.Registered }, "it is not registered"),
		v.ofInstances(v.keys.Workers(), anyLength,
			func(i *fold.Instance) bool { return i.Registered && i.Worker }, "it is not a registered worker"),
		v.ofInstances(v.keys.Available(), anyLength,
			func(i *fold.Instance) bool { return i.Registered && i.Worker }, "it is not a registered worker"),
		v.ofInstances(v.keys.Stealable(), anyLength,
			func(i *fold.Instance) bool { return i.Auto() > 0 }, "nothing is auto-assigned to it"),
	}
	for _, key := range slices.Sorted(maps.Keys(v.fold.LimitKeys())) {
		list = append(list,
			v.ofTasks(v.keys.Limited(key), func() int64 { return v.fold.Limited(key) },
				func(t *fold.Task) bool { return t.UnderLimit() && t.LimitKey() == key }),
			v.ofTasks(v.keys.Turns(key), anyLength,
				func(t *fold.Task) bool { return t.Kind() == fold.KindBlocked && t.Waits() == 0 && t.LimitKey() == key }))
	}
	v.rolesets[""] = true
	for _, set := range slices.Sorted(maps.Keys(v.rolesets)) {
		list = append(list, v.ofTasks(v.waitingKey(set), func() int64 { return v.fold.Waiting(set) },
			func(t *fold.Task) bool { return t.Kind() == fold.KindWaiting && t.Roleset == set }))
	}
	return list
}

// instanceQueues returns the queues of an instance. Their lengths were compared with the instance.
func (v *verifier) instanceQueues(id string) []*queue {
	anyLength := func() int64 { return unknown }
	held := func(kind fold.Kind) func(*fold.Task) bool {
		return func(t *fold.Task) bool { return t.Kind() == kind && t.Holder().ID == id }
	}
	return []*queue{
		v.ofTasks(v.keys.Assigned(id), anyLength, held(fold.KindAssigned)),
		v.ofTasks(v.keys.Active(id), anyLength, held(fold.KindActive)),
		v.ofTasks(v.keys.Auto(id), anyLength, func(t *fold.Task) bool { return held(fold.KindAssigned)(t) && t.Auto }),
		v.ofTasks(v.keys.Cancelling(id), func() int64 { return v.fold.Cancelling(id) },
			func(t *fold.Task) bool { return t.CancelAt != 0 && t.AssignedTo == id }),
	}
}

// expectOrphaned is expect for the list of orphan queues.
func (v *verifier) expectOrphaned(member string) (int64, bool, string) {
	var entry struct {
		Queue      string `json:"queue"`
		InstanceID string `json:"instanceId"`
		Reason     string `json:"reason"`
	}
	if err := json.Unmarshal([]byte(member), &entry); err != nil {
		return 0, false, "every entry is JSON"
	}
	o := v.fold.Orphans(entry.Queue)
	switch {
	case o == nil && !v.fold.Whole():
		return unknown, true, ""
	case o == nil:
		return 0, false, "nothing was set aside then"
	}
	if instance, reason := o.Origin(); instance != entry.InstanceID || reason != entry.Reason {
		return 0, false, fmt.Sprintf("it was set aside from %s (%s)", instance, reason)
	}
	v.orphaned[v.keys.Orphans(o.Name())] = true
	return o.Seq(), true, ""
}

// unlisted reports orphan queues that have tasks and are not in the list of orphan queues. No sweep
// would ever return these tasks.
func (v *verifier) unlisted() {
	for name, o := range v.fold.OrphanQueues() {
		key := v.keys.Orphans(name)
		if left := o.Remaining(); len(left) > 0 && !v.orphaned[key] {
			instance, _ := o.Origin()
			v.orphaned[key] = true
			v.report.violation("queue %s does not contain %s, which has %d tasks that were set aside from %s", v.keys.Orphaned(), key, len(left), instance)
		}
	}
}

// orphansQueue returns an orphan queue. It may still hold tasks that were finished, deleted or
// assigned since. Nothing is ever added to it, so a task that must be in it when its last page is
// read was on one of the pages.
func (v *verifier) orphansQueue(key string) *queue {
	var set *fold.Orphans
	met := map[int64]bool{}
	for name, o := range v.fold.OrphanQueues() {
		if v.keys.Orphans(name) == key {
			set = o
		}
	}
	expect := func(member string) (int64, bool, string) {
		num, _ := fold.TaskNumber(member)
		met[num] = true
		if set == nil || !set.Had(num) {
			return 0, false, "it was not set aside then"
		}
		if t := set.Left(num); t != nil {
			return t.Score(), true, ""
		}
		return unknown, true, ""
	}
	return &queue{key: key, from: firstPage, length: func() int64 { return unknown }, expect: expect, done: func() {
		if set == nil {
			return
		}
		for _, num := range set.Remaining() {
			if t := set.Left(num); !met[num] && !t.Partial() {
				v.missing(t, key)
			}
		}
	}}
}
