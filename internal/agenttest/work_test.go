package agenttest

import (
	"testing"

	"github.com/claudebench/claudebench/events"
)

// task is a task as the API returns it.
type task struct {
	ID         string         `json:"id"`
	Text       string         `json:"text"`
	Status     string         `json:"status"`
	AssignedTo *string        `json:"assignedTo"`
	Attempt    int            `json:"attempt"`
	Result     map[string]any `json:"result"`
}

type claim struct {
	Claimed bool `json:"claimed"`
	Task    task `json:"task"`
}

// TestAnAgentThatThinksKeepsItsTask lets Claude Code register over HTTP, claim a task, think for
// three times the TTL of the coordinator, and complete the task.
func TestAnAgentThatThinksKeepsItsTask(t *testing.T) {
	t.Parallel()
	f, p := newFleet(t, nil), newProject(t)
	created := call[task](f, "task.create", map[string]any{"text": "count the words"})

	c := p.start(t, "Work on the tasks.", "--strict-mcp-config", "--mcp-config", p.write(t, "mcp.json", map[string]any{
		"mcpServers": map[string]any{"claudebench": map[string]any{"type": "http", "url": f.url + "/mcp"}},
	}))
	c.learn("system_register", "task_claim", "task_complete")
	use[struct{}](c, "system_register", map[string]any{"id": "claude-1", "roles": []string{"worker"}})
	got := use[claim](c, "task_claim", map[string]any{"workerId": "claude-1"})
	if !got.Claimed || got.Task.ID != created.ID || got.Task.Attempt != 1 {
		t.Fatalf("claimed %+v, want %s", got, created.ID)
	}
	f.outlived(3, 0)
	if f.gone(events.TypeInstanceFailed, "claude-1") {
		t.Error("the agent was declared dead while it thought")
	}
	use[struct{}](c, "task_complete", map[string]any{
		"id": got.Task.ID, "workerId": "claude-1", "attempt": got.Task.Attempt, "result": map[string]any{"words": 3},
	})
	c.say("All tasks are done.")
	f.completed(created.ID, "claude-1")
}

// completed checks that an agent completed a task at its first attempt with the result {"words": 3}.
func (f *fleet) completed(id, agent string) {
	f.t.Helper()
	done := call[task](f, "task.get", map[string]any{"id": id})
	if done.Status != "completed" || done.Attempt != 1 || done.AssignedTo == nil || *done.AssignedTo != agent || done.Result["words"] != 3.0 {
		f.t.Errorf("the task is %+v", done)
	}
}
