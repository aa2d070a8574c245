package task_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestDelete(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker","r"]`, "")
		waiting, roles := f.Create("waiting", ""), f.Create("roles", `,"metadata":{"roles":["r"]}`)
		assigned, claimed, done := f.Create("assigned", ""), f.Create("claimed", ""), f.Create("done", "")
		for _, id := range []string{assigned, claimed, done} {
			f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
		}
		f.OK("task.update", `{"id":%q,"updates":{"status":"in_progress"}}`, claimed)
		f.OK("task.complete", `{"id":%q}`, done)
		for _, want := range []struct{ id, status, owner string }{
			{waiting, "pending", `null`},
			{roles, "pending", `null`},
			{assigned, "pending", `"w"`},
			{claimed, "in_progress", `"w"`},
			{done, "completed", `"w"`},
		} {
			before := f.Seq()
			result := fleettest.Decoded[api.DeleteTaskResult](t, f.OK("task.delete", `{"id":%q}`, want.id))
			if !result.Deleted || string(result.ID) != want.id {
				t.Errorf("answered %+v", result)
			}
			f.Holds(f.Emitted(before, "task.deleted")[0], fmt.Sprintf(`{"id":%q,"deletedAt":%q,"deletedBy":"anonymous","previousStatus":%q,
				"previousAssignment":%s}`, want.id, result.DeletedAt, want.status, want.owner))
			f.Refused(api.CodeNotFound, fmt.Sprintf(`{"id":%q}`, want.id), "task.delete", `{"id":%q}`, want.id)
			f.Refused(api.CodeNotFound, fmt.Sprintf(`{"id":%q}`, want.id), "task.get", `{"id":%q}`, want.id)
			f.Refused(api.CodeNotFound, fmt.Sprintf(`{"id":%q}`, want.id), "task.complete", `{"id":%q,"workerId":"w"}`, want.id)
			f.Verify()
		}
		if f.Claim("w") != "" {
			t.Error("claimed what was deleted")
		}
		f.Create("x", "")
		if _, err := f.Call(t.Context(), api.Request{
			Method: "task.delete", Params: json.RawMessage(fmt.Sprintf(`{"id":"t-%d"}`, f.Seq())), Caller: `to"ken`,
		}); err != nil {
			t.Fatal(err)
		}
		f.Holds(f.Events()[f.Seq()-1], `{"deletedBy":"to\"ken"}`)
	})
}

func TestDeleteRace(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		id := f.Create("x", "")
		var won atomic.Int32
		var g errgroup.Group
		for i := range 20 {
			g.Go(func() error {
				if i%2 == 0 {
					_, err := f.Do("task.claim", `{"workerId":"w"}`)
					return err
				}
				_, err := f.Do("task.delete", fmt.Sprintf(`{"id":%q}`, id))
				var refused *api.Error
				if err == nil {
					won.Add(1)
				} else if !errors.As(err, &refused) || refused.Code != api.CodeNotFound {
					return err
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if won.Load() != 1 {
			t.Errorf("%d deleted it", won.Load())
		}
	})
}
