package commands

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/api"
)

func TestUpdate(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		id := f.create("x", `,"priority":5,"metadata":{"keep":1.0,"change":[]}`)
		before := f.seq()
		result := f.ok("task.update", `{"id":%q,"updates":{"text":"y","priority":6,"metadata":{"new":{},"change":12345678901234567890}}}`, id)
		got := decoded[taskJSON](t, result)
		if got.Text != "y" || got.Priority != 6 || string(got.Metadata) != `{"keep":1.0,"change":12345678901234567890,"new":{}}` {
			t.Errorf("answered %s", result)
		}
		e := f.emitted(before, "task.updated")[0]
		f.holds(e, fmt.Sprintf(`{"id":%q,"changes":{"text":"y","priority":6,"metadata":{"keep":1.0,"change":12345678901234567890,"new":{}}},
			"previousPriority":5,"status":"pending","updatedAt":%q,"updatedBy":"anonymous"}`, id, got.UpdatedAt))
		f.ok("task.update", `{"id":%q,"updates":{"metadata":{}}}`, id)
		bare := f.create("z", "")
		if got := decoded[taskJSON](t, f.ok("task.update", `{"id":%q,"updates":{"metadata":{"a":"b"}}}`, bare)); string(got.Metadata) != `{"a":"b"}` {
			t.Errorf("metadata of one that had none: %s", got.Metadata)
		}
		// Of members of one name the last counts, and is the one that is replaced.
		twice := f.create("z", `,"metadata":{"a":1,"b":2,"\u0061":3}`)
		if got := decoded[taskJSON](t, f.ok("task.update", `{"id":%q,"updates":{"metadata":{"a":4}}}`, twice)); string(got.Metadata) != `{"a":4,"b":2}` {
			t.Errorf("metadata with a name twice: %s", got.Metadata)
		}
	})
}

func TestUpdatePriorityMovesInTheQueue(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker","r"]`, "")
		a, b, c := f.create("a", ""), f.create("b", ""), f.create("c", "")
		f.ok("task.update", `{"id":%q,"updates":{"priority":90}}`, c)
		if got := f.zset(f.keys.Pending()); !slices.Equal(got, []string{c, a, b}) {
			t.Errorf("the queue is %v", got)
		}
		f.ok("task.update", `{"id":%q,"updates":{"priority":50}}`, c) // and back to its own place
		if got := f.zset(f.keys.Pending()); !slices.Equal(got, []string{a, b, c}) {
			t.Errorf("the queue is %v", got)
		}
		// Also where it is assigned, claimed, or asks for roles; verify looks at the scores.
		f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, b)
		f.ok("task.update", `{"id":%q,"updates":{"priority":91}}`, b)
		f.ok("task.update", `{"id":%q,"updates":{"priority":92,"metadata":{"roles":["r"]}}}`, a)
		f.verify()
		f.ok("task.claim", `{"workerId":"w","maxTasks":3}`)
		f.ok("task.update", `{"id":%q,"updates":{"priority":0}}`, a)
	})
}

func TestUpdateStatus(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		id := f.create("x", "")
		status := func(s string, types ...string) []event {
			t.Helper()
			before := f.seq()
			got := decoded[taskJSON](t, f.ok("task.update", `{"id":%q,"updates":{"status":%q}}`, id, s))
			if got.Status != s {
				t.Errorf("answered %+v", got)
			}
			if stored := f.get(id); stored.Status != s || stored.AssignedTo != got.AssignedTo || stored.Attempt != got.Attempt {
				t.Errorf("answered %+v, stored %+v", got, stored)
			}
			return f.emitted(before, append([]string{"task.updated"}, types...)...)
		}
		status("pending") // nothing to release
		for _, s := range []string{"in_progress", "completed", "failed"} {
			f.refused(api.CodeConflict, `{"reason":"NOT_ASSIGNED"}`, "task.update", `{"id":%q,"updates":{"status":%q}}`, id, s)
		}
		f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
		f.holds(status("in_progress", "task.claimed")[1], `{"workerId":"w","attempt":1}`)
		status("in_progress")
		f.holds(status("pending", "task.unassigned")[1], `{"instanceId":"w","reason":"released","previousStatus":"in_progress"}`)
		f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
		f.holds(status("failed", "task.claimed", "task.failed")[2], `{"attempt":2,"error":null,"result":null}`)
		f.refused(api.CodeConflict, `{"reason":"ALREADY_FINISHED","status":"failed"}`, "task.update", `{"id":%q,"updates":{"status":"pending"}}`, id)
		id = f.create("y", "")
		f.claim("w")
		status("completed", "task.completed")
	})
}

func TestUpdateErrors(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.refused(api.CodeNotFound, `{"id":"t-9"}`, "task.update", `{"id":"t-9","updates":{"text":"x"}}`)
		f.refused(api.CodeNotFound, `{"id":"t-9"}`, "task.update", `{"id":"t-9","updates":{"metadata":{"a":1}}}`)
		id := f.create("x", "")
		for i := range 64 {
			f.create("x", fmt.Sprintf(`,"metadata":{"roles":["r%d"]}`, i))
		}
		f.refused(api.CodeConflict, `{"reason":"TOO_MANY_ROLE_SETS","limit":64}`, "task.update", `{"id":%q,"updates":{"metadata":{"roles":["x"]}}}`, id)
		f.ok("task.update", `{"id":%q,"updates":{"metadata":{"roles":["r7"]}}}`, id)
		f.ok("task.update", `{"id":%q,"updates":{"metadata":{"roles":null}}}`, id)
	})
}

// An owner that has not the roles a task asks for from now on may not claim it.
func TestUpdateRolesOfAnAssignedTask(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		id, claimed := f.create("x", ""), f.create("y", "")
		f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, claimed)
		f.claim("w")
		f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
		before := f.seq()
		f.refused(api.CodeConflict, `{"reason":"ROLES_MISSING","roles":["gpu"]}`, "task.update",
			`{"id":%q,"updates":{"status":"in_progress","metadata":{"roles":["gpu"]}}}`, id)
		got := decoded[taskJSON](t, f.ok("task.update", `{"id":%q,"updates":{"metadata":{"roles":["gpu"]}}}`, id))
		f.holds(f.emitted(before, "task.updated", "task.unassigned")[1], `{"reason":"roles_changed","instanceId":"w"}`)
		if got.AssignedTo != "" || f.claim("w") != "" {
			t.Errorf("the task is %+v", got)
		}
		f.ok("task.update", `{"id":%q,"updates":{"metadata":{"roles":["gpu"]}}}`, claimed) // it is at work already
		if got := f.get(claimed); got.AssignedTo != "w" || got.Status != "in_progress" {
			t.Errorf("the claimed task is %+v", got)
		}
		f.ok("task.complete", `{"id":%q}`, claimed)
	})
}

// Everybody's change of the metadata is there in the end.
// Metadata is merged, so it could grow without end.
func TestUpdateMetadataStaysBounded(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		id := f.create("x", "")
		part := strings.Repeat("x", 600<<10)
		f.ok("task.update", `{"id":%q,"updates":{"metadata":{"a":%q}}}`, id, part)
		f.refused(api.CodeInvalidParams, `"updates.metadata parameter: merged with what the task has it would be longer than 1 MiB"`,
			"task.update", `{"id":%q,"updates":{"metadata":{"b":%q}}}`, id, part)
		f.ok("task.update", `{"id":%q,"updates":{"metadata":{"a":%q}}}`, id, part)
	})
}

func TestUpdateMetadataAtOnce(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		id := f.create("x", "")
		coordinators := []*fleet{f, f.beside()}
		var g errgroup.Group
		for i := range 12 {
			g.Go(func() error {
				_, err := coordinators[i%2].do("task.update", fmt.Sprintf(`{"id":%q,"updates":{"metadata":{"k%d":%[2]d}}}`, id, i))
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if got := decoded[map[string]int](t, f.get(id).Metadata); len(got) != 12 || got["k7"] != 7 {
			t.Errorf("the metadata is %v", got)
		}
	})
}
