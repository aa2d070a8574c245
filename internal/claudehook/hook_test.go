package claudehook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// bodies returns the bodies of a file, without white space, as Parse gets them.
func bodies(t testing.TB, file string) [][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var list [][]byte
	for line := range bytes.Lines(text) {
		list = append(list, compact(t, bytes.TrimSpace(line)))
	}
	return list
}

func compact(t testing.TB, body []byte) []byte {
	t.Helper()
	text, fault := jsontext.Compact(slices.Clone(body))
	if fault != nil {
		t.Fatalf("%s: %s", body, fault.Why)
	}
	return text
}

// told returns what a hook says, as text.
func told(h *Hook) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", h.Name, h.Type)
	for _, p := range []struct {
		name string
		s    *string
	}{{"tool", h.Tool}, {"use", h.ToolUseID}, {"outcome", h.Outcome}, {"reason", h.Reason}, {"agent", h.AgentID}, {"kind", h.AgentType}} {
		if p.s != nil {
			fmt.Fprintf(&b, " %s=%s", p.name, *p.s)
		}
	}
	if h.Duration != nil {
		fmt.Fprintf(&b, " %dms", *h.Duration)
	}
	return b.String()
}

func compare(t *testing.T, got []string, want ...string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("line %d is missing: %s", i+1, want[i])
		case i >= len(want):
			t.Errorf("line %d is more than expected: %s", i+1, got[i])
		case got[i] != want[i]:
			t.Errorf("line %d: %s\nwant:   %s", i+1, got[i], want[i])
		}
	}
}

func TestTheRecordedSession(t *testing.T) {
	t.Parallel()
	var got []string
	for _, body := range bodies(t, "session-2.1.197.jsonl") {
		h := Parse(body)
		if h.SessionID == nil || *h.SessionID != "6f1c2a34-0b5d-4e6f-8a9b-0c1d2e3f4a5b" || h.PromptID == nil {
			t.Errorf("%s: session or prompt is missing", body)
		}
		line := told(h)
		if todo := h.Todo(Names); todo.Change != NoChange {
			line += fmt.Sprintf(" | %s %s %s %s", todo.Change, todo.ID, todo.Text, todo.Status)
		}
		got = append(got, line)
	}
	compare(t, got,
		"UserPromptSubmit hook.prompt_submitted",
		"PreToolUse hook.tool_requested tool=mcp__claudebench__task_create use=toolu_1",
		"PostToolUse hook.tool_finished tool=mcp__claudebench__task_create use=toolu_1 outcome=ok 16ms",
		"PreToolUse hook.tool_requested tool=TaskCreate use=toolu_3",
		`TaskCreated hook.task_created | put "1" "write tests" `,
		`PostToolUse hook.tool_finished tool=TaskCreate use=toolu_3 outcome=ok 15ms | put "1" "write tests" `,
		"PreToolUse hook.tool_requested tool=Bash use=toolu_4",
		"PostToolUse hook.tool_finished tool=Bash use=toolu_4 outcome=ok 42ms",
		"PreToolUse hook.tool_requested tool=Bash use=toolu_5",
		"PostToolUseFailure hook.tool_finished tool=Bash use=toolu_5 outcome=failed 12ms",
		"Stop hook.stopped outcome=ok",
		"SessionEnd hook.session_ended reason=other",
	)
}

func TestEachKind(t *testing.T) {
	t.Parallel()
	var got []string
	seen := map[string]bool{}
	for _, body := range bodies(t, "kinds.jsonl") {
		h := Parse(body)
		seen[h.Name] = true
		got = append(got, told(h))
	}
	compare(t, got,
		"SessionStart hook.session_started reason=startup",
		"UserPromptSubmit hook.prompt_submitted",
		"PreToolUse hook.tool_requested tool=Write use=u1",
		"PermissionRequest hook.permission_requested tool=Bash",
		"PermissionDenied hook.permission_denied tool=Bash use=u2 outcome=denied",
		"PostToolUse hook.tool_finished tool=Read use=u3 outcome=ok 3ms",
		"PostToolUse hook.tool_finished tool=Bash use=u4 outcome=interrupted 9000ms",
		"PostToolUseFailure hook.tool_finished tool=Bash use=u5 outcome=failed 12ms",
		"PostToolUseFailure hook.tool_finished tool=Bash use=u6 outcome=interrupted",
		"Notification hook.notified reason=permission_prompt",
		"SubagentStart hook.subagent_started agent=a-1 kind=Explore",
		"PreToolUse hook.tool_requested tool=Grep use=u7 agent=a-1 kind=Explore",
		"SubagentStop hook.subagent_stopped outcome=ok agent=a-1 kind=Explore",
		"TaskCreated hook.task_created",
		"TaskCompleted hook.task_completed",
		"PreCompact hook.compaction_started reason=manual",
		"PostCompact hook.compaction_finished reason=auto",
		"Stop hook.stopped outcome=ok",
		"StopFailure hook.stopped outcome=failed reason=rate_limit",
		"StopFailure hook.stopped outcome=failed", // words of a user are no reason
		"SessionEnd hook.session_ended reason=prompt_input_exit",
		"TeammateIdle hook.received",
		"UserPromptExpansion hook.received",
		"FileChanged hook.received",
		"NotYetInvented hook.received",
	)
	for name := range kinds {
		if !seen[name] {
			t.Errorf("there is no %s in testdata/kinds.jsonl", name)
		}
	}
}

// A member of another type than expected counts as absent.
func TestMembersOfOtherTypes(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("x", maxID+1) + `"`
	for _, value := range []string{`null`, `7`, `true`, `""`, `[]`, `{}`, `["s"]`, `{"a":1}`, long, `"a\nb"`, `"\u0000"`, `"\u0085"`, `"` + strings.Repeat(`\u0041`, maxID+1) + `"`} {
		var b strings.Builder
		b.WriteString(`{"hook_event_name":"PostToolUse"`)
		for _, name := range []string{"session_id", "prompt_id", "agent_id", "agent_type", "tool_name", "tool_use_id"} {
			fmt.Fprintf(&b, `,%q:%s`, name, value)
		}
		h := Parse(compact(t, []byte(b.String()+`}`)))
		for _, s := range []*string{h.SessionID, h.PromptID, h.AgentID, h.AgentType, h.Tool, h.ToolUseID} {
			if s != nil {
				t.Errorf("%.40s became %q", value, *s)
			}
		}
		if h := Parse(compact(t, []byte(`{"hook_event_name":`+value+`}`))); h.Name != "" || h.Type != "hook.received" {
			t.Errorf("the name %.40s became %q, %s", value, h.Name, h.Type)
		}
	}
	for _, value := range []string{`null`, `"5"`, `-1`, `1e999`, `1e300`, `[]`, `true`} {
		if h := Parse([]byte(`{"duration_ms":` + value + `}`)); h.Duration != nil {
			t.Errorf("duration %s became %d", value, *h.Duration)
		}
	}
	for _, input := range []string{`null`, `7`, `"text"`, `[1]`, `{"todos":7}`, `{"todos":{}}`, `{"taskId":{}}`, `{"taskId":"1","status":7}`, `{"taskId":"1","status":"flying"}`} {
		for _, tool := range []string{"TodoWrite", "TaskUpdate", "TaskCreate", "Bash"} {
			body := `{"session_id":"s","hook_event_name":"PostToolUse","tool_name":"` + tool + `","tool_input":` + input + `,"tool_response":` + input + `}`
			h := Parse([]byte(body))
			if todo := h.Todo(Full); todo.Change != NoChange {
				t.Errorf("%s: %+v", body, todo)
			}
			for _, level := range []Level{None, Names, Full} {
				if content := h.Content(level); level != None && !json.Valid(content) {
					t.Errorf("%s at %s: %s", body, level, content)
				}
			}
		}
	}
	if h := Parse([]byte(`{"session_id":"a","session_id":"b","tool_name":"Read","tool_name":"Bash"}`)); *h.SessionID != "b" || *h.Tool != "Bash" {
		t.Errorf("repeated members: %s, %s; the last one counts", *h.SessionID, *h.Tool)
	}
}

func TestTodos(t *testing.T) {
	t.Parallel()
	done := func(tool, input, response string) string {
		return `{"session_id":"s","hook_event_name":"PostToolUse","tool_name":"` + tool + `","tool_input":` + input + `,"tool_response":` + response + `}`
	}
	long := strings.Repeat("é", 300)
	for _, c := range []struct{ body, want string }{
		{`{"session_id":"s","hook_event_name":"TaskCreated","task_id":7,"task_subject":"a \"b\""}`, `put "7" "a \"b\"" `},
		{`{"session_id":"s","hook_event_name":"TaskCompleted","task_id":"7"}`, `put "7"  completed`},
		{`{"session_id":"s","hook_event_name":"TaskCreated"}`, `   `},
		{`{"hook_event_name":"TaskCreated","task_id":"7","task_subject":"a"}`, `   `},
		{`{"session_id":"s","hook_event_name":"TaskCreated","task_id":"7","task_subject":"` + long + `"}`, `put "7" "` + long[:500] + `" `},
		{done("TaskCreate", `{"subject":"a"}`, `{"task":{"id":"7"}}`), `put "7" "a" `},
		{done("TaskCreate", `{"subject":"a"}`, `"Task created"`), `   `},
		{done("TaskUpdate", `{"taskId":"7","status":"in_progress"}`, `{"success":true}`), `put "7"  in_progress`},
		{done("TaskUpdate", `{"taskId":"7","subject":"b"}`, `{}`), `put "7" "b" `},
		{done("TaskUpdate", `{"taskId":"7","owner":"b"}`, `{}`), `   `},
		{done("TaskUpdate", `{"taskId":"7","status":"deleted"}`, `{}`), `drop "7"  `},
		{done("TaskUpdate", `{"taskId":"7","status":"completed"}`, `{"success":false}`), `   `},
		{
			done("TodoWrite", `{"todos":[{"content":"a","status":"completed","activeForm":"A"},{"content":"b","id":"1"},7,{"content":"c","id":"1"},{"id":"x","status":"odd"}]}`, `{}`),
			`replace [{"id":"1","text":"a","status":"completed"},{"id":"2","text":"b","status":"pending"},{"id":"3","text":"","status":"pending"},` +
				`{"id":"4","text":"c","status":"pending"},{"id":"x","text":"","status":"pending"}]  `,
		},
		{done("TodoWrite", `{"todos":[]}`, `{}`), `replace []  `},
	} {
		todo := Parse([]byte(c.body)).Todo(Names)
		if got := fmt.Sprintf("%s %s %s %s", todo.Change, todo.ID, todo.Text, todo.Status); got != c.want {
			t.Errorf("%.200s:\n%s\nwant:\n%s", c.body, got, c.want)
		}
	}
	many := `{"todos":[{"content":"first"}` + strings.Repeat(`,{"content":"x"}`, 5000) + `]}`
	todo := Parse([]byte(done("TodoWrite", many, `{}`))).Todo(None)
	if n := strings.Count(todo.ID, `"id"`); n != maxTodos || todo.Dropped != 5001-maxTodos || strings.Contains(todo.ID, "first") {
		t.Errorf("%d todos, %d dropped: %.80s", n, todo.Dropped, todo.ID)
	}
	if todo := Parse([]byte(`{"session_id":"s","hook_event_name":"TaskCreated","task_id":"7","task_subject":"a"}`)).Todo(None); todo.Text != "" || todo.ID == "" {
		t.Errorf("without content: %+v", todo)
	}
}
