package task_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// beats returns the answer of an instance's heartbeat.
func beats(f *fleettest.Fleet, id string) string {
	f.T.Helper()
	answer := fleettest.Decoded[struct{ Cancel []string }](f.T, f.OK("system.heartbeat", `{"instanceId":%q}`, id))
	return strings.Join(answer.Cancel, " ")
}

// A task that nobody works on is cancelled at once, whatever it waits for.
func TestCancelWhatIsNotClaimed(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.OK("limit.set", `{"key":"none","concurrent":0}`)
		need := f.Create("needed", "")
		for status, id := range map[string]string{
			"scheduled": f.Create("x", `,"delayMs":3600000,"limitKey":"k","uniqueKey":"u1"`),
			"blocked":   f.Create("x", fmt.Sprintf(`,"dependsOn":[%q],"uniqueKey":"u2"`, need)),
			"pending":   f.Create("x", `,"limitKey":"k","uniqueKey":"u3","metadata":{"roles":["r"]}`),
		} {
			if got := timedTask(f, id); got.Status != status {
				t.Fatalf("%s is %s, want %s", id, got.Status, status)
			}
			seq := f.Seq()
			answer := f.OK("task.cancel", `{"id":%q,"reason":"no \"more\"","graceMs":60000}`, id)
			task := timedTask(f, id)
			if want := fmt.Sprintf(`{"id":%q,"status":"cancelled","cancelRequested":false,"completedAt":%q}`, id, task.CompletedAt); string(answer) != want {
				t.Errorf("answered %s, want %s", answer, want)
			}
			f.Holds(f.Emitted(seq, "task.cancelled")[0], fmt.Sprintf(`{"id":%q,"reason":"no \"more\"","previousStatus":%q,"workerId":null,"attempt":0}`, id, status))
			again := f.OK("task.cancel", `{"id":%q,"reason":"another"}`, id)
			if string(again) != string(answer) || f.Seq() != seq+1 {
				t.Errorf("cancelled twice, it answered %s, then %s", answer, again)
			}
			f.Refused(api.CodeConflict, `{"reason":"ALREADY_FINISHED","status":"cancelled"}`, "task.complete", `{"id":%q}`, id)
		}
		turn := f.Create("x", `,"limitKey":"none"`)
		f.OK("task.cancel", `{"id":%q}`, turn)
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, need)
		f.OK("task.cancel", `{"id":%q}`, need) // assigned, not claimed
		if got := timedTask(f, need); got.Status != "cancelled" || f.Claim("w") != "" {
			t.Errorf("the assigned task is %+v", got)
		}
		f.Refused(api.CodeNotFound, `{"id":"t-99"}`, "task.cancel", `{"id":"t-99"}`)
		stepTimers(f)
	})
}

func TestCancelWhatIsFinished(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		for status, more := range map[string]string{"completed": "", "failed": `,"error":1`} {
			id := f.Create("x", "")
			claimSoon(t, f, "w", id)
			f.OK("task.complete", `{"id":%q%s}`, id, more)
			f.Refused(api.CodeConflict, fmt.Sprintf(`{"reason":"ALREADY_FINISHED","status":%q}`, status), "task.cancel", `{"id":%q}`, id)
		}
		id := f.Create("x", "")
		claimSoon(t, f, "w", id)
		f.Refused(api.CodeConflict, `{"reason":"CANCEL_NOT_REQUESTED"}`, "task.complete", `{"id":%q,"cancelled":true}`, id)
		seq := f.Seq()
		f.OK("task.cancel", `{"id":%q,"graceMs":0}`, id)
		f.Emitted(seq, "task.cancelled")
	})
}

// The owner learns from its heartbeat and from task.progress that a task was called off, also after it
// registered again with its session, and ends it.
func TestTheOwnerLearnsOfTheCancellation(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
		id, other := f.Create("x", ""), f.Create("y", "")
		claimSoon(t, f, "w", id)
		claimSoon(t, f, "w", other)
		if got := beats(f, "w"); got != "" {
			t.Errorf("the heartbeat names %q", got)
		}
		seq := f.Seq()
		answer := f.OK("task.cancel", `{"id":%q,"reason":"so"}`, id)
		e := f.Emitted(seq, "task.cancel_requested")[0]
		f.Holds(e, fmt.Sprintf(`{"id":%q,"reason":"so","workerId":"w","attempt":1}`, id))
		said := fleettest.Decoded[struct{ CancelAt string }](t, answer)
		if grace := moment(t, said.CancelAt) - e.Timestamp; grace < 29_900 || grace > 30_100 {
			t.Errorf("the grace is %d ms", grace)
		}
		if task := timedTask(f, id); !task.CancelRequested || task.Status != "in_progress" {
			t.Errorf("it is %+v", task)
		}
		if again := f.OK("task.cancel", `{"id":%q,"graceMs":0}`, id); string(again) != string(answer) || f.Seq() != seq+1 {
			t.Errorf("cancelled twice, it answered %s, then %s", answer, again)
		}
		f.Register("w", `["worker","more"]`, `,"metadata":{"sessionId":"s"}`)
		if got := beats(f, "w"); got != id {
			t.Errorf("the heartbeat names %q", got)
		}
		if got := fleettest.Decoded[api.ProgressResult](t, f.OK("task.progress", `{"id":%q,"workerId":"w","attempt":1}`, id)); !got.CancelRequested {
			t.Error("task.progress does not say that it was called off")
		}
		seq = f.Seq()
		f.OK("task.complete", `{"id":%q,"workerId":"w","attempt":1,"cancelled":true}`, id)
		f.Holds(f.Emitted(seq, "task.cancelled")[0], `{"reason":"so","previousStatus":"in_progress","workerId":"w","attempt":1}`)
		if got := beats(f, "w"); got != "" {
			t.Errorf("afterwards the heartbeat names %q", got)
		}
		// It may finish the task all the same.
		for _, more := range []string{`"result":1`, `"error":1`} {
			late := f.Create("z", `,"retry":{"maxAttempts":5}`)
			claimSoon(t, f, "w", late)
			f.OK("task.cancel", `{"id":%q}`, late)
			f.OK("task.complete", `{"id":%q,%s}`, late, more)
			if got := timedTask(f, late); got.Status != map[string]string{`"result":1`: "completed", `"error":1`: "failed"}[more] || beats(f, "w") != "" {
				t.Errorf("finished with %s, it is %+v", more, got)
			}
		}
	})
}

func TestTheGraceEnds(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		id := f.Create("x", `,"timeoutMs":604800000,"retry":{"maxAttempts":5}`)
		claimSoon(t, f, "w", id)
		f.OK("task.cancel", `{"id":%q,"graceMs":100}`, id)
		at := fleettest.Decoded[struct{ CancelAt string }](t, f.OK("task.cancel", `{"id":%q}`, id)).CancelAt
		seq := f.Seq()
		f.OK("task.progress", `{"id":%q,"workerId":"w","attempt":1}`, id) // does not make the grace longer
		awaitTime(t, f, moment(t, at))
		if n := stepTimers(f); n != 1 {
			t.Errorf("%d tasks were changed", n)
		}
		f.Emitted(seq, "task.progressed", "task.cancelled")
		f.Refused(api.CodeConflict, `{"reason":"ALREADY_FINISHED","status":"cancelled"}`, "task.complete", `{"id":%q,"workerId":"w","attempt":1,"cancelled":true}`, id)
		if got := beats(f, "w"); got != "" {
			t.Errorf("the heartbeat names %q", got)
		}
	})
}

// A task that is to be cancelled and whose worker is lost is cancelled. It is not tried again.
func TestCancelATaskWhoseWorkerIsLost(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Watched()
		for way, lose := range map[string]func(){
			"dies":        func() { f.BuryAll(t) },
			"unregisters": func() { f.OK("system.unregister", `{"instanceId":"w"}`) },
			"new session": func() { f.Register("w", `["worker"]`, `,"metadata":{"sessionId":"other"}`) },
		} {
			f.Register("w", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
			id := f.Create("x", `,"retry":{"maxAttempts":5}`)
			claimSoon(t, f, "w", id)
			f.OK("task.cancel", `{"id":%q,"reason":"gone"}`, id)
			lose()
			f.Register("w", `["worker"]`, `,"metadata":{"sessionId":"third"}`)
			if got := timedTask(f, id); got.Status != "cancelled" || !strings.Contains(string(got.Cancellation), `"reason":"gone"`) {
				t.Errorf("%s: it is %+v", way, got)
			}
			if got := beats(f, "w"); got != "" {
				t.Errorf("%s: the heartbeat names %q", way, got)
			}
		}
	})
}

// task.retry revives what has failed or was cancelled, and nothing else.
func TestRevive(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		failed := f.Create("x", `,"retry":{"maxAttempts":2,"backoffMs":0}`)
		for range 2 {
			claimSoon(t, f, "w", failed)
			f.OK("task.progress", `{"id":%q,"workerId":"w","attempt":%d,"message":"m"}`, failed, timedTask(f, failed).Attempt)
			f.OK("task.complete", `{"id":%q,"error":1}`, failed)
		}
		dependent := f.Create("x", fmt.Sprintf(`,"dependsOn":[%q]`, failed))
		seq := f.Seq()
		answer := f.OK("task.retry", `{"id":%q}`, failed)
		if want := fmt.Sprintf(`{"id":%q,"status":"pending","attempt":2}`, failed); string(answer) != want {
			t.Errorf("answered %s, want %s", answer, want)
		}
		f.Holds(f.Emitted(seq, "task.revived")[0], `{"status":"pending","previousStatus":"failed","attempt":2}`)
		if got := timedTask(f, failed); got.Failures != 0 || len(got.Errors) != 0 || string(got.Error) != "null" || got.CompletedAt != "" || got.Progress != nil {
			t.Errorf("it is %+v", got)
		}
		if got := timedTask(f, dependent); got.Status != "cancelled" { // what was cancelled because of it stays cancelled
			t.Errorf("what depends on it is %+v", got)
		}
		if ttl := f.Client.PTTL(t.Context(), f.Keys.Task(failed)).Val(); ttl > 0 {
			t.Errorf("the revived task expires in %v", ttl)
		}
		for n := range 2 { // all its tries again
			claimSoon(t, f, "w", failed)
			f.OK("task.complete", `{"id":%q,"error":1}`, failed)
			if got := timedTask(f, failed); got.Attempt != 3+n || got.Failures != 1+n {
				t.Errorf("it is %+v", got)
			}
		}
		done := f.Create("x", "")
		f.Refused(api.CodeConflict, `{"reason":"NOT_FAILED","status":"pending"}`, "task.retry", `{"id":%q}`, done)
		claimSoon(t, f, "w", done)
		f.OK("task.complete", `{"id":%q}`, done)
		many := fleettest.Decoded[api.RetryTaskResult](t, f.OK("task.retry", `{"ids":[%q,%q,"t-99",%q]}`, done, failed, dependent))
		if *many.Retried != 2 || many.Tasks[0].Reason != "NOT_FAILED" || many.Tasks[1].Reason != "" || many.Tasks[2].Reason != "NOT_FOUND" {
			t.Errorf("answered %+v", many)
		}
		if got := timedTask(f, dependent); got.Status != "pending" { // it waits no longer for what failed
			t.Errorf("revived, it is %+v", got)
		}
	})
}
