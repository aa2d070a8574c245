package commands_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// All tokens share the sets of roles. An agent's token may use at most half of them, with all
// methods together.
func TestATokenBringsHalfOfTheSetsOfRoles(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens()}, func(t *testing.T, f *fleettest.Fleet) {
		refused := func(token, want, method, format string, args ...any) {
			t.Helper()
			result, err := f.As(token, method, format, args...)
			if known := (*api.Error)(nil); !errors.As(err, &known) || known.Code != api.CodeConflict || fmt.Sprintf("%s", known.Data) != want {
				t.Errorf("%s by %s: %s, %v; want %s", method, token, result, err, want)
			}
		}
		const quota, full = `{"reason":"TOO_MANY_ROLE_SETS","limit":32,"scope":"token"}`, `{"reason":"TOO_MANY_ROLE_SETS","limit":64}`
		f.May("alice", "system.register", `{"id":"w","roles":[]}`)
		var tasks []string
		for i := range 32 {
			tasks = append(tasks, fleettest.Decoded[fleettest.Task](t, f.May("alice", "task.create", `{"text":"x","metadata":{"roles":["a%d"]}}`, i)).ID)
		}
		refused("alice", quota, "task.create", `{"text":"x","metadata":{"roles":["a32"]}}`)
		batch := f.May("alice", "system.batch.process", `{"batchId":"b","instanceId":"w","items":[{"text":"x","metadata":{"roles":["a32"]}}]}`)
		if want := `"itemsProcessed":0,"total":1,"reason":"TOO_MANY_ROLE_SETS"`; !strings.Contains(string(batch), want) {
			t.Errorf("a batch beyond the quota: %s, want %s", batch, want)
		}
		plain := fleettest.Decoded[fleettest.Task](t, f.May("alice", "task.create", `{"text":"x"}`)).ID
		refused("alice", quota, "task.update", `{"id":%q,"updates":{"metadata":{"roles":["a32"]}}}`, plain)
		f.May("alice", "task.update", `{"id":%q,"updates":{"metadata":{"roles":["a32"]}}}`, tasks[0]) // replaces the set a0
		f.May("alice", "task.create", `{"text":"x","metadata":{"roles":["a1"]}}`)                     // this set exists already

		f.May("bob", "system.register", `{"id":"b","roles":[]}`)
		f.May("bob", "system.batch.process", `{"batchId":"c","instanceId":"b","items":[%s]}`, roleItems("b", 32))
		refused("ops", full, "task.create", `{"text":"x","metadata":{"roles":["o"]}}`)
		// A set whose last task is gone is free for any token.
		f.May("alice", "task.delete", `{"id":%q}`, tasks[31])
		refused("bob", quota, "task.create", `{"text":"x","metadata":{"roles":["b32"]}}`)
		f.May("alice", "task.create", `{"text":"x","metadata":{"roles":["a33"]}}`)
		f.May("alice", "task.delete", `{"id":%q}`, tasks[30])
		f.May("ops", "task.create", `{"text":"x","metadata":{"roles":["o"]}}`) // an operator may use as many as there are
	})
}

// roleItems are the items of a batch, each with its own set of roles.
func roleItems(role string, n int) string {
	items := ""
	for i := range n {
		items += fmt.Sprintf(`,{"text":"x","metadata":{"roles":["%s%d"]}}`, role, i)
	}
	return items[1:]
}
