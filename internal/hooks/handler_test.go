package hooks_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/claudehook"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/hooks"
)

// post sends a body as Claude Code does.
func post(t testing.TB, h http.Handler, body string) (status int, answer string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, hooks.Path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// taken posts a body that is a hook, and returns its payload in the log.
func taken(t testing.TB, f *fleettest.Fleet, h http.Handler, body string) events.Hook {
	t.Helper()
	before := f.Seq()
	if status, answer := post(t, h, body); status != http.StatusOK || answer != "{}" {
		t.Fatalf("%.200s: %d %s", body, status, answer)
	}
	emitted := f.Since(before)
	if len(emitted) == 0 {
		t.Fatalf("%.200s: there is no event", body)
	}
	return fleettest.Decoded[events.Hook](t, emitted[0].Payload)
}

func fleet(t *testing.T, o commands.Options) (*fleettest.Fleet, *hooks.Handler) {
	t.Helper()
	f := fleettest.New(t, fleettest.RealRedis(t), o)
	f.Unhurried()
	return f, hooks.NewHandler(f.Coordinator, hooks.Options{})
}

func TestEveryHookBecomesAnEvent(t *testing.T) {
	t.Parallel()
	f, h := fleet(t, commands.Options{HookContent: claudehook.Full})
	posted := 0
	for _, file := range []string{"session-2.1.197.jsonl", "kinds.jsonl"} {
		text, err := os.ReadFile("../claudehook/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var body struct {
				Name string `json:"hook_event_name"`
				Tool string `json:"tool_name"`
			}
			if err := json.Unmarshal([]byte(line), &body); err != nil {
				t.Fatal(err)
			}
			hook := taken(t, f, h, line)
			if hook.Name != body.Name || body.Tool != "" && *hook.Tool != body.Tool {
				t.Errorf("%s became %+v", line, hook)
			}
			posted++
		}
	}
	if counts := h.Counts(); counts["recorded"] != uint64(posted) {
		t.Errorf("of %d: %v", posted, counts)
	}
	f.Verify()
}

// An agent's hooks never fail for what its files contain.
func TestHostileBodies(t *testing.T) {
	t.Parallel()
	f, h := fleet(t, commands.Options{HookContent: claudehook.Full})
	long := strings.Repeat("x", 1<<20-200)
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, body := range map[string]string{
		"empty":         `{}`,
		"white space":   " \n{ \"hook_event_name\" : \"Stop\" } \r\n",
		"not UTF-8":     "{\"hook_event_name\":\"UserPromptSubmit\",\"session_id\":\"a\xff\",\"prompt\":\"\xc3\x28 \xed\xa0\x80\"}",
		"U+0000":        `{"hook_event_name":"UserPromptSubmit","session_id":"\u0000","prompt":"a\u0000b\ud800"}`,
		"long prompt":   `{"hook_event_name":"UserPromptSubmit","session_id":"s","prompt":"` + long + `"}`,
		"long session":  `{"hook_event_name":"Stop","session_id":"` + long + `"}`,
		"deep":          `{"hook_event_name":"PreToolUse","tool_input":` + deep(63) + `}`,
		"input a text":  `{"hook_event_name":"PreToolUse","session_id":"s","tool_name":"Bash","tool_input":"rm"}`,
		"session null":  `{"hook_event_name":"PreToolUse","session_id":null}`,
		"key patterns":  `{"hook_event_name":"TaskCreated","session_id":"*:{x}?[a]","task_id":"*","task_subject":"%s \\ / \" }"}`,
		"odd numbers":   `{"hook_event_name":"PostToolUse","duration_ms":1e999,"tool_input":{"n":-0.0,"m":12345678901234567890}}`,
		"many members":  `{"hook_event_name":"Odd"` + strings.Repeat(`,"x":1,"y":2`, 50_000) + `}`,
		"todos of junk": `{"hook_event_name":"PostToolUse","session_id":"s","tool_name":"TodoWrite","tool_input":{"todos":[` + strings.Repeat(`{},`, 100_000) + `7]}}`,
	} {
		hook := taken(t, f, h, body)
		if name == "not UTF-8" && (hook.SessionID == nil || *hook.SessionID != "a\uFFFD") {
			t.Errorf("%s: %v", name, hook.SessionID)
		}
	}
	for _, c := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"nothing", ``, 400, "-32700"},
		{"half", `{"hook_event_name":`, 400, "-32700"},
		{"more than one", `{} {}`, 400, "-32700"},
		{"a list", `[{}]`, 400, "a hook must be a JSON object"},
		{"a string", `"Stop"`, 400, "a hook must be a JSON object"},
		{"too deep", `{"a":` + deep(64) + `}`, 400, "levels"},
		{"too long", `{"a":"` + long + long + `"}`, 413, "1048576 bytes"},
	} {
		before := f.Seq()
		if status, answer := post(t, h, c.body); status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, answer, c.status, c.want)
		}
		if f.Seq() != before {
			t.Errorf("%s became an event", c.name)
		}
	}
	if counts := h.Counts(); counts["recorded"] != 13 || counts["refused"] != 7 {
		t.Errorf("counted %v", counts)
	}
	f.Verify()
}

// While a flush is under way or a limit is reached, the agent gets its answer all the same.
func TestHooksThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	f, h := fleet(t, commands.Options{RateLimits: map[string]int{"hook.record": 1}})
	taken(t, f, h, `{}`)
	before := f.Seq()
	if status, answer := post(t, h, `{}`); status != http.StatusOK || answer != "{}" {
		t.Errorf("beyond the limit: %d %s", status, answer)
	}
	f.Put([]any{"HSET", f.Keys.Log(), "fence", "f"})
	if status, answer := post(t, h, `{}`); status != http.StatusOK || answer != "{}" {
		t.Errorf("behind the fence of a flush: %d %s", status, answer)
	}
	f.Put([]any{"HDEL", f.Keys.Log(), "fence"})
	if f.Seq() != before {
		t.Error("a hook became an event")
	}
	if diff := cmp.Diff(map[string]uint64{"recorded": 1, "dropped": 2, "unknown": 0, "refused": 0}, h.Counts()); diff != "" {
		t.Error(diff)
	}
}

type dispatch func(api.Request) *api.Error

func (d dispatch) Call(_ context.Context, r api.Request) (json.RawMessage, *api.Error) {
	return json.RawMessage(`{"eventId":"1-1"}`), d(r)
}

// Whatever fails, the answer is the one of a hook that nobody has an opinion on.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failed  *api.Error
		status  int
		outcome string
	}{
		"recorded":        {nil, 200, "recorded"},
		"Redis away":      {api.Internal(api.RedisUnavailable), 200, "dropped"},
		"reply lost":      {api.Internal(api.OutcomeUnknown), 200, "unknown"},
		"circuit open":    {api.Internal(api.CircuitBreakerOpen), 200, "dropped"},
		"a defect":        {api.Internal(""), 200, "dropped"},
		"role is missing": {api.Unauthorized("agent"), 403, "refused"},
	} {
		h := hooks.NewHandler(dispatch(func(r api.Request) *api.Error {
			if r.Method != "hook.record" || string(r.Params) != `{"hook":{"a":[1]}}` || r.Cause == "" {
				t.Errorf("%s: %s %s, cause %q", name, r.Method, r.Params, r.Cause)
			}
			return c.failed
		}), hooks.Options{Log: slog.New(slog.DiscardHandler)})
		status, answer := post(t, h, `{ "a": [ 1 ] }`)
		if status != c.status || status == 200 && answer != "{}" || h.Counts()[c.outcome] != 1 {
			t.Errorf("%s: %d %s, counted %v", name, status, answer, h.Counts())
		}
	}
	panics := hooks.NewHandler(dispatch(func(api.Request) *api.Error { panic("a defect") }), hooks.Options{Log: slog.New(slog.DiscardHandler)})
	if status, answer := post(t, panics, `{}`); status != 200 || answer != "{}" {
		t.Errorf("a panic: %d %s", status, answer)
	}
}
