package task_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// older changes tasks as a coordinator of format 3 of the log does: it knows neither the queues nor
// the fields that only some tasks have. Its tasks require no roles, and its worker is w.
type older struct{ *fleettest.Fleet }

// emit appends an event of version 1 and returns its seq and its time. payload is a format with the
// time in ISO 8601 as its first argument.
func (o older) emit(event, payload string, args ...any) (seq, ms int64, at string) {
	o.T.Helper()
	last, err := strconv.ParseInt(o.Hash(o.Keys.Log())["ms"], 10, 64)
	if err != nil {
		o.T.Fatalf("the time of the last event: %v", err)
	}
	seq, ms = o.Seq()+1, max(last, redisTime(o.Fleet))
	at = time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
	id := fmt.Sprintf("%d-%d", ms, seq)
	data := fmt.Sprintf(`{"id":%q,"seq":%d,"type":%q,"v":1,"timestamp":%d,"actor":"older","cause":null,"trace":null,"payload":%s}`,
		id, seq, event, ms, fmt.Sprintf(payload, append([]any{at}, args...)...))
	o.Put([]any{"XADD", o.Keys.Events(), id, "data", data}, []any{"XADD", o.Keys.Topic(event), id, "data", data},
		[]any{"HSET", o.Keys.Log(), "seq", seq, "ms", ms})
	return seq, ms, at
}

// deletes deletes a task that has no owner.
func (o older) deletes(id string) {
	o.T.Helper()
	o.emit("task.deleted", `{"id":%[2]q,"deletedAt":%[1]q,"deletedBy":"older","previousStatus":%[3]q,"previousAssignment":null}`,
		id, o.Get(id).Status)
	o.Put([]any{"UNLINK", o.Keys.Task(id)}, []any{"ZREM", o.Keys.Open(), id}, []any{"ZREM", o.Keys.Pending(), id})
}

// completes completes a task that w has in progress.
func (o older) completes(id string) {
	o.T.Helper()
	task := o.Hash(o.Keys.Task(id))
	seq, _, at := o.emit("task.completed", `{"id":%[2]q,"status":"completed","workerId":"w","attempt":%[3]s,"duration":0,"result":null,"previousStatus":"in_progress","completedAt":%[1]q}`,
		id, task["attempt"])
	o.Put([]any{"HSET", o.Keys.Task(id), "status", "completed", "completedAt", at, "updatedAt", at, "seq", seq},
		[]any{"PEXPIRE", o.Keys.Task(id), o.Options.TaskRetention.Milliseconds()},
		[]any{"ZREM", o.Keys.Active("w"), id}, []any{"ZREM", o.Keys.Open(), id})
	if len(o.Zset(o.Keys.Active("w"))) == 0 {
		o.Put([]any{"HSET", o.Keys.Instance("w"), "status", "IDLE", "seq", seq})
	}
}

// assigns assigns a task that has no owner to w, whatever its status.
func (o older) assigns(id string) {
	o.T.Helper()
	task := o.Get(id)
	seq, ms, at := o.emit("task.assigned", `{"taskId":%[2]q,"instanceId":"w","previousAssignment":null,"reason":"requested","status":"pending","previousStatus":%[3]q,"assignedAt":%[1]q}`,
		id, task.Status)
	place := fleettest.Place(&fleettest.FoldTask{ID: id, Priority: task.Priority})
	o.Put([]any{"ZADD", o.Keys.Assigned("w"), place, id},
		[]any{"HSET", o.Keys.Task(id), "status", "pending", "assignedTo", "w", "assignedSeq", seq, "updatedAt", at, "queuedAt", ms, "seq", seq})
}

// besideOlder runs a test beside an older coordinator. At the end, the fold of the log must equal the
// state in Redis: nothing of what the older one left is there any more.
func besideOlder(t *testing.T, test func(t *testing.T, f *fleettest.Fleet, o older)) {
	t.Helper()
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		test(t, f, older{f})
	})
}

// expectStatus checks the status of a task.
func expectStatus(f *fleettest.Fleet, id, want, when string) {
	f.T.Helper()
	if got := f.Get(id); got.Status != want {
		f.T.Errorf("%s, %s is %s, want %s", when, id, got.Status, want)
	}
}

// The queue of scheduled tasks has tasks that an older coordinator deleted, and others that are not
// scheduled. Nothing becomes of them at their time.
func TestAnOlderCoordinatorDeletedScheduledTasks(t *testing.T) {
	besideOlder(t, func(t *testing.T, f *fleettest.Fleet, o older) {
		for way, release := range map[string]func(){
			"timers": func() { stepTimers(f) },
			"claim":  func() { f.Claim("w") },
		} {
			finished, claimed := f.Create("finished", ""), f.Create("claimed", "")
			finish(t, f, finished, "")
			claimSoon(t, f, "w", claimed)
			deleted := f.Create("deleted", `,"delayMs":10`)
			o.deletes(deleted)
			due := f.Create("due", `,"delayMs":20`)
			runAt := moment(t, timedTask(f, due).RunAt)
			f.Put([]any{"ZADD", f.Keys.Scheduled(), runAt - 10, finished, runAt - 9, claimed, runAt - 8, "t-99999"})
			awaitTime(t, f, runAt)
			seq := f.Seq()
			release()
			want := []string{"task.due"}
			if way == "claim" {
				want = append(want, "task.claimed")
			}
			f.Holds(f.Emitted(seq, want...)[0], fmt.Sprintf(`{"id":%q}`, due))
			if left := f.Zset(f.Keys.Scheduled()); len(left) != 0 || f.Hash(f.Keys.Log())["due"] != "" {
				t.Errorf("%s: left %v, due %s", way, left, f.Hash(f.Keys.Log())["due"])
			}
			expectStatus(f, finished, "completed", way)
			expectStatus(f, claimed, "in_progress", way)
			if way == "timers" {
				claimSoon(t, f, "w", due)
			}
			f.OK("task.complete", `{"id":%q}`, due)
			f.OK("task.complete", `{"id":%q}`, claimed)
		}
	})
}

// Tasks that an older coordinator deleted hold up no turn.
func TestAnOlderCoordinatorDeletedTasksThatWaitForTheirTurn(t *testing.T) {
	besideOlder(t, func(t *testing.T, f *fleettest.Fleet, o older) {
		f.OK("limit.set", `{"key":"k","concurrent":1}`)
		first := f.Create("first", `,"limitKey":"k"`)
		claimSoon(t, f, "w", first)
		for range 60 { // more than a step looks at
			o.deletes(f.Create("deleted", `,"priority":90,"limitKey":"k"`))
		}
		next, last := f.Create("next", `,"limitKey":"k"`), f.Create("last", `,"limitKey":"k"`)
		seq := f.Seq()
		f.OK("task.complete", `{"id":%q}`, first)
		stepTimers(f)
		f.Holds(f.Emitted(seq, "task.completed", "task.unblocked")[1], fmt.Sprintf(`{"id":%q,"reason":"limit"}`, next))
		finish(t, f, next, "")
		finish(t, f, last, "")
	})
}

// Tasks that an older coordinator ended keep their places under a limit until an operator lowers the
// limit to 0.
func TestAnOlderCoordinatorCompletedTasksUnderALimit(t *testing.T) {
	besideOlder(t, func(t *testing.T, f *fleettest.Fleet, o older) {
		f.OK("limit.set", `{"key":"k","concurrent":3}`)
		var ids []string
		for range 5 {
			ids = append(ids, f.Create("x", `,"limitKey":"k"`))
		}
		for _, id := range ids[:3] {
			claimSoon(t, f, "w", id)
		}
		o.completes(ids[0])
		o.completes(ids[1])
		stepTimers(f)
		expectStatus(f, ids[3], "blocked", "after the older one ended two")
		seq := f.Seq()
		f.OK("limit.set", `{"key":"k","concurrent":0}`)
		stepTimers(f)
		f.OK("limit.set", `{"key":"k","concurrent":2}`)
		stepTimers(f)
		f.Holds(f.Emitted(seq, "limit.changed", "limit.changed", "task.unblocked")[2], fmt.Sprintf(`{"id":%q}`, ids[3]))
		finish(t, f, ids[3], "")
		finish(t, f, ids[4], "")
		f.OK("task.complete", `{"id":%q}`, ids[2])
	})
}

// A unique key is free if an older coordinator ended the task that had it.
func TestAnOlderCoordinatorEndedATaskWithAUniqueKey(t *testing.T) {
	besideOlder(t, func(t *testing.T, f *fleettest.Fleet, o older) {
		create := func(what string) string {
			t.Helper()
			got := fleettest.Decoded[timed](t, f.OK("task.create", `{"text":%q,"uniqueKey":"u"}`, what))
			if !*got.Created {
				t.Fatalf("%s was not created: %+v", what, got)
			}
			return got.ID
		}
		completed := create("completed")
		claimSoon(t, f, "w", completed)
		o.completes(completed)
		o.deletes(create("deleted"))
		failed := create("failed")
		finish(t, f, failed, `,"error":1`)
		for _, end := range []func(id string){
			func(id string) { claimSoon(t, f, "w", id); o.completes(id) },
			o.deletes,
			func(id string) { // as if the older one had failed it
				f.OK("task.delete", `{"id":%q}`, id)
				f.Put([]any{"HSET", f.Keys.Unique(), "u", failed})
			},
		} {
			end(create("another"))
			f.OK("task.retry", `{"id":%q}`, failed)
			if got := f.Hash(f.Keys.Unique())["u"]; got != failed {
				t.Errorf("%s has the key, want %s", got, failed)
			}
			finish(t, f, failed, `,"error":1`)
		}
	})
}

// What waits for a task that an older coordinator ended waits on, until somebody cancels and retries
// it. A dependent that it deleted is passed over.
func TestAnOlderCoordinatorEndedDependencies(t *testing.T) {
	besideOlder(t, func(t *testing.T, f *fleettest.Fleet, o older) {
		for what, end := range map[string]func(id string){
			"deleted":   o.deletes,
			"completed": func(id string) { claimSoon(t, f, "w", id); o.completes(id) },
		} {
			need := f.Create("need", `,"priority":100`)
			dependent := f.Create("dependent", fmt.Sprintf(`,"dependsOn":[%q]`, need))
			end(need)
			stepTimers(f)
			expectStatus(f, dependent, "blocked", what)
			f.OK("task.cancel", `{"id":%q}`, dependent)
			f.OK("task.retry", `{"id":%q}`, dependent)
			finish(t, f, dependent, "")
			if n := f.Exists(f.Keys.Dependents(need)); n != 0 {
				t.Errorf("%s: its list of dependents is left", what)
			}
		}
		need := f.Create("need", `,"priority":100`)
		o.deletes(f.Create("deleted", fmt.Sprintf(`,"dependsOn":[%q]`, need)))
		o.deletes(f.Create("deleted", fmt.Sprintf(`,"dependsOn":[%q],"limitKey":"k"`, need)))
		dependent := f.Create("dependent", fmt.Sprintf(`,"dependsOn":[%q]`, need))
		claimSoon(t, f, "w", need)
		seq := f.Seq()
		f.OK("task.complete", `{"id":%q}`, need)
		stepTimers(f)
		f.Holds(f.Emitted(seq, "task.completed", "task.unblocked")[1], fmt.Sprintf(`{"id":%q}`, dependent))
		finish(t, f, dependent, "")
	})
}

// Tasks that waited are not released after an older coordinator has assigned them all the same.
func TestAnOlderCoordinatorAssignedTasksThatWait(t *testing.T) {
	besideOlder(t, func(t *testing.T, f *fleettest.Fleet, o older) {
		f.OK("limit.set", `{"key":"k","concurrent":1}`)
		need, first := f.Create("need", `,"priority":100`), f.Create("first", `,"priority":100,"limitKey":"k"`)
		claimSoon(t, f, "w", need)
		claimSoon(t, f, "w", first)
		scheduled := f.Create("scheduled", `,"delayMs":20`)
		given := []string{
			f.Create("early", fmt.Sprintf(`,"dependsOn":[%q]`, need)), f.Create("turn", `,"limitKey":"k"`), scheduled,
			f.Create("late", fmt.Sprintf(`,"dependsOn":[%q]`, need)),
		}
		runAt := moment(t, timedTask(f, scheduled).RunAt)
		for _, id := range given {
			o.assigns(id)
		}
		for range given {
			f.Claim("w")
		}
		for _, id := range given {
			expectStatus(f, id, "in_progress", "assigned by the older one")
		}
		f.OK("task.complete", `{"id":%q}`, given[0])
		awaitTime(t, f, runAt)
		seq := f.Seq()
		f.OK("task.complete", `{"id":%q}`, need)
		f.OK("task.complete", `{"id":%q}`, first)
		stepTimers(f)
		f.Emitted(seq, "task.completed", "task.completed")
		for _, id := range given[1:] {
			f.OK("task.complete", `{"id":%q}`, id)
		}
	})
}

// Deadlines of tasks that have none, or that an older coordinator ended or took away, end nothing.
func TestAnOlderCoordinatorLeavesDeadlines(t *testing.T) {
	besideOlder(t, func(t *testing.T, f *fleettest.Fleet, o older) {
		finished, claimed := f.Create("finished", ""), f.Create("claimed", "")
		finish(t, f, finished, "")
		claimSoon(t, f, "w", claimed)
		pending := f.Create("pending", `,"timeoutMs":1000`)
		f.Put([]any{"ZADD", f.Keys.Deadlines(), 1, finished, 2, claimed, 3, pending, 4, "t-99999"})
		seq := f.Seq()
		stepTimers(f)
		f.Emitted(seq)
		if left := f.Zset(f.Keys.Deadlines()); len(left) != 0 {
			t.Errorf("left %v", left)
		}
		f.OK("task.complete", `{"id":%q}`, claimed)
		finish(t, f, pending, "")
	})
}
