package server

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/hooks"
)

const aHook = `{"session_id":"s","hook_event_name":"Stop"}`

// hooked returns how many hooks had an outcome.
func (c *client) hooked(t testing.TB, outcome string) float64 {
	t.Helper()
	for _, m := range c.scrape(t).families["claudebench_hooks_total"].GetMetric() {
		if m.GetLabel()[0].GetValue() == outcome {
			return m.GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no outcome %s", outcome)
	return 0
}

// While Redis hangs or is gone, an agent has its answer within the method's time, and at once while
// the circuit is open.
func TestHooksWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	server := durable(t)
	s, err := Start(t.Context(), settings(t, func(c *config.Config) { c.RedisURL = server.URL() }), Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	c := newClient(t, s.Addr())
	c.ready(t)
	for what, away := range map[string]func() error{"hangs": server.Pause, "is gone": server.Kill} {
		if err := away(); err != nil {
			t.Fatal(err)
		}
		var took []time.Duration
		for range 40 {
			began := time.Now()
			if status, answer := c.post(t, hooks.Path, aHook, nil); status != http.StatusOK || answer != "{}" {
				t.Errorf("Redis %s: %d %s", what, status, answer)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		// The bounds are far above the method's 100 ms, because the machine may be busy.
		if took[len(took)/2] > 50*time.Millisecond || took[len(took)-1] > time.Second {
			t.Errorf("Redis %s: half of the answers took %v, one %v", what, took[len(took)/2], took[len(took)-1])
		}
		back := server.Resume
		if what == "is gone" {
			back = func() error { return server.Restart(t.Context()) }
		}
		if err := back(); err != nil {
			t.Fatal(err)
		}
		c.ready(t)
	}
	if lost := c.hooked(t, "dropped") + c.hooked(t, "unknown"); lost < 70 {
		t.Errorf("%v hooks are counted as lost", lost)
	}
}

func TestWhoMaySendHooks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	secrets := authFile(t, path)
	c := newClient(t, startServer(t, settings(t, func(cfg *config.Config) { cfg.AuthFile = path }), &screen{}).Addr())
	for role, want := range map[string]int{"agent": 200, "operator": 200, "admin": 200, "auditor": 403, "": 401} {
		if status, answer := c.post(t, hooks.Path, aHook, bearing(secrets[role])); status != want {
			t.Errorf("%q: %d %s, want %d", role, status, answer, want)
		}
	}
	strange := func(r *http.Request) {
		bearing(secrets["agent"])(r)
		r.Header.Set("Origin", "https://evil.example")
	}
	if status, _ := c.post(t, hooks.Path, aHook, strange); status != http.StatusForbidden {
		t.Errorf("a page of another origin: %d", status)
	}
	if status, answer := c.post(t, hooks.Path, aHook, func(r *http.Request) {
		bearing(secrets["agent"])(r)
		r.Method = http.MethodPut
	}); status != http.StatusMethodNotAllowed || !strings.Contains(answer, "POST") {
		t.Errorf("PUT: %d %s", status, answer)
	}
}

// The policy of --hook-policy decides about tools, and each decision is an event.
func TestHooksAreDecidedByThePolicy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	policy := `rules: [{tool: Bash, field: command, match: '\brm\s+-rf\b', decision: deny, reason: "No deletions"}]`
	if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := settings(t, func(cfg *config.Config) { cfg.HookPolicy = path })
	c := start(t, cfg)
	for command, want := range map[string]string{
		"ls":       `{}`,
		"rm -rf /": `{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"No deletions"}}`,
	} {
		hook := `{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"` + command + `"},"tool_use_id":"u"}`
		if status, answer := c.post(t, hooks.Path, hook, nil); status != http.StatusOK || answer != want {
			t.Errorf("%s: %d %s", command, status, answer)
		}
	}
	long := `{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"rm -rf /` + strings.Repeat(" ", 1<<20) + `"}}`
	if status, answer := c.post(t, hooks.Path, long, nil); status != http.StatusOK || !strings.Contains(answer, `"permissionDecision":"ask"`) {
		t.Errorf("a long input: %d %s", status, answer)
	}
	var decided []string
	for _, e := range entries(t, cfg) {
		if e.Type == events.TypeHookDecided {
			decided = append(decided, string(e.Payload))
		}
	}
	if len(decided) != 2 || !strings.Contains(decided[0], `"decision":"deny"`) || !strings.Contains(decided[0], `"rule":1`) ||
		!strings.Contains(decided[1], `"decision":"ask"`) {
		t.Errorf("decided: %v", decided)
	}
}
