package task_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestAssign(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker","a","b"]`, `,"metadata":{"maxTasks":0}`)
		f.Register("v", `[]`, "")
		plain, roles := f.Create("x", ""), f.Create("y", `,"metadata":{"roles":["b","a"]}`)
		before := f.Seq()
		result := fleettest.Decoded[api.AssignTaskResult](t, f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, plain)) // more than its maxTasks
		e := f.Emitted(before, "task.assigned")[0]
		f.Holds(e, fmt.Sprintf(`{"taskId":%q,"instanceId":"w","previousAssignment":null,"reason":"requested","status":"pending",
			"previousStatus":"pending","assignedAt":%q}`, plain, result.AssignedAt))
		if got := f.Get(plain); got.AssignedTo != "w" || got.Status != "pending" || got.Attempt != 0 || e.Actor != "anonymous" {
			t.Errorf("the task is %+v", got)
		}
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, roles)

		f.Refused(api.CodeConflict, `{"reason":"ALREADY_ASSIGNED","assignedTo":"w"}`, "task.assign", `{"taskId":%q,"instanceId":"v"}`, plain)
		f.Refused(api.CodeConflict, `{"reason":"ALREADY_ASSIGNED","assignedTo":"w"}`, "task.assign", `{"taskId":%q,"instanceId":"w"}`, plain)
		f.Refused(api.CodeNotFound, `{"id":"t-99"}`, "task.assign", `{"taskId":"t-99","instanceId":"w"}`)
		free := f.Create("z", `,"metadata":{"roles":["a"]}`)
		f.Refused(api.CodeNotRegistered, `{"instanceId":"nobody"}`, "task.assign", `{"taskId":%q,"instanceId":"nobody"}`, free)
		f.Refused(api.CodeConflict, `{"reason":"ROLES_MISSING","roles":["a"]}`, "task.assign", `{"taskId":%q,"instanceId":"v"}`, free)
		f.OK("task.complete", `{"id":%q}`, plain)
		f.Refused(api.CodeConflict, `{"reason":"ALREADY_FINISHED","status":"completed"}`, "task.assign", `{"taskId":%q,"instanceId":"w"}`, plain)
	})
}

func TestAssignRace(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		id := f.Create("x", "")
		for i := range 10 {
			f.Register(fmt.Sprintf("w%d", i), `["monitor"]`, "")
		}
		var won atomic.Int32
		var g errgroup.Group
		for i := range 10 {
			g.Go(func() error {
				_, err := f.Do("task.assign", fmt.Sprintf(`{"taskId":%q,"instanceId":"w%d"}`, id, i))
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
