package hooks_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

// A use of a tool that is too long or too deep for the policy is asked about, over a real connection:
// the answer comes when all has been sent. Without a policy, and for other hooks, it is refused.
func TestAToolDoesNotEvadeThePolicyByItsSize(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
	long, deep := `"`+strings.Repeat("x", 5<<20)+`"`, strings.Repeat("[", 70)+strings.Repeat("]", 70)
	for _, policy := range []bool{false, true} {
		o := hooks.Options{Log: slog.New(slog.DiscardHandler)}
		if policy {
			o.Policy = rules
		}
		h := hooks.NewHandler(f.Coordinator, o)
		server := httptest.NewServer(h)
		defer server.Close()
		for _, c := range []struct {
			body   string
			status int
			ask    bool
		}{
			{hookOf("PreToolUse", "Write", `{"content":`+long+`}`), http.StatusRequestEntityTooLarge, true},
			{hookOf("PreToolUse", "Write", `{"content":`+deep+`}`), http.StatusBadRequest, true},
			{hookOf("PostToolUse", "Write", `{"content":`+long+`}`), http.StatusRequestEntityTooLarge, false},
			{`{"hook_event_name":7,"x":` + long + `}`, http.StatusRequestEntityTooLarge, false},
			{`{"x":` + long + `,"hook_event_name":"PreToolUse"}`, http.StatusRequestEntityTooLarge, false},
			{`{"hook_event_name":"PreToolUse"`, http.StatusBadRequest, true},
		} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			response, err := server.Client().Do(request)
			if err != nil {
				if !policy || !c.ask {
					continue // refused while the body was being sent
				}
				t.Fatalf("%.50s: %v", c.body, err)
			}
			answer, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if asked := response.StatusCode == http.StatusOK && strings.Contains(string(answer), `"permissionDecision":"ask"`); asked != (policy && c.ask) || !asked && response.StatusCode != c.status {
				t.Errorf("policy %t, %.50s: %d %.200s", policy, c.body, response.StatusCode, answer)
			}
		}
		if asked := h.Decisions()[api.HookAsk]; policy != (asked == 3) {
			t.Errorf("policy %t: %d decisions to ask", policy, asked)
		}
	}
}
