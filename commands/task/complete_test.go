package task_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestComplete(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		done, failed := f.Create("done", ""), f.Create("failed", "")
		f.OK("task.claim", `{"workerId":"w","maxTasks":2}`)
		before := f.Seq()
		answer := fleettest.Decoded[api.CompleteTaskResult](t, f.OK("task.complete", `{"id":%q,"workerId":"w","attempt":1,"result":{"n":1.0},"error":null}`, done))
		e := f.Emitted(before, "task.completed")[0]
		f.Holds(e, fmt.Sprintf(`{"id":%q,"status":"completed","workerId":"w","attempt":1,"result":{"n":1.0},"previousStatus":"in_progress",
			"completedAt":%q}`, done, answer.CompletedAt))
		if e.Actor != "w" || answer.Status != "completed" {
			t.Errorf("answered %+v, emitted %+v", answer, e)
		}
		if got := f.Get(done); got.Status != "completed" || got.CompletedAt != answer.CompletedAt || string(got.Result) != `{"n":1.0}` ||
			got.AssignedTo != "w" || string(got.Error) != "null" {
			t.Errorf("the task is %+v", got)
		}
		before = f.Seq()
		f.OK("task.complete", `{"taskId":%q,"result":[],"error":"no"}`, failed)
		f.Holds(f.Emitted(before, "task.failed")[0], `{"status":"failed","error":"no","result":[],"attempt":1,"workerId":"w"}`)
		if got := f.Get(failed); got.Status != "failed" || string(got.Error) != `"no"` || string(got.Result) != `[]` {
			t.Errorf("the task is %+v", got)
		}
		if h := f.Hash(f.Keys.Instance("w")); h["status"] != "IDLE" {
			t.Errorf("the worker is %v", h)
		}
	})
}

func TestCompleteErrors(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		f.Register("v", `["worker"]`, "")
		free, taken, gone := f.Create("free", ""), f.Create("taken", ""), f.Create("gone", "")
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, taken)
		f.Refused(api.CodeNotFound, `{"id":"t-999"}`, "task.complete", `{"id":"t-999"}`)
		f.Refused(api.CodeNotFound, `{"id":"x\"y"}`, "task.complete", `{"id":"x\"y"}`)
		f.Refused(api.CodeConflict, `{"reason":"NOT_ASSIGNED"}`, "task.complete", `{"id":%q}`, free)
		f.Refused(api.CodeConflict, `{"reason":"NOT_OWNER","assignedTo":"w"}`, "task.complete", `{"id":%q,"workerId":"v"}`, taken)
		f.Refused(api.CodeConflict, `{"reason":"UNKNOWN_ATTEMPT","attempt":0}`, "task.complete", `{"id":%q,"attempt":1}`, taken)
		if f.Claim("w") != taken {
			t.Fatal("not claimed")
		}
		f.Refused(api.CodeConflict, `{"reason":"STALE_ATTEMPT","attempt":1}`, "task.complete", `{"id":%q,"workerId":"w","attempt":0}`, taken)
		f.OK("task.complete", `{"id":%q,"attempt":1}`, taken)
		f.Refused(api.CodeConflict, `{"reason":"ALREADY_FINISHED","status":"completed"}`, "task.complete", `{"id":%q,"attempt":1}`, taken)
		f.OK("task.assign", `{"taskId":%q,"instanceId":"v"}`, gone)
		f.Put([]any{"DEL", f.Keys.Instance("v")}) // the registration expires
		f.Refused(api.CodeNotRegistered, `{"instanceId":"v"}`, "task.complete", `{"id":%q}`, gone)
	})
}

// A task that was assigned and not claimed is claimed in the same step.
func TestCompleteUnclaimed(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		id := f.Create("x", "")
		f.Register("w", `["worker"]`, "") // the task is auto-assigned to w
		before := f.Seq()
		f.OK("task.complete", `{"id":%q,"attempt":0}`, id)
		events := f.Emitted(before, "task.claimed", "task.completed")
		f.Holds(events[0], `{"workerId":"w","attempt":1,"previousAssignment":"w"}`)
		f.Holds(events[1], `{"workerId":"w","attempt":1,"duration":0}`)
	})
}

func TestCompleteAgain(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		id := f.Create("x", "")
		f.Claim("w")
		first := f.OK("task.complete", `{"id":%q,"result":{"a":1,"b":2},"idempotencyKey":"k"}`, id)
		before := f.Seq()
		again := f.OK("task.complete", `{"idempotencyKey":"k","result":{"b":2,"a":1},"id":%q}`, id)
		if string(first) != string(again) || f.Seq() != before {
			t.Errorf("answered %s, then %s", first, again)
		}
		f.Refused(api.CodeConflict, `{"reason":"IDEMPOTENCY_KEY_REUSED"}`, "task.complete", `{"id":%q,"idempotencyKey":"k"}`, id)
		// The stored answer outlives the task.
		f.OK("task.delete", `{"id":%q}`, id)
		if again := f.OK("task.complete", `{"id":%q,"result":{"a":1,"b":2},"idempotencyKey":"k"}`, id); string(again) != string(first) {
			t.Errorf("answered %s", again)
		}
	})
}

func TestCompleteRace(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		id := f.Create("x", "")
		f.Claim("w")
		var won atomic.Int32
		var g errgroup.Group
		for i := range 20 {
			g.Go(func() error {
				_, err := f.Do("task.complete", fmt.Sprintf(`{"id":%q,"result":%d}`, id, i))
				var refused *api.Error
				if err == nil {
					won.Add(1)
				} else if !errors.As(err, &refused) || refused.Code != api.CodeConflict {
					return err
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if won.Load() != 1 {
			t.Errorf("%d finished it", won.Load())
		}
	})
}

func TestCompleteKeepsForTheRetention(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{TaskRetention: time.Hour}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		done, updated, open := f.Create("x", ""), f.Create("y", ""), f.Create("z", "")
		f.OK("task.claim", `{"workerId":"w","maxTasks":2}`)
		f.OK("task.complete", `{"id":%q}`, done)
		f.OK("task.update", `{"id":%q,"updates":{"status":"failed"}}`, updated)
		f.OK("task.update", `{"id":%q,"updates":{"metadata":{"late":true},"priority":1,"text":"later"}}`, done)
		for _, id := range []string{done, updated} {
			if ttl := f.Client.PTTL(t.Context(), f.Keys.Task(id)).Val(); ttl <= 59*time.Minute || ttl > time.Hour {
				t.Errorf("%s is kept for %v", id, ttl)
			}
		}
		if ttl := f.Client.PTTL(t.Context(), f.Keys.Task(open)).Val(); ttl > 0 {
			t.Errorf("an open task is kept for %v", ttl)
		}
	})
}
