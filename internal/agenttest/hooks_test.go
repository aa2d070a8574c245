package agenttest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/claudehook"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// secret is what the prompt, a command and its output contain, and the log must not.
const secret = "xylophone-7731"

// ownSettings are the settings that a project had before. Its own hook appends a line to a file.
const ownSettings = `{
  "enableAllProjectMcpServers": true,
  "hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "echo own >> own-hook.txt"}]}]}
}`

// initialized lets `claudebench init claude-code --write` prepare a project that has settings of its
// own. Claude Code finds the program in its PATH.
func (p *project) initialized(t *testing.T, url string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(p.folder, ".claude"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.folder, ".claude/settings.json"), []byte(ownSettings), 0o600); err != nil {
		t.Fatal(err)
	}
	path := program(t)
	cmd := exec.Command(path, "init", "claude-code", "--write", "--url", url)
	cmd.Dir, cmd.Env = p.folder, []string{}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	p.path = filepath.Dir(path) + string(os.PathListSeparator) + p.path
}

// bash lets the model run a command and returns the tool's result.
func (c *claude) bash(command string) block {
	c.t.Helper()
	c.ask("Bash", map[string]any{"command": command, "description": "Do it"})
	return c.result()
}

// exists reports whether the project has a file.
func (p *project) exists(t *testing.T, name string) bool {
	t.Helper()
	_, err := os.Stat(filepath.Join(p.folder, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// TestAProjectOfClaudeCode prepares a project by `claudebench init claude-code`. Claude Code then
// finds the tools and reports what it does: each step, its todos, and no content.
func TestAProjectOfClaudeCode(t *testing.T) {
	t.Parallel()
	f := newFleet(t, func(c *config.Config) { c.HookContent, c.DatabaseURL = claudehook.Names, testenv.Postgres(t) })
	p := newProject(t)
	p.initialized(t, f.url)
	c := p.start(t, "Work on "+secret, "--session-id", session)
	c.learn("task_claim", "task_complete")
	c.ask("mcp__claudebench__task_claim", map[string]any{"waitMs": 30_000})
	created := call[task](f, "task.create", map[string]any{"text": "count the words"})
	got := answer[claim](c)
	if !got.Claimed || got.Task.ID != created.ID {
		t.Fatalf("claimed %+v, want %s", got, created.ID)
	}
	c.ask("ToolSearch", map[string]any{"query": "select:TaskCreate,TaskUpdate"})
	c.result()
	for _, todo := range []map[string]any{
		{"subject": "read the text", "description": secret, "activeForm": "Reading"},
		{"subject": "count", "description": secret, "activeForm": "Counting"},
	} {
		c.ask("TaskCreate", todo)
		if result := c.result(); result.IsError {
			t.Fatalf("TaskCreate: %s", result.text())
		}
	}
	c.ask("TaskUpdate", map[string]any{"taskId": "1", "status": "completed"})
	c.result()
	if result := c.bash("echo " + secret + " > made.txt && cat made.txt"); result.IsError || !strings.Contains(result.text(), secret) {
		t.Errorf("Bash: %s", result.text())
	}
	if result := c.bash("cat nothing-" + secret); !result.IsError {
		t.Errorf("a command that fails: %s", result.text())
	}
	use[struct{}](c, "task_complete", map[string]any{"id": got.Task.ID, "attempt": got.Task.Attempt, "result": map[string]any{"words": 3}})
	c.say("All tasks are done.")
	if !p.exists(t, "own-hook.txt") {
		t.Error("the project's own hook did not run")
	}

	testenv.Eventually(t, patience, func() (bool, string) {
		return len(f.log(events.TypeHookSessionEnded)) > 0, "the end of the session did not arrive"
	})
	var tools []string
	for _, e := range f.events() {
		if strings.Contains(string(e.Payload), secret) {
			t.Errorf("the log has content: %s %s", e.Type, e.Payload)
		}
		if !strings.HasPrefix(string(e.Type), "hook.") {
			continue
		}
		hook := decoded[events.Hook](t, e)
		if hook.SessionID == nil || *hook.SessionID != session {
			t.Errorf("%s is of the session %v", e.Type, hook.SessionID)
		}
		if e.Type != events.TypeHookToolFinished {
			continue
		}
		if hook.Tool == nil || hook.Outcome == nil || hook.DurationMS == nil || hook.ToolUseID == nil {
			t.Errorf("a tool has ended: %s", e.Payload)
			continue
		}
		if *hook.Tool == "Bash" {
			tools = append(tools, *hook.Outcome)
		}
	}
	if !slices.Equal(tools, []string{events.HookOK, events.HookFailed}) {
		t.Errorf("Bash ended %v", tools)
	}
	for _, want := range []events.Type{events.TypeHookPromptSubmitted, events.TypeHookToolRequested, events.TypeHookTaskCreated, events.TypeHookStopped} {
		if len(f.log(want)) == 0 {
			t.Errorf("no %s arrived", want)
		}
	}
	lists := f.log(events.TypeTodoUpdated)
	if len(lists) == 0 {
		t.Fatal("no todo.updated")
	}
	last := decoded[events.TodoUpdated](t, lists[len(lists)-1])
	if len(last.Todos) != 2 || last.Todos[0].Text != "read the text" || last.Todos[0].Status != "completed" || last.Todos[1].Status != "pending" {
		t.Errorf("todos: %+v", last.Todos)
	}

	var seen api.GetSessionResult
	testenv.Eventually(t, patience, func() (bool, string) {
		text := call[json.RawMessage](f, "session.get", map[string]any{"id": session})
		if err := json.Unmarshal(text, &seen); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return seen.EndedAt != nil && seen.Behind == nil, string(text)
	})
	if seen.Prompts != 1 || seen.Tasks.Claimed != 1 || seen.Tasks.Completed != 1 || seen.InstanceID == nil {
		t.Errorf("session.get: %+v", seen)
	}
	place := slices.IndexFunc(seen.Tools, func(u api.SessionTool) bool { return u.Name == "Bash" })
	if place < 0 {
		t.Fatalf("session.get has no Bash in %+v", seen.Tools)
	}
	if use := seen.Tools[place]; use.Requested != 2 || use.Finished != 2 || use.Failed != 1 || use.TotalMS <= 0 {
		t.Errorf("Bash: %+v", use)
	}
}

// TestAPolicyStopsATool lets the policy deny a command of Claude Code. The command has no effect, the
// model reads the reason, and other commands run.
func TestAPolicyStopsATool(t *testing.T) {
	t.Parallel()
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	rules := "rules:\n  - {tool: Bash, field: command, match: '\\bforbidden\\b', decision: deny, reason: 'ask the operator first'}\n"
	if err := os.WriteFile(policy, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	f, p := newFleet(t, func(c *config.Config) { c.HookContent, c.HookPolicy = claudehook.Names, policy }), newProject(t)
	p.initialized(t, f.url)
	c := p.start(t, "Work.", "--session-id", session)
	if result := c.bash("touch forbidden"); !result.IsError || !strings.Contains(result.text(), "ask the operator first") {
		t.Errorf("the model reads %s", result.text())
	}
	if result := c.bash("touch fine"); result.IsError {
		t.Errorf("a command without a rule: %s", result.text())
	}
	c.say("Done.")
	if p.exists(t, "forbidden") || !p.exists(t, "fine") {
		t.Errorf("forbidden is there: %t, fine: %t", p.exists(t, "forbidden"), p.exists(t, "fine"))
	}
	decisions := f.log(events.TypeHookDecided)
	if len(decisions) != 1 {
		t.Fatalf("%d decisions", len(decisions))
	}
	d := decoded[events.HookDecided](t, decisions[0])
	if d.Decision != "deny" || d.Rule != 1 || d.Tool == nil || *d.Tool != "Bash" || d.SessionID == nil || *d.SessionID != session {
		t.Errorf("decided %s", decisions[0].Payload)
	}
}

// TestAnAgentWithoutItsCoordinator runs Claude Code in a project whose coordinator does not answer:
// the agent works all the same.
func TestAnAgentWithoutItsCoordinator(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.initialized(t, "http://127.0.0.1:1")
	c := p.start(t, "Work.")
	if result := c.bash("touch made"); result.IsError {
		t.Errorf("Bash: %s", result.text())
	}
	c.say("Done.")
	if !p.exists(t, "made") {
		t.Error("the command had no effect")
	}
}

// decoded returns the payload of an event.
func decoded[P any](t *testing.T, e events.Envelope) P {
	t.Helper()
	p, err := events.PayloadAs[P](e)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
