package hook_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/claudehook"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// record records a hook and returns its events without what was there before.
func record(f *fleettest.Fleet, body string, types ...string) []fleettest.Event {
	f.T.Helper()
	before := f.Seq()
	result := fleettest.Decoded[struct{ EventID string }](f.T, f.OK("hook.record", `{"hook":%s}`, body))
	emitted := f.Emitted(before, types...)
	if result.EventID != emitted[0].ID {
		f.T.Errorf("the result names %s, and the event is %s", result.EventID, emitted[0].ID)
	}
	return emitted
}

// payload decodes the payload of an event into its public type, which must have all its members.
func payload[P any](f *fleettest.Fleet, e fleettest.Event) P {
	f.T.Helper()
	p := fleettest.Decoded[P](f.T, e.Payload)
	again, err := events.EncodePayload(p)
	if err != nil || string(again) != string(e.Payload) {
		f.T.Errorf("%s has %s, which is not %T (%v)", e.Type, e.Payload, p, err)
	}
	return p
}

func TestRecord(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Unhurried()
		const body = `{"session_id":"s","prompt_id":"p","hook_event_name":"PostToolUse","tool_name":"Bash","tool_input":{"command":"ls"},"tool_response":{},"tool_use_id":"u","duration_ms":42}`
		e := record(f, body, "hook.tool_finished")[0]
		if e.Actor != "anonymous" || e.V != 1 {
			t.Errorf("actor %q, version %d", e.Actor, e.V)
		}
		payload[events.Hook](f, e)
		f.Holds(e, fmt.Sprintf(`{"source":"claude-code","name":"PostToolUse","sessionId":"s","instanceId":null,"agentId":null,"agentType":null,"promptId":"p","tool":"Bash",
			"toolUseId":"u","durationMs":42,"outcome":"ok","reason":null,"content":{"level":"names","bytes":%d,"fields":{"tool_input":{"bytes":16,"members":{"command":4}},"tool_response":{"bytes":2}},"cut":[]}}`, len(body)))
		e = record(f, `{}`, "hook.received")[0]
		f.Holds(e, `{"name":"","sessionId":null,"instanceId":null,"content":{"level":"names","bytes":2,"fields":{},"cut":[]}}`)
		f.Refused(api.CodeInvalidParams, `"hook parameter must be an object"`, "hook.record", `{"hook":[]}`)
		f.Refused(api.CodeInvalidParams, `"hook parameter is required"`, "hook.record", `{}`)
	})
}

// Every hook of a real session becomes an event.
func TestARecordedSession(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Unhurried()
		f.Register("w", `["worker"]`, `,"metadata":{"sessionId":"6f1c2a34-0b5d-4e6f-8a9b-0c1d2e3f4a5b"}`)
		text, err := os.ReadFile("../../internal/claudehook/testdata/session-2.1.197.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		before := f.Seq()
		for line := range strings.Lines(string(text)) {
			f.OK("hook.record", `{"hook":%s}`, line)
		}
		emitted := f.Emitted(before, "hook.prompt_submitted", "hook.tool_requested", "hook.tool_finished", "hook.tool_requested", "hook.task_created", "todo.updated",
			"hook.tool_finished", "hook.tool_requested", "hook.tool_finished", "hook.tool_requested", "hook.tool_finished", "hook.stopped", "hook.session_ended")
		for _, e := range emitted {
			f.Holds(e, `{"instanceId":"w","sessionId":"6f1c2a34-0b5d-4e6f-8a9b-0c1d2e3f4a5b"}`)
		}
		todo := payload[events.TodoUpdated](f, emitted[5])
		if len(todo.Todos) != 1 || todo.Todos[0] != (events.Todo{ID: "1", Text: "write tests", Status: "pending"}) {
			t.Errorf("todos: %+v", todo.Todos)
		}
		f.Verify()
	})
}

// The instance of a session is the one that is registered with it.
func TestTheInstanceOfASession(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Unhurried()
		const stop = `{"session_id":"s","hook_event_name":"Stop"}`
		is := func(want string) {
			t.Helper()
			f.Holds(record(f, stop, "hook.stopped")[0], `{"instanceId":`+want+`}`)
		}
		is(`null`)
		f.Register("a", `[]`, "")
		is(`null`)
		f.Register("a", `[]`, `,"metadata":{"sessionId":"s"}`)
		is(`"a"`)
		f.Register("a", `[]`, `,"metadata":{"sessionId":"s"}`)
		is(`"a"`)
		f.Put([]any{"PEXPIRE", f.Keys.Session("s"), 1000})
		is(`"a"`)
		if left := f.Client.PTTL(t.Context(), f.Keys.Session("s")).Val(); left < 24*time.Hour {
			t.Errorf("a hook leaves the session %v", left)
		}
		f.Register("b", `[]`, `,"metadata":{"sessionId":"s"}`)
		is(`"b"`)
		f.OK("system.unregister", `{"instanceId":"a"}`) // its session is that of b now
		is(`"b"`)
		f.Register("b", `[]`, `,"metadata":{"sessionId":"t"}`)
		is(`null`)
		f.Register("c", `[]`, `,"metadata":{"sessionId":"s"}`)
		is(`"c"`)
		f.BuryAll(t)
		is(`null`)
		if left := f.Scan(f.Keys.Session("*")); len(left) > 0 {
			t.Errorf("sessions of nobody: %v", left)
		}
	})
}

// todos checks the list of the session s in Redis.
func todos(f *fleettest.Fleet, want string) {
	f.T.Helper()
	if got := f.Hash(f.Keys.Todos("s"))["todos"]; got != want {
		f.T.Errorf("todos %s\nwant  %s", got, want)
	}
}

func tool(name, input, response string) string {
	return `{"session_id":"s","hook_event_name":"PostToolUse","tool_name":"` + name + `","tool_input":` + input + `,"tool_response":` + response + `}`
}

func TestTodosOfASession(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{TaskRetention: time.Hour}, func(t *testing.T, f *fleettest.Fleet) {
		f.Unhurried()
		const task = "hook.task_created"
		record(f, `{"session_id":"s","hook_event_name":"TaskCreated","task_id":"1","task_subject":"a \"},{\"id\":\"9\",\"text\":\"x"}`, task, "todo.updated")
		const first = `{"id":"1","text":"a \"},{\"id\":\"9\",\"text\":\"x","status":`
		todos(f, `[`+first+`"pending"}]`)
		record(f, tool("TaskCreate", `{"subject":"a \"},{\"id\":\"9\",\"text\":\"x"}`, `{"task":{"id":"1"}}`), "hook.tool_finished") // the same todo
		// An update comes before the creation: its status stays.
		record(f, tool("TaskUpdate", `{"taskId":"2","status":"in_progress"}`, `{"success":true}`), "hook.tool_finished", "todo.updated")
		todos(f, `[`+first+`"pending"},{"id":"2","text":"","status":"in_progress"}]`)
		e := record(f, `{"session_id":"s","hook_event_name":"TaskCreated","task_id":"2","task_subject":"Größe/50%"}`, task, "todo.updated")[1]
		todos(f, `[`+first+`"pending"},{"id":"2","text":"Größe/50%","status":"in_progress"}]`)
		if p := payload[events.TodoUpdated](f, e); p.SessionID != "s" || len(p.Todos) != 2 || p.Todos[1].Text != "Größe/50%" || p.Dropped != 0 {
			t.Errorf("%+v", p)
		}
		record(f, `{"session_id":"s","hook_event_name":"TaskCompleted","task_id":"1"}`, "hook.task_completed", "todo.updated")
		record(f, tool("TaskUpdate", `{"taskId":"1","status":"completed"}`, `{}`), "hook.tool_finished") // it is already
		todos(f, `[`+first+`"completed"},{"id":"2","text":"Größe/50%","status":"in_progress"}]`)
		record(f, tool("TaskUpdate", `{"taskId":"1","status":"deleted"}`, `{}`), "hook.tool_finished", "todo.updated")
		record(f, tool("TaskUpdate", `{"taskId":"1","status":"deleted"}`, `{}`), "hook.tool_finished")
		todos(f, `[{"id":"2","text":"Größe/50%","status":"in_progress"}]`)
		record(f, tool("TodoWrite", `{"todos":[{"content":"x","status":"completed"},{"content":"y"}]}`, `{}`), "hook.tool_finished", "todo.updated")
		todos(f, `[{"id":"1","text":"x","status":"completed"},{"id":"2","text":"y","status":"pending"}]`)
		record(f, tool("TodoWrite", `{"todos":[]}`, `{}`), "hook.tool_finished", "todo.updated")
		todos(f, `[]`)
		if left := f.Client.PTTL(t.Context(), f.Keys.Todos("s")).Val(); left < 50*time.Minute || left > time.Hour {
			t.Errorf("the todos are kept for %v", left)
		}
		f.Verify()
	})
}

// A list has at most 200 entries and 32 KiB. Completed ones go first, the oldest first.
func TestLongListsOfTodos(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Unhurried()
		var list strings.Builder
		for i := range 250 {
			fmt.Fprintf(&list, `,{"content":"%d","status":%q}`, i, map[bool]string{true: "completed", false: "pending"}[i == 7])
		}
		e := record(f, tool("TodoWrite", `{"todos":[`+list.String()[1:]+`]}`, `{}`), "hook.tool_finished", "todo.updated")[1]
		if p := payload[events.TodoUpdated](f, e); len(p.Todos) != 200 || p.Dropped != 50 || p.Todos[199].Text != "199" {
			t.Errorf("%d todos, %d dropped", len(p.Todos), p.Dropped)
		}
		e = record(f, `{"session_id":"s","hook_event_name":"TaskCreated","task_id":"x","task_subject":"new"}`, "hook.task_created", "todo.updated")[1]
		if p := payload[events.TodoUpdated](f, e); len(p.Todos) != 200 || p.Dropped != 51 || p.Todos[7].Text != "8" || p.Todos[0].Text != "0" || p.Todos[199].Text != "new" {
			t.Errorf("%d todos, %d dropped, %+v", len(p.Todos), p.Dropped, p.Todos[:9])
		}
		e = record(f, `{"session_id":"s","hook_event_name":"TaskCreated","task_id":"y","task_subject":"newer"}`, "hook.task_created", "todo.updated")[1]
		if p := payload[events.TodoUpdated](f, e); p.Dropped != 52 || p.Todos[0].Text != "1" {
			t.Errorf("%d dropped, the first is %+v", p.Dropped, p.Todos[0])
		}
		long := `{"content":"` + strings.Repeat("é", 400) + `"}`
		e = record(f, tool("TodoWrite", `{"todos":[`+strings.Repeat(long+",", 150)+long+`]}`, `{}`), "hook.tool_finished", "todo.updated")[1]
		p := payload[events.TodoUpdated](f, e)
		if size := len(f.Hash(f.Keys.Todos("s"))["todos"]); size > 32<<10 || size < 31<<10 || int64(len(p.Todos))+p.Dropped != 151 {
			t.Errorf("%d bytes, %d todos, %d dropped", size, len(p.Todos), p.Dropped)
		}
	})
}

// What an agent says about another agent's session changes nothing of it.
func TestSessionsOfOtherTokens(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens()}, func(t *testing.T, f *fleettest.Fleet) {
		f.Unhurried()
		f.May("alice", "system.register", `{"id":"w","roles":[],"metadata":{"sessionId":"s"}}`)
		created := func(who, id string, instance string, types ...string) {
			t.Helper()
			before := f.Seq()
			f.May(who, "hook.record", `{"hook":{"session_id":"s","hook_event_name":"TaskCreated","task_id":%q,"task_subject":%q}}`, id, who)
			f.Holds(f.Emitted(before, types...)[0], `{"instanceId":`+instance+`}`)
		}
		created("alice", "1", `"w"`, "hook.task_created", "todo.updated")
		created("bob", "2", `null`, "hook.task_created")
		created("ops", "3", `"w"`, "hook.task_created", "todo.updated")
		created("alice", "4", `"w"`, "hook.task_created", "todo.updated")
		todos(f, `[{"id":"1","text":"alice","status":"pending"},{"id":"3","text":"ops","status":"pending"},{"id":"4","text":"alice","status":"pending"}]`)
		f.MayNot("audit", "agent", "hook.record", `{"hook":{}}`)
	})
}

// Below full, no part of what was written or read is in the log or in any other key.
func TestContentInTheLog(t *testing.T) {
	text, err := os.ReadFile("../../internal/claudehook/testdata/kinds.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for level, secret := range map[claudehook.Level]bool{claudehook.None: false, claudehook.Names: false, claudehook.Full: true} {
		t.Run(string(level), func(t *testing.T) {
			fleettest.Everywhere(t, commands.Options{HookContent: level}, func(t *testing.T, f *fleettest.Fleet) {
				f.Unhurried()
				for line := range strings.Lines(string(text)) {
					f.OK("hook.record", `{"hook":%s}`, line)
				}
				stored := fmt.Sprint(f.Snapshot())
				for _, e := range f.Events() {
					stored += string(e.Payload)
				}
				if strings.Contains(stored, "SECRET") != secret {
					t.Errorf("a secret is stored: %t, want %t", !secret, secret)
				}
				if strings.Contains(stored, "plan") != (level != claudehook.None) {
					t.Errorf("the texts of todos with %s", level)
				}
				for _, e := range f.Events() {
					if strings.HasPrefix(e.Type, "hook.") {
						content := payload[events.Hook](f, e).Content
						if (string(content) == "null") != (level == claudehook.None) {
							t.Errorf("content with %s: %s", level, content)
						}
					}
				}
			})
		})
	}
}

// Only what is stored counts for the limit of bytes.
func TestLargeHooksAndTheByteLimit(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{ByteLimit: 100_000}, func(t *testing.T, f *fleettest.Fleet) {
		f.Unhurried()
		body := `{"session_id":"s","hook_event_name":"PostToolUse","tool_name":"Read","tool_response":"` + strings.Repeat("x", 500_000) + `"}`
		for range 3 {
			record(f, body, "hook.tool_finished")
		}
		if n := f.Scan(f.Keys.Prefix() + "ratelimit:bytes*"); len(n) > 0 {
			t.Errorf("counted: %v", n)
		}
	})
}

func TestFlushDeletesTodosAndSessions(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Unhurried()
		f.Register("w", `[]`, `,"metadata":{"sessionId":"s"}`)
		record(f, `{"session_id":"s","hook_event_name":"TaskCreated","task_id":"1","task_subject":"a"}`, "hook.task_created", "todo.updated")
		if n := f.Exists(f.Keys.Session("s"), f.Keys.Todos("s")); n != 2 {
			t.Fatalf("%d of 2 keys", n)
		}
		f.OK("system.flush", `{"confirm":"FLUSH_ALL_DATA"}`)
		if n := f.Exists(f.Keys.Session("s"), f.Keys.Todos("s")); n != 0 {
			t.Errorf("%d keys are left", n)
		}
		e := record(f, `{"session_id":"s","hook_event_name":"TaskCompleted","task_id":"1","task_subject":"a"}`, "hook.task_completed", "todo.updated")
		f.Holds(e[0], `{"instanceId":null}`)
		f.Holds(e[1], `{"todos":`+string(json.RawMessage(`[{"id":"1","text":"a","status":"completed"}]`))+`}`)
	})
}
