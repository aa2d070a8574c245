package commands

import (
	"fmt"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// What was auto-assigned is for whoever comes first when its worker comes back without the role; what
// task.assign gave stays.
func TestNobodySitsOnWorkAfterLosingARole(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		given := f.create("given", "")
		auto := f.create("auto", "")
		f.register("chosen", `[]`, "")
		f.ok("task.assign", `{"taskId":%q,"instanceId":"chosen"}`, given)
		f.register("w1", `["worker","go"]`, "")
		if owner := f.get(auto).AssignedTo; owner != "w1" {
			t.Fatalf("the task was not auto-assigned: %v", owner)
		}
		f.register("w1", `["go"]`, "")
		f.register("chosen", `[]`, "")
		f.register("w2", `["worker"]`, "")
		if got := f.claim("w2"); got != auto {
			t.Errorf("an idle worker claimed %q, want %q", got, auto)
		}
		if owner := f.get(given).AssignedTo; owner != "chosen" {
			t.Errorf("what task.assign gave is with %v", owner)
		}
	})
}

// A task finds the one worker that may take it behind many that may not.
func TestReassignmentLooksBehindWorkersThatDoNotFit(t *testing.T) {
	everywhere(t, Options{RateLimits: unlimited()}, func(t *testing.T, f *fleet) {
		for i := range 30 {
			f.register(fmt.Sprintf("a%02d", i), `["worker"]`, "")
		}
		f.register("gpu1", `["worker","gpu"]`, "")
		f.register("zgpu2", `["worker","gpu"]`, "")
		id := f.create("render", `,"metadata":{"roles":["gpu"]}`)
		if f.claim("gpu1") != id {
			t.Fatal("gpu1 did not get the task")
		}
		f.ok("system.unregister", `{"instanceId":"gpu1"}`)
		if owner := f.get(id).AssignedTo; owner != "zgpu2" {
			t.Errorf("the task is with %v, want zgpu2", owner)
		}
	})
}

// The health note that follows a registration may come after the instance has left.
func TestALateHealthNoteDoesNotResurrect(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("a", `[]`, "")
		f.ok("system.unregister", `{"instanceId":"a"}`)
		if _, err := f.scripts.Run(t.Context(), lua.Named("update_gossip_health"), "a", "healthy"); err != nil {
			t.Fatal(err)
		}
		if h := f.hash(f.keys.Gossip("a")); h["status"] != "offline" {
			t.Errorf("its health is %v", h)
		}
	})
}

// Sixty-four sets of roles are in use: a task that leaves its own set behind makes room for another.
func TestASetOfRolesCanBeExchangedAtTheLimit(t *testing.T) {
	everywhere(t, Options{RateLimits: unlimited()}, func(t *testing.T, f *fleet) {
		var id string
		for i := range 64 {
			id = f.create("x", fmt.Sprintf(`,"metadata":{"roles":["r%d"]}`, i))
		}
		f.ok("task.update", `{"id":%q,"updates":{"metadata":{"roles":["another"]}}}`, id)
		f.refused(api.CodeConflict, `{"reason":"TOO_MANY_ROLE_SETS","limit":64}`, "task.create", `{"text":"x","metadata":{"roles":["one more"]}}`)
	})
}
