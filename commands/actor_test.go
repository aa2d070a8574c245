package commands_test

import (
	"fmt"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// The actor of an event names w only if the call itself names w. The payload's workerId or
// instanceId is the task's owner, whoever the actor is.
func TestAnEventSaysWhoActed(t *testing.T) {
	t.Parallel()
	const complete, update = `{"id":"t-1","workerId":"w"}`, `{"id":"t-1","updates":{"status":%q}}`
	for _, c := range []struct {
		caller, method, params string
		actor, owner           string // the actor of the events, and part of the last payload
	}{
		{"", "task.complete", `{"id":"t-1"}`, "anonymous", `{"workerId":"w"}`},
		{"", "task.complete", complete, "w", `{"workerId":"w"}`},
		{"", "task.complete", `{"id":"t-1","error":"no"}`, "anonymous", `{"workerId":"w"}`},
		{"", "task.update", fmt.Sprintf(update, "failed"), "anonymous", `{"workerId":"w"}`},
		{"", "task.unassign", `{"taskId":"t-1"}`, "anonymous", `{"instanceId":"w"}`},
		{"", "task.delete", `{"id":"t-1"}`, "anonymous", `{"deletedBy":"anonymous","previousAssignment":"w"}`},
		{"ops", "task.complete", `{"id":"t-1"}`, "ops", `{"workerId":"w"}`},
		{"ops", "task.complete", complete, "ops/w", `{"workerId":"w"}`},
		{"ops", "task.update", fmt.Sprintf(update, "completed"), "ops", `{"workerId":"w"}`},
		{"ops", "task.update", fmt.Sprintf(update, "pending"), "ops", `{"instanceId":"w","reason":"released"}`},
		{"ops", "task.unassign", `{"taskId":"t-1"}`, "ops", `{"instanceId":"w"}`},
		{"ops", "task.delete", `{"id":"t-1"}`, "ops", `{"deletedBy":"ops","previousAssignment":"w"}`},
		{"alice", "task.complete", `{"id":"t-1"}`, "alice", `{"workerId":"w"}`},
		{"alice", "task.complete", complete, "alice/w", `{"workerId":"w"}`},
	} {
		o := commands.Options{}
		owner := ""
		if c.caller != "" {
			o.Tokens, owner = fleettest.FleetTokens(), "alice"
		}
		f := fleettest.New(t, fleettest.RealRedis(t), o)
		f.Unhurried()
		f.May(owner, "task.create", `{"text":"x"}`)
		f.May(owner, "system.register", `{"id":"w","roles":[]}`)
		f.May(owner, "task.claim", `{"workerId":"w"}`)
		before := f.Seq()
		f.May(c.caller, c.method, "%s", c.params)
		events := f.Since(before)
		for _, e := range events {
			if e.Actor != c.actor {
				t.Errorf("%q calls %s %s: %s says %q acted, want %q", c.caller, c.method, c.params, e.Type, e.Actor, c.actor)
			}
		}
		f.Holds(events[len(events)-1], c.owner)
	}
}
