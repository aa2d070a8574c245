package hooks_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/hooks"
)

// rules decide by the name of the tool.
func rules(tool string, input json.RawMessage) *api.HookDecision {
	switch tool {
	case "Bash":
		if strings.Contains(string(input), "rm") {
			return &api.HookDecision{Decision: api.HookDeny, Rule: 2, Reason: `No <rm> & "co"`}
		}
	case "Read":
		return &api.HookDecision{Decision: api.HookAllow, Rule: 1}
	case "Write":
		return &api.HookDecision{Decision: api.HookAsk, Rule: 3, Reason: "look first"}
	}
	return nil
}

func hookOf(name, tool, input string) string {
	return `{"session_id":"s","hook_event_name":"` + name + `","tool_name":"` + tool + `","tool_input":` + input + `,"tool_use_id":"u"}`
}

var decisions = []struct{ body, answer, decided string }{
	{hookOf("PreToolUse", "Bash", `{"command":"ls"}`), `{}`, ``},
	{
		hookOf("PreToolUse", "Bash", `{"command":"rm"}`),
		`{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"No <rm> & \"co\""}}`,
		`{"name":"PreToolUse","sessionId":"s","instanceId":null,"tool":"Bash","toolUseId":"u","decision":"deny","rule":2,"reason":"No <rm> & \"co\""}`,
	},
	{
		hookOf("PreToolUse", "Read", `{}`), `{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"allow"}}`,
		`{"decision":"allow","rule":1,"reason":null}`,
	},
	{
		hookOf("PreToolUse", "Write", `{}`),
		`{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"ask","permissionDecisionReason":"look first"}}`,
		`{"decision":"ask","rule":3,"reason":"look first"}`,
	},
	{
		hookOf("PermissionRequest", "Bash", `{"command":"rm"}`),
		`{"hookSpecificOutput":{"hookEventName":"PermissionRequest","decision":{"behavior":"deny","message":"No <rm> & \"co\""}}}`,
		`{"name":"PermissionRequest","decision":"deny"}`,
	},
	{
		hookOf("PermissionRequest", "Read", `{}`), `{"hookSpecificOutput":{"hookEventName":"PermissionRequest","decision":{"behavior":"allow"}}}`,
		`{"name":"PermissionRequest","decision":"allow"}`,
	},
	{hookOf("PermissionRequest", "Write", `{}`), `{}`, `{"name":"PermissionRequest","decision":"ask"}`},
	{hookOf("PostToolUse", "Bash", `{"command":"rm"}`), `{}`, ``}, // it has run
	{`{"hook_event_name":"PreToolUse"}`, `{}`, ``},
}

// Each decision is answered in Claude Code's form, and is an event with the hook's own.
func TestDecisions(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
	f.Unhurried()
	h := hooks.NewHandler(f.Coordinator, hooks.Options{Policy: rules})
	for _, c := range decisions {
		before := f.Seq()
		if status, answer := post(t, h, c.body); status != 200 || answer != c.answer {
			t.Errorf("%s: %d %s\nwant %s", c.body, status, answer, c.answer)
		}
		emitted := f.Since(before)
		if c.decided == "" {
			if len(emitted) != 1 {
				t.Errorf("%s: %d events", c.body, len(emitted))
			}
			continue
		}
		if len(emitted) != 2 || emitted[1].Type != "hook.decided" {
			t.Fatalf("%s: %v", c.body, emitted)
		}
		f.Holds(emitted[1], c.decided)
		p := fleettest.Decoded[events.HookDecided](t, emitted[1].Payload)
		if again, err := events.EncodePayload(p); err != nil || string(again) != string(emitted[1].Payload) {
			t.Errorf("%s is not %+v (%v)", emitted[1].Payload, p, err)
		}
	}
	if diff := cmp.Diff(map[string]uint64{"allow": 2, "ask": 2, "deny": 2}, h.Decisions()); diff != "" {
		t.Error(diff)
	}
}

// A decision does not need Redis.
func TestDecisionsWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	h := hooks.NewHandler(dispatch(func(api.Request) *api.Error { return api.Internal(api.RedisUnavailable) }),
		hooks.Options{Policy: rules, Log: slog.New(slog.DiscardHandler)})
	for _, c := range decisions {
		if status, answer := post(t, h, c.body); status != 200 || answer != c.answer {
			t.Errorf("%s: %d %s\nwant %s", c.body, status, answer, c.answer)
		}
	}
}
