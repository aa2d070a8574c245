package audit

import (
	"context"
	"maps"
	"slices"

	"github.com/claudebench/claudebench/events"
)

// taskFields is the number of fields that read_tasks returns for a task. The scores follow.
const taskFields = 29

// tasks compares the hash of every task that the log knows, and whether it is in its queues.
func (v *verifier) tasks(ctx context.Context) error {
	ids := slices.AppendSeq(slices.Collect(maps.Keys(v.fold.tasks)), maps.Keys(v.fold.deleted))
	slices.Sort(ids)
	lots := slices.Collect(slices.Chunk(ids, taskLot))
	args := make([][]any, len(lots))
	for i, lot := range lots {
		for _, num := range lot {
			args[i] = append(args[i], (&Task{Num: num}).ID())
		}
	}
	return v.lots(ctx, readTasks, args, func(i int, reply []any) error {
		for n, num := range lots[i] {
			v.report.Tasks++
			stored, _ := reply[n].([]any)
			v.task(num, stored)
		}
		return nil
	})
}

// task compares one task's hash.
func (v *verifier) task(num int64, stored []any) {
	t := v.fold.tasks[num]
	there := slices.ContainsFunc(stored[:taskFields], func(field any) bool { return field != nil })
	switch {
	case t == nil && there:
		v.report.violation("task t-%d: the log has deleted it, but its hash exists", num)
		return
	case t == nil, !there && !t.Open(): // a finished task is deleted after its retention
		return
	case !there:
		v.report.violation("task %s: its hash is missing, but the log says that it is %s", t.ID(), t.describe())
		return
	}
	get := func(i int) string { return text(stored[i]) }
	object := "task " + t.ID()
	compare := func(field, log string, i int) { v.differs(object, field, log, get(i)) }
	compare("id", t.ID(), 0)
	compare("status", t.Status, 2)
	compare("updatedAt", iso(t.UpdatedAt), 10)
	compare("seq", decimal(t.Seq), 12)
	if t.partial {
		return
	}
	compare("text", t.Text, 1)
	compare("priority", decimal(t.Priority), 3)
	compare("assignedTo", t.AssignedTo, 4)
	compare("attempt", decimal(t.Attempt), 5)
	compare("metadata", t.Metadata, 6)
	compare("result", t.Result, 7)
	compare("error", t.Error, 8)
	compare("createdAt", iso(t.CreatedAt), 9)
	compare("completedAt", iso(t.CompletedAt), 11)
	compare("queuedAt", decimal(t.QueuedAt), 13)
	compare("claimedAt", decimalSet(t.ClaimedAt), 14)
	compare("assignedSeq", decimalSet(t.AssignedSeq), 15)
	compare("previousAssignment", t.PreviousAssignment, 16)
	compare("roleset", t.Roleset, 17)
	if t.extras || stored[18] != nil {
		v.extras(t, stored, compare)
	}
	if t.Open() {
		v.places(t, stored[taskFields:])
	}
}

// extras compares what only some tasks have.
func (v *verifier) extras(t *Task, stored []any, compare func(field, log string, i int)) {
	extras := ""
	if t.extras {
		extras = "1"
	}
	compare("extras", extras, 18)
	compare("options", t.Options, 19)
	compare("runAt", decimalSet(t.RunAt), 20)
	compare("failures", decimalSet(t.Failures), 21)
	compare("losses", decimalSet(t.Losses), 22)
	compare("errors", t.errorList(), 23)
	compare("progress", t.Progress, 24)
	compare("timeoutAt", decimalSet(t.TimeoutAt), 25)
	compare("cancel", t.Cancel, 26)
	compare("cancelAt", decimalSet(t.CancelAt), 27)
	v.ties(t, stored)
}

// ties checks what a task waits for. What has ended is told to those that wait for it in steps, so a
// task may lag behind the log while there is an entry for that.
func (v *verifier) ties(t *Task, stored []any) {
	if !t.Open() || t.unsure || !v.fold.whole {
		return
	}
	open, _ := number(stored[28])
	behind, _ := number(stored[taskFields+9])
	switch waits := int64(len(t.waits)); {
	case open < waits || open > int64(len(t.options.DependsOn)):
		v.report.violation("task %s: its open is %d, but the log says that it waits for %d tasks", t.ID(), open, waits)
	case behind == 1: // it may be told yet
	case open != waits:
		v.report.violation("task %s: its open is %d, but the log says that it waits for %d tasks, and nobody is to tell it", t.ID(), open, waits)
	case t.doomed != 0:
		v.report.violation("task %s: it depends on t-%d, which has ended, but nobody cancels it", t.ID(), t.doomed)
	case t.Status == events.StatusBlocked && waits == 0:
		if limit, set := v.fold.limits[t.options.LimitKey]; !set || v.fold.limited[t.options.LimitKey] < limit {
			v.report.violation("task %s: it is blocked, but it waits for no task and for no turn", t.ID())
		}
	}
}

// places checks that an open task is in its queue. The walk over the queues checks that it is in no
// other queue, and that orphans are in theirs.
func (v *verifier) places(t *Task, scores []any) {
	owner := t.AssignedTo
	deadline, watched := t.deadline()
	for i, p := range []struct {
		key  string
		in   bool
		rank int64
	}{
		{v.keys.Open(), true, score(t.Priority, t.Num)},
		{v.waitingKey(t.Roleset), t.in == kindWaiting, t.score()},
		{v.keys.Assigned(owner), t.in == kindAssigned, t.score()},
		{v.keys.Active(owner), t.in == kindActive, t.score()},
		{v.keys.Auto(owner), t.in == kindAssigned && t.Auto, t.score()},
		{v.keys.Scheduled(), t.in == kindScheduled, t.score()},
		{v.keys.Blocked(), t.in == kindBlocked, t.score()},
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
func (v *verifier) missing(t *Task, queue string) {
	v.report.violation("task %s: it is not in queue %s, but the log says that %s", t.ID(), queue, t.whereabouts())
}
