package commands

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/api"
)

func TestAssign(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker","a","b"]`, `,"metadata":{"maxTasks":0}`)
		f.register("v", `[]`, "")
		plain, roles := f.create("x", ""), f.create("y", `,"metadata":{"roles":["b","a"]}`)
		before := f.seq()
		result := decoded[AssignTaskResult](t, f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, plain)) // beyond what it takes by itself
		e := f.emitted(before, "task.assigned")[0]
		f.holds(e, fmt.Sprintf(`{"taskId":%q,"instanceId":"w","previousAssignment":null,"reason":"requested","status":"pending",
			"previousStatus":"pending","assignedAt":%q}`, plain, result.AssignedAt))
		if got := f.get(plain); got.AssignedTo != "w" || got.Status != "pending" || got.Attempt != 0 || e.Actor != "anonymous" {
			t.Errorf("the task is %+v", got)
		}
		f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, roles)

		f.refused(api.CodeConflict, `{"reason":"ALREADY_ASSIGNED","assignedTo":"w"}`, "task.assign", `{"taskId":%q,"instanceId":"v"}`, plain)
		f.refused(api.CodeConflict, `{"reason":"ALREADY_ASSIGNED","assignedTo":"w"}`, "task.assign", `{"taskId":%q,"instanceId":"w"}`, plain)
		f.refused(api.CodeNotFound, `{"id":"t-99"}`, "task.assign", `{"taskId":"t-99","instanceId":"w"}`)
		free := f.create("z", `,"metadata":{"roles":["a"]}`)
		f.refused(api.CodeNotRegistered, `{"instanceId":"nobody"}`, "task.assign", `{"taskId":%q,"instanceId":"nobody"}`, free)
		f.refused(api.CodeConflict, `{"reason":"ROLES_MISSING","roles":["a"]}`, "task.assign", `{"taskId":%q,"instanceId":"v"}`, free)
		f.ok("task.complete", `{"id":%q}`, plain)
		f.refused(api.CodeConflict, `{"reason":"ALREADY_FINISHED","status":"completed"}`, "task.assign", `{"taskId":%q,"instanceId":"w"}`, plain)
	})
}

func TestAssignRace(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		id := f.create("x", "")
		for i := range 10 {
			f.register(fmt.Sprintf("w%d", i), `["monitor"]`, "")
		}
		var won atomic.Int32
		var g errgroup.Group
		for i := range 10 {
			g.Go(func() error {
				_, err := f.do("task.assign", fmt.Sprintf(`{"taskId":%q,"instanceId":"w%d"}`, id, i))
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
			t.Errorf("%d were given it", won.Load())
		}
	})
}
