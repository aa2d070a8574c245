package audit_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
)

// What agents do changes no task and no instance. A log with every kind of hook is clean, and its
// projections pass over them.
func TestHooksAreNoViolation(t *testing.T) {
	t.Parallel()
	b := newBundle(t, true, func(o *commands.Options) { o.RateLimits["hook.record"] = 0 })
	for _, m := range b.coordinator.Methods() {
		m.Timeout = time.Minute
	}
	b.do(t, "system.register", object{"id": "w", "roles": []string{"worker"}, "metadata": object{"sessionId": "s"}})
	b.create(t, 50, "")
	hooks := 0
	for _, file := range []string{"session-2.1.197.jsonl", "kinds.jsonl"} {
		text, err := os.ReadFile("../claudehook/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			b.do(t, "hook.record", object{"hook": json.RawMessage(line)})
			hooks++
		}
	}
	b.do(t, "task.claim", object{"workerId": "w"})
	b.do(t, "system.unregister", object{"instanceId": "w"})
	b.project(t)
	report := b.verify(t)
	clean(t, report)
	if report.Events < int64(hooks)+4 {
		t.Errorf("%d events were verified, with %d hooks", report.Events, hooks)
	}
}
