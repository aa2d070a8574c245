package commands_test

import (
	"fmt"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/lua"
)

// If a worker registers again without the role worker, others may claim its auto-assigned tasks.
// Tasks that task.assign gave it stay with it.
func TestNobodySitsOnWorkAfterLosingARole(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		given := f.Create("given", "")
		auto := f.Create("auto", "")
		f.Register("chosen", `[]`, "")
		f.OK("task.assign", `{"taskId":%q,"instanceId":"chosen"}`, given)
		f.Register("w1", `["worker","go"]`, "")
		if owner := f.Get(auto).AssignedTo; owner != "w1" {
			t.Fatalf("the task was not auto-assigned: %v", owner)
		}
		f.Register("w1", `["go"]`, "")
		f.Register("chosen", `[]`, "")
		f.Register("w2", `["worker"]`, "")
		if got := f.Claim("w2"); got != auto {
			t.Errorf("an idle worker claimed %q, want %q", got, auto)
		}
		if owner := f.Get(given).AssignedTo; owner != "chosen" {
			t.Errorf("what task.assign gave is with %v", owner)
		}
	})
}

// A task finds the one worker with the right roles behind many workers without them.
func TestReassignmentLooksBehindWorkersThatDoNotFit(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: fleettest.Unlimited()}, func(t *testing.T, f *fleettest.Fleet) {
		for i := range 30 {
			f.Register(fmt.Sprintf("a%02d", i), `["worker"]`, "")
		}
		f.Register("gpu1", `["worker","gpu"]`, "")
		f.Register("zgpu2", `["worker","gpu"]`, "")
		id := f.Create("render", `,"metadata":{"roles":["gpu"]}`)
		if f.Claim("gpu1") != id {
			t.Fatal("gpu1 did not get the task")
		}
		f.OK("system.unregister", `{"instanceId":"gpu1"}`)
		if owner := f.Get(id).AssignedTo; owner != "zgpu2" {
			t.Errorf("the task is with %v, want zgpu2", owner)
		}
	})
}

// The health note that follows a registration may arrive after the instance has left.
func TestALateHealthNoteDoesNotResurrect(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("a", `[]`, "")
		f.OK("system.unregister", `{"instanceId":"a"}`)
		if _, err := f.Scripts.Run(t.Context(), lua.Named("update_gossip_health"), "a", "healthy"); err != nil {
			t.Fatal(err)
		}
		if h := f.Hash(f.Keys.Gossip("a")); h["status"] != "offline" {
			t.Errorf("its health is %v", h)
		}
	})
}

// Sixty-four sets of roles are in use. A task that gives up its own set makes room for another set.
func TestASetOfRolesCanBeExchangedAtTheLimit(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: fleettest.Unlimited()}, func(t *testing.T, f *fleettest.Fleet) {
		var id string
		for i := range 64 {
			id = f.Create("x", fmt.Sprintf(`,"metadata":{"roles":["r%d"]}`, i))
		}
		f.OK("task.update", `{"id":%q,"updates":{"metadata":{"roles":["another"]}}}`, id)
		f.Refused(api.CodeConflict, `{"reason":"TOO_MANY_ROLE_SETS","limit":64}`, "task.create", `{"text":"x","metadata":{"roles":["one more"]}}`)
	})
}
