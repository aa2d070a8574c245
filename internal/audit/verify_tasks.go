package audit

import (
	"context"
	"slices"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/fold"
)

// taskFields is the number of fields that read_tasks returns for a task. The scores follow.
const taskFields = 29

// tasks compares the hash of every open task that the log knows, and whether it is in its queues. Of the
// finished tasks, Redis has only those of the last days: strays finds and compares these.
func (v *verifier) tasks(ctx context.Context) error {
	var open []int64
	for t := range v.fold.Open() {
		open = append(open, t.Num)
	}
	return v.hashes(ctx, open)
}

// hashes compares the hashes of tasks.
func (v *verifier) hashes(ctx context.Context, nums []int64) error {
	lots := slices.Collect(slices.Chunk(nums, taskLot))
	args := make([][]any, len(lots))
	for i, lot := range lots {
		for _, num := range lot {
			args[i] = append(args[i], (&fold.Task{Num: num}).ID())
		}
	}
	return v.lots(ctx, readTasks, args, func(i int, reply []any) error {
		for n, num := range lots[i] {
			stored, _ := reply[n].([]any)
			v.task(num, stored)
			v.compared.add(num)
		}
		return nil
	})
}

// numbers is a set of the numbers of tasks: a bit for each event, in pages.
type numbers map[int64]*[64]uint64

func (n numbers) has(num int64) bool {
	page := n[num>>12]
	return page != nil && page[num>>6&63]&(1<<(num&63)) != 0
}

func (n numbers) add(num int64) {
	page := n[num>>12]
	if page == nil {
		page = &[64]uint64{}
		n[num>>12] = page
	}
	page[num>>6&63] |= 1 << (num & 63)
}

// task compares one task's hash.
func (v *verifier) task(num int64, stored []any) {
	v.report.Tasks++
	t := v.fold.Task(num)
	there := slices.ContainsFunc(stored[:taskFields], func(field any) bool { return field != nil })
	switch {
	case t == nil && there:
		v.report.violation("task t-%d: the log has deleted it, but its hash exists", num)
		return
	case t == nil, !there && !t.Open(): // a finished task is deleted after its retention
		return
	case !there:
		v.report.violation("task %s: its hash is missing, but the log says that it is %s", t.ID(), t.Describe())
		return
	}
	get := func(i int) string { return text(stored[i]) }
	object := "task " + t.ID()
	compare := func(field, log string, i int) { v.differs(object, field, log, get(i)) }
	compare("id", t.ID(), 0)
	compare("status", t.Status, 2)
	compare("updatedAt", fold.ISO(t.UpdatedAt), 10)
	compare("seq", decimal(t.Seq), 12)
	if t.Partial() {
		return
	}
	compare("text", t.Text, 1)
	compare("priority", decimal(t.Priority), 3)
	compare("assignedTo", t.AssignedTo, 4)
	compare("attempt", decimal(t.Attempt), 5)
	compare("metadata", t.Metadata, 6)
	compare("result", t.Result, 7)
	compare("error", t.Error, 8)
	compare("createdAt", fold.ISO(t.CreatedAt), 9)
	compare("completedAt", fold.ISO(t.CompletedAt), 11)
	compare("queuedAt", decimal(t.QueuedAt), 13)
	compare("claimedAt", decimalSet(t.ClaimedAt), 14)
	compare("assignedSeq", decimalSet(t.AssignedSeq), 15)
	compare("previousAssignment", t.PreviousAssignment, 16)
	compare("roleset", t.Roleset, 17)
	if t.Extras() || stored[18] != nil {
		v.extras(t, stored, compare)
	}
	if t.Open() {
		v.places(t, stored[taskFields:])
	}
}

// extras compares what only some tasks have.
func (v *verifier) extras(t *fold.Task, stored []any, compare func(field, log string, i int)) {
	extras := ""
	if t.Extras() {
		extras = "1"
	}
	compare("extras", extras, 18)
	compare("options", t.Options, 19)
	compare("runAt", decimalSet(t.RunAt), 20)
	compare("failures", decimalSet(t.Failures), 21)
	compare("losses", decimalSet(t.Losses), 22)
	compare("errors", t.ErrorList(), 23)
	compare("progress", t.Progress, 24)
	compare("timeoutAt", decimalSet(t.TimeoutAt), 25)
	compare("cancel", t.Cancel, 26)
	compare("cancelAt", decimalSet(t.CancelAt), 27)
	v.ties(t, stored)
}

// ties checks what a task waits for. What has ended is told to those that wait for it in steps, so a
// task may lag behind the log while there is an entry for that.
func (v *verifier) ties(t *fold.Task, stored []any) {
	if !t.Open() || t.Unsure() || !v.fold.Whole() {
		return
	}
	open, _ := number(stored[28])
	behind, _ := number(stored[taskFields+9])
	switch waits := t.Waits(); {
	case open < waits || open > t.DependsOn():
		v.report.violation("task %s: its open is %d, but the log says that it waits for %d tasks", t.ID(), open, waits)
	case behind == 1: // it may be told yet
	case open != waits:
		v.report.violation("task %s: its open is %d, but the log says that it waits for %d tasks, and nobody is to tell it", t.ID(), open, waits)
	case t.Doomed() != 0:
		v.report.violation("task %s: it depends on t-%d, which has ended, but nobody cancels it", t.ID(), t.Doomed())
	case t.Status == events.StatusBlocked && waits == 0:
		if limit, set := v.fold.Limit(t.LimitKey()); !set || v.fold.Limited(t.LimitKey()) < limit {
			v.report.violation("task %s: it is blocked, but it waits for no task and for no turn", t.ID())
		}
	}
}

// places checks that an open task is in its queue. The walk over the queues checks that it is in no
// other queue, and that orphans are in theirs.
func (v *verifier) places(t *fold.Task, scores []any) {
	owner := t.AssignedTo
	deadline, watched := t.Deadline()
	for i, p := range []struct {
		key  string
		in   bool
		rank int64
	}{
		{v.keys.Open(), true, fold.Rank(t.Priority, t.Num)},
		{v.waitingKey(t.Roleset), t.Kind() == fold.KindWaiting, t.Score()},
		{v.keys.Assigned(owner), t.Kind() == fold.KindAssigned, t.Score()},
		{v.keys.Active(owner), t.Kind() == fold.KindActive, t.Score()},
		{v.keys.Auto(owner), t.Kind() == fold.KindAssigned && t.Auto, t.Score()},
		{v.keys.Scheduled(), t.Kind() == fold.KindScheduled, t.Score()},
		{v.keys.Blocked(), t.Kind() == fold.KindBlocked, t.Score()},
		{v.keys.Deadlines(), watched, deadline},
		{v.keys.Cancelling(owner), t.CancelAt != 0, t.CancelAt},
	} {
		stored, there := number(scores[i])
		switch {
		case !p.in:
		case !there:
			v.missing(t, p.key)
		case stored != p.rank:
			v.report.violation("task %s: its score in queue %s is %d, but the log says %d", t.ID(), p.key, stored, p.rank)
		}
	}
}

// waitingKey returns the key of the queue of a role set's waiting tasks.
func (v *verifier) waitingKey(roleset string) string {
	if roleset == "" {
		return v.keys.Pending()
	}
	return v.keys.RoleQueue(roleset)
}

// missing reports a task that is not in its queue.
func (v *verifier) missing(t *fold.Task, queue string) {
	v.report.violation("task %s: it is not in queue %s, but the log says that %s", t.ID(), queue, t.Whereabouts())
}
