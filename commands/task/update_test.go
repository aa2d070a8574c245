package task_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestUpdate(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		id := f.Create("x", `,"priority":5,"metadata":{"keep":1.0,"change":[]}`)
		before := f.Seq()
		result := f.OK("task.update", `{"id":%q,"updates":{"text":"y","priority":6,"metadata":{"new":{},"change":12345678901234567890}}}`, id)
		got := fleettest.Decoded[fleettest.Task](t, result)
		if got.Text != "y" || got.Priority != 6 || string(got.Metadata) != `{"keep":1.0,"change":12345678901234567890,"new":{}}` {
			t.Errorf("answered %s", result)
		}
		e := f.Emitted(before, "task.updated")[0]
		f.Holds(e, fmt.Sprintf(`{"id":%q,"changes":{"text":"y","priority":6,"metadataChanges":{"new":{},"change":12345678901234567890}},
			"previousPriority":5,"status":"pending","updatedAt":%q,"updatedBy":"anonymous"}`, id, got.UpdatedAt))
		if e.V != 2 {
			t.Errorf("the event has version %d", e.V)
		}
		// A merge that changes nothing is not in the event's changes.
		before = f.Seq()
		same := fleettest.Decoded[fleettest.Task](t, f.OK("task.update", `{"id":%q,"updates":{"metadata":{"keep":1.0}}}`, id))
		f.Holds(f.Emitted(before, "task.updated")[0], fmt.Sprintf(`{"id":%q,"changes":{},
			"previousPriority":6,"status":"pending","updatedAt":%q,"updatedBy":"anonymous"}`, id, same.UpdatedAt))
		f.OK("task.update", `{"id":%q,"updates":{"metadata":{}}}`, id)
		bare := f.Create("z", "")
		if got := fleettest.Decoded[fleettest.Task](t, f.OK("task.update", `{"id":%q,"updates":{"metadata":{"a":"b"}}}`, bare)); string(got.Metadata) != `{"a":"b"}` {
			t.Errorf("metadata of one that had none: %s", got.Metadata)
		}
		// If a name occurs twice, the last member counts and is replaced.
		twice := f.Create("z", `,"metadata":{"a":1,"b":2,"\u0061":3}`)
		if got := fleettest.Decoded[fleettest.Task](t, f.OK("task.update", `{"id":%q,"updates":{"metadata":{"a":4}}}`, twice)); string(got.Metadata) != `{"a":4,"b":2}` {
			t.Errorf("metadata with a name twice: %s", got.Metadata)
		}
	})
}

func TestUpdatePriorityMovesInTheQueue(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker","r"]`, "")
		a, b, c := f.Create("a", ""), f.Create("b", ""), f.Create("c", "")
		f.OK("task.update", `{"id":%q,"updates":{"priority":90}}`, c)
		if got := f.Zset(f.Keys.Pending()); !slices.Equal(got, []string{c, a, b}) {
			t.Errorf("the queue is %v", got)
		}
		f.OK("task.update", `{"id":%q,"updates":{"priority":50}}`, c) // back to its original place
		if got := f.Zset(f.Keys.Pending()); !slices.Equal(got, []string{a, b, c}) {
			t.Errorf("the queue is %v", got)
		}
		// The same holds if the task is assigned, is claimed or requires roles. Verify checks the
		// scores.
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, b)
		f.OK("task.update", `{"id":%q,"updates":{"priority":91}}`, b)
		f.OK("task.update", `{"id":%q,"updates":{"priority":92,"metadata":{"roles":["r"]}}}`, a)
		f.Verify()
		f.OK("task.claim", `{"workerId":"w","maxTasks":3}`)
		f.OK("task.update", `{"id":%q,"updates":{"priority":0}}`, a)
	})
}

func TestUpdateStatus(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		id := f.Create("x", "")
		status := func(s string, types ...string) []fleettest.Event {
			t.Helper()
			before := f.Seq()
			got := fleettest.Decoded[fleettest.Task](t, f.OK("task.update", `{"id":%q,"updates":{"status":%q}}`, id, s))
			if got.Status != s {
				t.Errorf("answered %+v", got)
			}
			if stored := f.Get(id); stored.Status != s || stored.AssignedTo != got.AssignedTo || stored.Attempt != got.Attempt {
				t.Errorf("answered %+v, stored %+v", got, stored)
			}
			return f.Emitted(before, append([]string{"task.updated"}, types...)...)
		}
		status("pending") // there is no owner to release it from
		for _, s := range []string{"in_progress", "completed", "failed"} {
			f.Refused(api.CodeConflict, `{"reason":"NOT_ASSIGNED"}`, "task.update", `{"id":%q,"updates":{"status":%q}}`, id, s)
		}
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
		f.Holds(status("in_progress", "task.claimed")[1], `{"workerId":"w","attempt":1}`)
		status("in_progress")
		f.Holds(status("pending", "task.unassigned")[1], `{"instanceId":"w","reason":"released","previousStatus":"in_progress"}`)
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
		f.Holds(status("failed", "task.claimed", "task.failed")[2], `{"attempt":2,"error":null,"result":null}`)
		f.Refused(api.CodeConflict, `{"reason":"ALREADY_FINISHED","status":"failed"}`, "task.update", `{"id":%q,"updates":{"status":"pending"}}`, id)
		id = f.Create("y", "")
		f.Claim("w")
		status("completed", "task.completed")
	})
}

func TestUpdateErrors(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Refused(api.CodeNotFound, `{"id":"t-9"}`, "task.update", `{"id":"t-9","updates":{"text":"x"}}`)
		f.Refused(api.CodeNotFound, `{"id":"t-9"}`, "task.update", `{"id":"t-9","updates":{"metadata":{"a":1}}}`)
		id := f.Create("x", "")
		for i := range 64 {
			f.Create("x", fmt.Sprintf(`,"metadata":{"roles":["r%d"]}`, i))
		}
		f.Refused(api.CodeConflict, `{"reason":"TOO_MANY_ROLE_SETS","limit":64}`, "task.update", `{"id":%q,"updates":{"metadata":{"roles":["x"]}}}`, id)
		f.OK("task.update", `{"id":%q,"updates":{"metadata":{"roles":["r7"]}}}`, id)
		f.OK("task.update", `{"id":%q,"updates":{"metadata":{"roles":null}}}`, id)
	})
}

// An owner without the roles that a task newly requires may not claim it.
func TestUpdateRolesOfAnAssignedTask(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		id, claimed := f.Create("x", ""), f.Create("y", "")
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, claimed)
		f.Claim("w")
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
		before := f.Seq()
		f.Refused(api.CodeConflict, `{"reason":"ROLES_MISSING","roles":["gpu"]}`, "task.update",
			`{"id":%q,"updates":{"status":"in_progress","metadata":{"roles":["gpu"]}}}`, id)
		got := fleettest.Decoded[fleettest.Task](t, f.OK("task.update", `{"id":%q,"updates":{"metadata":{"roles":["gpu"]}}}`, id))
		f.Holds(f.Emitted(before, "task.updated", "task.unassigned")[1], `{"reason":"roles_changed","instanceId":"w"}`)
		if got.AssignedTo != "" || f.Claim("w") != "" {
			t.Errorf("the task is %+v", got)
		}
		f.OK("task.update", `{"id":%q,"updates":{"metadata":{"roles":["gpu"]}}}`, claimed) // w already works on it
		if got := f.Get(claimed); got.AssignedTo != "w" || got.Status != "in_progress" {
			t.Errorf("the claimed task is %+v", got)
		}
		f.OK("task.complete", `{"id":%q}`, claimed)
	})
}

// Concurrent merges lose no change. Metadata has a maximum size, because merges could grow it
// without end.
func TestUpdateMetadataStaysBounded(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		id := f.Create("x", "")
		part := strings.Repeat("x", 600<<10)
		f.OK("task.update", `{"id":%q,"updates":{"metadata":{"a":%q}}}`, id, part)
		f.Refused(api.CodeInvalidParams, `"updates.metadata parameter: the merged metadata would exceed 1 MiB"`,
			"task.update", `{"id":%q,"updates":{"metadata":{"b":%q}}}`, id, part)
		f.OK("task.update", `{"id":%q,"updates":{"metadata":{"a":%q}}}`, id, part)
	})
}

func TestUpdateMetadataAtOnce(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		id := f.Create("x", "")
		coordinators := []*fleettest.Fleet{f, f.Beside()}
		var g errgroup.Group
		for i := range 12 {
			g.Go(func() error {
				_, err := coordinators[i%2].Do("task.update", fmt.Sprintf(`{"id":%q,"updates":{"metadata":{"k%d":%[2]d}}}`, id, i))
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if got := fleettest.Decoded[map[string]int](t, f.Get(id).Metadata); len(got) != 12 || got["k7"] != 7 {
			t.Errorf("the metadata is %v", got)
		}
	})
}
