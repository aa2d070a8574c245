package commands

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/api"
)

func TestDelete(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker","r"]`, "")
		waiting, roles := f.create("waiting", ""), f.create("roles", `,"metadata":{"roles":["r"]}`)
		assigned, claimed, done := f.create("assigned", ""), f.create("claimed", ""), f.create("done", "")
		for _, id := range []string{assigned, claimed, done} {
			f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
		}
		f.ok("task.update", `{"id":%q,"updates":{"status":"in_progress"}}`, claimed)
		f.ok("task.complete", `{"id":%q}`, done)
		for _, want := range []struct{ id, status, owner string }{
			{waiting, "pending", `null`},
			{roles, "pending", `null`},
			{assigned, "pending", `"w"`},
			{claimed, "in_progress", `"w"`},
			{done, "completed", `"w"`},
		} {
			before := f.seq()
			result := decoded[DeleteTaskResult](t, f.ok("task.delete", `{"id":%q}`, want.id))
			if !result.Deleted || string(result.ID) != want.id {
				t.Errorf("answered %+v", result)
			}
			f.holds(f.emitted(before, "task.deleted")[0], fmt.Sprintf(`{"id":%q,"deletedAt":%q,"deletedBy":"anonymous","previousStatus":%q,
				"previousAssignment":%s}`, want.id, result.DeletedAt, want.status, want.owner))
			f.refused(api.CodeNotFound, fmt.Sprintf(`{"id":%q}`, want.id), "task.delete", `{"id":%q}`, want.id)
			f.refused(api.CodeNotFound, fmt.Sprintf(`{"id":%q}`, want.id), "task.get", `{"id":%q}`, want.id)
			f.refused(api.CodeNotFound, fmt.Sprintf(`{"id":%q}`, want.id), "task.complete", `{"id":%q,"workerId":"w"}`, want.id)
			f.verify()
		}
		if f.claim("w") != "" {
			t.Error("claimed what was deleted")
		}
		f.create("x", "")
		if _, err := f.Call(t.Context(), api.Request{
			Method: "task.delete", Params: json.RawMessage(fmt.Sprintf(`{"id":"t-%d"}`, f.seq())), Caller: `to"ken`,
		}); err != nil {
			t.Fatal(err)
		}
		f.holds(f.events()[f.seq()-1], `{"deletedBy":"to\"ken"}`)
	})
}

func TestDeleteRace(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		id := f.create("x", "")
		var won atomic.Int32
		var g errgroup.Group
		for i := range 20 {
			g.Go(func() error {
				if i%2 == 0 {
					_, err := f.do("task.claim", `{"workerId":"w"}`)
					return err
				}
				_, err := f.do("task.delete", fmt.Sprintf(`{"id":%q}`, id))
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
