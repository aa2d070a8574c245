package commands

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/api"
)

func TestComplete(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		done, failed := f.create("done", ""), f.create("failed", "")
		f.ok("task.claim", `{"workerId":"w","maxTasks":2}`)
		before := f.seq()
		answer := decoded[CompleteTaskResult](t, f.ok("task.complete", `{"id":%q,"workerId":"w","attempt":1,"result":{"n":1.0},"error":null}`, done))
		e := f.emitted(before, "task.completed")[0]
		f.holds(e, fmt.Sprintf(`{"id":%q,"status":"completed","workerId":"w","attempt":1,"result":{"n":1.0},"previousStatus":"in_progress",
			"completedAt":%q}`, done, answer.CompletedAt))
		if e.Actor != "w" || answer.Status != "completed" {
			t.Errorf("answered %+v, emitted %+v", answer, e)
		}
		if got := f.get(done); got.Status != "completed" || got.CompletedAt != answer.CompletedAt || string(got.Result) != `{"n":1.0}` ||
			got.AssignedTo != "w" || string(got.Error) != "null" {
			t.Errorf("the task is %+v", got)
		}
		before = f.seq()
		f.ok("task.complete", `{"taskId":%q,"result":[],"error":"no"}`, failed)
		f.holds(f.emitted(before, "task.failed")[0], `{"status":"failed","error":"no","result":[],"attempt":1,"workerId":"w"}`)
		if got := f.get(failed); got.Status != "failed" || string(got.Error) != `"no"` || string(got.Result) != `[]` {
			t.Errorf("the task is %+v", got)
		}
		if h := f.hash(f.keys.Instance("w")); h["status"] != "IDLE" {
			t.Errorf("the worker is %v", h)
		}
	})
}

func TestCompleteErrors(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		f.register("v", `["worker"]`, "")
		free, taken, gone := f.create("free", ""), f.create("taken", ""), f.create("gone", "")
		f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, taken)
		f.refused(api.CodeNotFound, `{"id":"t-999"}`, "task.complete", `{"id":"t-999"}`)
		f.refused(api.CodeNotFound, `{"id":"x\"y"}`, "task.complete", `{"id":"x\"y"}`)
		f.refused(api.CodeConflict, `{"reason":"NOT_ASSIGNED"}`, "task.complete", `{"id":%q}`, free)
		f.refused(api.CodeConflict, `{"reason":"NOT_OWNER","assignedTo":"w"}`, "task.complete", `{"id":%q,"workerId":"v"}`, taken)
		f.refused(api.CodeConflict, `{"reason":"STALE_ATTEMPT","attempt":0}`, "task.complete", `{"id":%q,"attempt":1}`, taken)
		if f.claim("w") != taken {
			t.Fatal("not claimed")
		}
		f.refused(api.CodeConflict, `{"reason":"STALE_ATTEMPT","attempt":1}`, "task.complete", `{"id":%q,"workerId":"w","attempt":0}`, taken)
		f.ok("task.complete", `{"id":%q,"attempt":1}`, taken)
		f.refused(api.CodeConflict, `{"reason":"ALREADY_FINISHED","status":"completed"}`, "task.complete", `{"id":%q,"attempt":1}`, taken)
		f.ok("task.assign", `{"taskId":%q,"instanceId":"v"}`, gone)
		f.put([]any{"DEL", f.keys.Instance("v")}) // its registration runs out
		f.refused(api.CodeNotRegistered, `{"instanceId":"v"}`, "task.complete", `{"id":%q}`, gone)
	})
}

// One that was assigned and never claimed is claimed in the same step.
func TestCompleteUnclaimed(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		id := f.create("x", "")
		f.register("w", `["worker"]`, "") // given to it automatically
		before := f.seq()
		f.ok("task.complete", `{"id":%q,"attempt":0}`, id)
		events := f.emitted(before, "task.claimed", "task.completed")
		f.holds(events[0], `{"workerId":"w","attempt":1,"previousAssignment":"w"}`)
		f.holds(events[1], `{"workerId":"w","attempt":1,"duration":0}`)
	})
}

func TestCompleteAgain(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		id := f.create("x", "")
		f.claim("w")
		first := f.ok("task.complete", `{"id":%q,"result":{"a":1,"b":2},"idempotencyKey":"k"}`, id)
		before := f.seq()
		again := f.ok("task.complete", `{"idempotencyKey":"k","result":{"b":2,"a":1},"id":%q}`, id)
		if string(first) != string(again) || f.seq() != before {
			t.Errorf("answered %s, then %s", first, again)
		}
		f.refused(api.CodeConflict, `{"reason":"IDEMPOTENCY_KEY_REUSED"}`, "task.complete", `{"id":%q,"idempotencyKey":"k"}`, id)
		// The answer outlives the task.
		f.ok("task.delete", `{"id":%q}`, id)
		if again := f.ok("task.complete", `{"id":%q,"result":{"a":1,"b":2},"idempotencyKey":"k"}`, id); string(again) != string(first) {
			t.Errorf("answered %s", again)
		}
	})
}

func TestCompleteRace(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		id := f.create("x", "")
		f.claim("w")
		var won atomic.Int32
		var g errgroup.Group
		for i := range 20 {
			g.Go(func() error {
				_, err := f.do("task.complete", fmt.Sprintf(`{"id":%q,"result":%d}`, id, i))
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
	everywhere(t, Options{TaskRetention: time.Hour}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		done, updated, open := f.create("x", ""), f.create("y", ""), f.create("z", "")
		f.ok("task.claim", `{"workerId":"w","maxTasks":2}`)
		f.ok("task.complete", `{"id":%q}`, done)
		f.ok("task.update", `{"id":%q,"updates":{"status":"failed"}}`, updated)
		f.ok("task.update", `{"id":%q,"updates":{"metadata":{"late":true},"priority":1,"text":"later"}}`, done)
		for _, id := range []string{done, updated} {
			if ttl := f.client.PTTL(t.Context(), f.keys.Task(id)).Val(); ttl <= 59*time.Minute || ttl > time.Hour {
				t.Errorf("%s is kept for %v", id, ttl)
			}
		}
		if ttl := f.client.PTTL(t.Context(), f.keys.Task(open)).Val(); ttl > 0 {
			t.Errorf("an open task is kept for %v", ttl)
		}
	})
}
