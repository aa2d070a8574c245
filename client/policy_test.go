package client

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/command"
)

// The client waits longer than the coordinator for each method, and repeats freely what only reads.
func TestPolicies(t *testing.T) {
	t.Parallel()
	list, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		p, known := policies[m.Name]
		if !known || p.timeout != m.Timeout {
			t.Errorf("%s: the client's timeout is %s, the coordinator's %s", m.Name, p.timeout, m.Timeout)
		}
		if m.Effect == command.Reads && p.repeats != always {
			t.Errorf("%s only reads, and is not repeated", m.Name)
		}
		var properties map[string]any
		text, err := json.Marshal(m.Params.Properties)
		if err != nil || json.Unmarshal(text, &properties) != nil {
			t.Fatal(err)
		}
		if _, keyed := properties["idempotencyKey"]; keyed != (p.repeats == withKey) {
			t.Errorf("%s: idempotencyKey %v, repeated with a key %v", m.Name, keyed, p.repeats == withKey)
		}
	}
	if got := timeout("task.claim", json.RawMessage(`{"waitMs":60000}`)); got < 65*time.Second {
		t.Errorf("a claim that waits for a minute has %s", got)
	}
}
