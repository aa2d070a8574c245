package hooks_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/hooks"
)

// unreadRules ask about every tool but Glob.
func unreadRules(tool string) *api.HookDecision {
	if tool == "Glob" {
		return nil
	}
	return &api.HookDecision{Decision: api.HookAsk, Rule: 1, Reason: "too long"}
}

const asks = `{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"ask","permissionDecisionReason":"too long"}}`

// A use of a tool does not evade the policy by the length or the depth of its input.
func TestUnreadableBodiesDoNotEvadeThePolicy(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
	f.Unhurried()
	h := hooks.NewHandler(f.Coordinator, hooks.Options{Policy: rules, Unread: unreadRules})
	long := `{"command":"` + strings.Repeat("x", 2<<20) + `"}`
	deep := strings.Repeat("[", 80) + strings.Repeat("]", 80)
	names := func(name, tool, input string) string {
		return ` {"session_id":"s","hook_event_name":"` + name + `","tool_name":"` + tool + `","tool_input":` + input + `}`
	}
	for _, c := range []struct {
		name, body string
		status     int
		answer     string
	}{
		{"long", names("PreToolUse", "Bash", long), 200, asks},
		{"deep", names("PreToolUse", "Bash", deep), 200, asks},
		{"no names in the beginning", `{"tool_input":` + long + `,"hook_event_name":"PreToolUse"}`, 200, asks},
		{"permission, long", names("PermissionRequest", "Bash", long), 200, `{}`},
		{"no rule", names("PreToolUse", "Glob", long), 413, ""},
		{"has run, long", names("PostToolUse", "Bash", long), 413, ""},
		{"has run, deep", names("PostToolUse", "Bash", deep), 400, ""},
		{"a list", `[` + long + `]`, 413, ""},
	} {
		for _, chunked := range []bool{false, true} {
			before := f.Seq()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, hooks.Path, strings.NewReader(c.body))
			r.Header.Set("Content-Type", "application/json")
			if chunked {
				r.ContentLength = -1
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.status || c.answer != "" && w.Body.String() != c.answer {
				t.Errorf("%s, chunked %v: %d %.300s", c.name, chunked, w.Code, w.Body)
			}
			emitted := f.Since(before)
			if c.status != 200 {
				if len(emitted) != 0 {
					t.Errorf("%s, chunked %v: %d events", c.name, chunked, len(emitted))
				}
				continue
			}
			if len(emitted) != 2 {
				t.Fatalf("%s, chunked %v: %d events", c.name, chunked, len(emitted))
			}
			d := fleettest.Decoded[events.HookDecided](t, emitted[1].Payload)
			if d.Decision != "ask" || d.Rule != 1 || c.name == "long" && (d.Tool == nil || *d.Tool != "Bash" || d.SessionID == nil) {
				t.Errorf("%s: %s", c.name, emitted[1].Payload)
			}
		}
	}
	if got := h.Decisions()["ask"]; got != 8 {
		t.Errorf("counted %d decisions to ask", got)
	}
	f.Verify()
}

// A client that reads the answer only when its whole body is sent gets it.
func TestLongBodiesAreReadBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	h := hooks.NewHandler(dispatch(func(api.Request) *api.Error { return nil }), hooks.Options{Policy: rules, Unread: unreadRules})
	server := httptest.NewServer(h)
	defer server.Close()
	var dialer net.Dialer
	conn, err := dialer.DialContext(context.WithoutCancel(t.Context()), "tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := hookOf("PreToolUse", "Bash", `"`+strings.Repeat("x", 16<<20)+`"`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+hooks.Path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") || !strings.Contains(string(answer), asks) {
		t.Errorf("%s (%v)", answer, err)
	}
}
