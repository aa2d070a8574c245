package agenttest

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/testenv"
)

// session is the id that the tests give a session of Claude Code.
const session = "0f4a3c52-7d1e-4b8a-9c60-2e5b1d7f8a93"

// shortest is the shortest TTL that an instance may ask for.
const shortest = 5 * time.Second

// program builds claudebench and returns its path.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "claudebench")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/claudebench").CombinedOutput(); err != nil {
		t.Fatalf("build claudebench: %v\n%s", err, out)
	}
	return path
}

// TestAnAgentThatThinksKeepsItsTaskOverStdio lets Claude Code start claudebench mcp, wait for a task
// with it, think for three times the TTL of the instance, and complete the task. The instance ends
// with Claude Code.
func TestAnAgentThatThinksKeepsItsTaskOverStdio(t *testing.T) {
	t.Parallel()
	f, p := newFleet(t, nil), newProject(t)
	c := p.start(t, "Work on the tasks.", "--session-id", session, "--strict-mcp-config", "--mcp-config", p.write(t, "mcp.json", map[string]any{
		"mcpServers": map[string]any{"claudebench": map[string]any{
			"command": program(t), "args": []string{"mcp", "--url", f.url, "--id", "claude-1", "--ttl", shortest.String()},
		}},
	}))
	c.learn("task_claim", "task_complete")
	c.ask("mcp__claudebench__task_claim", map[string]any{"waitMs": 30_000})
	created := call[task](f, "task.create", map[string]any{"text": "count the words"})
	got := answer[claim](c)
	if !got.Claimed || got.Task.ID != created.ID || got.Task.Attempt != 1 {
		t.Fatalf("claimed %+v, want %s", got, created.ID)
	}
	f.outlived(3, shortest)
	if f.gone(events.TypeInstanceFailed, "claude-1") {
		t.Error("the agent was declared dead while it thought")
	}
	use[struct{}](c, "task_complete", map[string]any{"id": got.Task.ID, "attempt": got.Task.Attempt, "result": map[string]any{"words": 3}})
	c.say("All tasks are done.")
	f.completed(created.ID, "claude-1")
	var registered events.InstanceRegistered
	if err := json.Unmarshal(f.log(events.TypeInstanceRegistered)[0].Payload, &registered); err != nil {
		t.Fatal(err)
	}
	if registered.SessionID == nil || *registered.SessionID != session {
		t.Errorf("registered %+v, want the session %s of Claude Code", registered, session)
	}
	testenv.Eventually(t, patience, func() (bool, string) {
		return f.gone(events.TypeInstanceUnregistered, "claude-1"), "the instance is still registered"
	})
}
