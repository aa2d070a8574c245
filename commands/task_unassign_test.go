package commands

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/api"
)

func TestUnassign(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		a, b, c := f.create("a", ""), f.create("b", ""), f.create("c", "")
		f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, b)
		before := f.seq()
		result := decoded[UnassignTaskResult](t, f.ok("task.unassign", `{"taskId":%q}`, b))
		if result.PreviousAssignment != "w" || string(result.TaskID) != b {
			t.Errorf("answered %+v", result)
		}
		f.holds(f.emitted(before, "task.unassigned")[0], fmt.Sprintf(`{"taskId":%q,"instanceId":"w","previousAssignment":"w","reason":"requested",
			"status":"pending","previousStatus":"pending","unassignedAt":%q}`, b, result.UnassignedAt))
		if got := f.zset(f.keys.Pending()); !slices.Equal(got, []string{a, b, c}) {
			t.Errorf("it did not come back to its place: %v", got)
		}
		if f.claim("w") != a || f.claim("w") != b {
			t.Fatal("claimed something else")
		}
		before = f.seq()
		f.ok("task.unassign", `{"taskId":%q}`, a)
		f.holds(f.emitted(before, "task.unassigned")[0], `{"previousStatus":"in_progress"}`)
		if got := f.get(a); got.Status != "pending" || got.AssignedTo != "" || got.Attempt != 1 {
			t.Errorf("the task is %+v", got)
		}
		before = f.seq()
		if f.claim("w") != a {
			t.Error("it did not come back to its place")
		}
		f.holds(f.emitted(before, "task.claimed")[0], `{"attempt":2,"previousAssignment":null}`)

		f.refused(api.CodeNotFound, `{"id":"t-99"}`, "task.unassign", `{"taskId":"t-99"}`)
		f.refused(api.CodeConflict, `{"reason":"NOT_ASSIGNED"}`, "task.unassign", `{"taskId":%q}`, c)
		f.ok("task.complete", `{"id":%q}`, a)
		f.refused(api.CodeConflict, `{"reason":"ALREADY_FINISHED","status":"completed"}`, "task.unassign", `{"taskId":%q}`, a)
	})
}

func TestUnassignRace(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		id := f.create("x", `,"metadata":{"roles":["worker"]}`)
		f.claim("w")
		var won atomic.Int32
		var g errgroup.Group
		for range 10 {
			g.Go(func() error {
				_, err := f.do("task.unassign", fmt.Sprintf(`{"taskId":%q}`, id))
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
			t.Errorf("%d took it away", won.Load())
		}
	})
}
