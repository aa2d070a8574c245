package task_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestUnassign(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		a, b, c := f.Create("a", ""), f.Create("b", ""), f.Create("c", "")
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, b)
		before := f.Seq()
		result := fleettest.Decoded[api.UnassignTaskResult](t, f.OK("task.unassign", `{"taskId":%q}`, b))
		if result.PreviousAssignment != "w" || string(result.TaskID) != b {
			t.Errorf("answered %+v", result)
		}
		f.Holds(f.Emitted(before, "task.unassigned")[0], fmt.Sprintf(`{"taskId":%q,"instanceId":"w","previousAssignment":"w","reason":"requested",
			"status":"pending","previousStatus":"pending","unassignedAt":%q}`, b, result.UnassignedAt))
		if got := f.Zset(f.Keys.Pending()); !slices.Equal(got, []string{a, b, c}) {
			t.Errorf("it did not come back to its place: %v", got)
		}
		if f.Claim("w") != a || f.Claim("w") != b {
			t.Fatal("claimed something else")
		}
		before = f.Seq()
		f.OK("task.unassign", `{"taskId":%q}`, a)
		f.Holds(f.Emitted(before, "task.unassigned")[0], `{"previousStatus":"in_progress"}`)
		if got := f.Get(a); got.Status != "pending" || got.AssignedTo != "" || got.Attempt != 1 {
			t.Errorf("the task is %+v", got)
		}
		before = f.Seq()
		if f.Claim("w") != a {
			t.Error("it did not come back to its place")
		}
		f.Holds(f.Emitted(before, "task.claimed")[0], `{"attempt":2,"previousAssignment":null}`)

		f.Refused(api.CodeNotFound, `{"id":"t-99"}`, "task.unassign", `{"taskId":"t-99"}`)
		f.Refused(api.CodeConflict, `{"reason":"NOT_ASSIGNED"}`, "task.unassign", `{"taskId":%q}`, c)
		f.OK("task.complete", `{"id":%q}`, a)
		f.Refused(api.CodeConflict, `{"reason":"ALREADY_FINISHED","status":"completed"}`, "task.unassign", `{"taskId":%q}`, a)
	})
}

func TestUnassignRace(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		id := f.Create("x", `,"metadata":{"roles":["worker"]}`)
		f.Claim("w")
		var won atomic.Int32
		var g errgroup.Group
		for range 10 {
			g.Go(func() error {
				_, err := f.Do("task.unassign", fmt.Sprintf(`{"taskId":%q}`, id))
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
