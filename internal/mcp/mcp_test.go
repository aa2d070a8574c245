package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/mcp"
	"github.com/claudebench/claudebench/internal/rpc"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// dispatch is a function as a Dispatcher.
type dispatch func(context.Context, api.Request) (json.RawMessage, *api.Error)

func (f dispatch) Call(ctx context.Context, request api.Request) (json.RawMessage, *api.Error) {
	return f(ctx, request)
}

func handler(t testing.TB, d dispatch, methods []*command.Method, caller func(*http.Request) string) http.Handler {
	t.Helper()
	if methods == nil {
		var err error
		if methods, err = commands.Methods(); err != nil {
			t.Fatal(err)
		}
	}
	h, err := mcp.NewHandler(d, methods, mcp.Options{Log: slog.New(slog.DiscardHandler), Caller: caller, Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func post(h http.Handler, body string, head ...string) *httptest.ResponseRecorder {
	ctx, over := context.WithCancel(context.Background())
	defer over() // as net/http does after a request
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// answer is the response to a request.
type answer[R any] struct {
	Result R
	Error  *struct {
		Code    int
		Message string
		Data    json.RawMessage
	}
}

func ask[R any](t *testing.T, h http.Handler, method, params string, head ...string) answer[R] {
	t.Helper()
	w := post(h, fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":%q,"params":%s}`, method, params), head...)
	var a answer[R]
	if err := json.Unmarshal(w.Body.Bytes(), &a); w.Code != http.StatusOK || err != nil {
		t.Fatalf("%s %s: %d %s", method, params, w.Code, w.Body)
	}
	return a
}

// called is the result of a tool.
type called struct {
	Content           []struct{ Type, Text string }
	StructuredContent json.RawMessage
	IsError           bool
}

func TestACallGoesThroughAsItIs(t *testing.T) {
	t.Parallel()
	var got api.Request
	const result = `{"n":12345678901234567,"t":"<&> ä","f":1.0}`
	h := handler(t, func(_ context.Context, r api.Request) (json.RawMessage, *api.Error) {
		got = r
		return json.RawMessage(result), nil
	}, nil, func(*http.Request) string { return "ops" })
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	a := ask[called](t, h, "tools/call", `{"name":"task_create","arguments":{ "text": "<b> \u00e4", "priority": 1e1 }}`, "X-Correlation-Id", "c 7", "Traceparent", trace)
	if a.Error != nil || a.Result.IsError || len(a.Result.Content) != 1 || a.Result.Content[0].Text != result {
		t.Errorf("%+v", a)
	}
	if !strings.Contains(string(a.Result.StructuredContent), `"n":12345678901234567`) || !strings.Contains(string(a.Result.StructuredContent), `"f":1.0`) {
		t.Errorf("structured: %s", a.Result.StructuredContent)
	}
	want := api.Request{
		Method: "task.create", Params: json.RawMessage(`{"text":"<b> \u00e4","priority":1e1}`),
		Caller: "ops", Addr: "192.0.2.1", Cause: "c 7", Trace: trace, MCP: true, Received: got.Received,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the call (-want +got):\n%s", diff)
	}
	ask[called](t, h, "tools/call", `{"name":"task_list"}`)
	if len(got.Params) > 0 && string(got.Params) != "{}" || got.Cause == "" || got.Cause == "c 7" {
		t.Errorf("a call with nothing: %+v", got)
	}
}

// An error is an error of the tool. It says what happened and what to do next.
func TestErrorsTellWhatToDoNext(t *testing.T) {
	t.Parallel()
	conflict := func(reason string) *api.Error {
		return &api.Error{Code: api.CodeConflict, Message: "Conflict", Data: json.RawMessage(`{"reason":"` + reason + `","assignedTo":"w2"}`)}
	}
	for name, tc := range map[string]struct {
		err  *api.Error
		want []string
	}{
		"invalid":        {api.InvalidParams("text parameter is required"), []string{"-32602", "text parameter is required", "correct the argument"}},
		"too many":       {&api.Error{Code: api.CodeRateLimited, Message: "Rate limit exceeded", Data: json.RawMessage(`{"retryAfterMs":90}`)}, []string{"-32000", `"retryAfterMs":90`, "wait retryAfterMs"}},
		"may not":        {&api.Error{Code: api.CodeUnauthorized, Message: "Unauthorized", Data: "role operator"}, []string{"-32002", "role operator", "do not repeat"}},
		"not registered": {&api.Error{Code: api.CodeNotRegistered, Message: "Instance not registered"}, []string{"-32003", "system_register"}},
		"not found":      {&api.Error{Code: api.CodeNotFound, Message: "Not found"}, []string{"-32004", "task_list"}},
		"not the owner":  {conflict("NOT_OWNER"), []string{"-32005", `"assignedTo":"w2"`, "drop the work", "task_get"}},
		"flush":          {conflict("FLUSH_IN_PROGRESS"), []string{"register again"}},
		"a new reason":   {conflict("SOMETHING_NEW"), []string{"SOMETHING_NEW", "data contains the reason"}},
		"Redis is gone":  {api.Internal(api.RedisUnavailable), []string{"Redis unavailable", "nothing has changed"}},
		"perhaps":        {api.Internal(api.OutcomeUnknown), []string{"may have taken effect", "idempotencyKey"}},
		"our fault":      {api.Internal(""), []string{"-32603", "tell the operator"}},
	} {
		h := handler(t, func(context.Context, api.Request) (json.RawMessage, *api.Error) { return nil, tc.err }, nil, nil)
		a := ask[called](t, h, "tools/call", `{"name":"task_claim","arguments":{}}`)
		if a.Error != nil || !a.Result.IsError || len(a.Result.Content) != 1 || a.Result.StructuredContent != nil {
			t.Errorf("%s: %+v", name, a)
			continue
		}
		text := a.Result.Content[0].Text
		for _, want := range append(tc.want, "\nNext: ") {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q says nothing of %q", name, text, want)
			}
		}
	}
}

func TestAPanicIsAToolsError(t *testing.T) {
	t.Parallel()
	h := handler(t, func(context.Context, api.Request) (json.RawMessage, *api.Error) { panic("the secret") }, nil, nil)
	if a := ask[called](t, h, "tools/call", `{"name":"task_claim","arguments":{}}`); !a.Result.IsError || strings.Contains(fmt.Sprint(a), "secret") {
		t.Errorf("%+v", a)
	}
}

func TestWhatIsRefusedBeforeTheProtocol(t *testing.T) {
	t.Parallel()
	h := handler(t, nil, nil, nil)
	const good = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	nested := func(n int) string {
		return `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":` + strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) + "}}"
	}
	for name, tc := range map[string]struct {
		body   string
		head   []string
		status int
	}{
		"as it should be":        {good, nil, 200},
		"as deep as may be":      {nested(62), nil, 200},
		"too deep":               {nested(63), nil, 400},
		"not UTF-8":              {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"_meta\":\"\xff\"}}", nil, 400},
		"not JSON":               {`{"jsonrpc":`, nil, 400},
		"empty":                  {``, nil, 400},
		"too long":               {good + strings.Repeat(" ", httpapi.MaxBody), nil, 413},
		"a form":                 {good, []string{"Content-Type", "text/plain"}, 415},
		"a correlation too long": {good, []string{"X-Correlation-Id", strings.Repeat("x", 257)}, 400},
		"a batch of old": {
			"[" + good + strings.Repeat(","+good, rpc.MaxCalls-1) + "]", []string{"Mcp-Protocol-Version", "2025-03-26"}, 200,
		},
		"a batch too long": {
			"[" + good + strings.Repeat(","+good, rpc.MaxCalls) + "]", []string{"Mcp-Protocol-Version", "2025-03-26"}, 400,
		},
	} {
		if w := post(h, tc.body, tc.head...); w.Code != tc.status || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodPut} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/mcp", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %d %q", method, w.Code, w.Header())
		}
	}
}

// No coordinator keeps sessions, so each of them accepts any session id of a client.
func TestNoSessions(t *testing.T) {
	t.Parallel()
	for range 2 {
		h := handler(t, nil, nil, nil)
		w := post(h, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
		if w.Code != 200 || w.Header().Get("Mcp-Session-Id") != "" {
			t.Errorf("%d %q", w.Code, w.Header())
		}
		other := handler(t, nil, nil, nil)
		if w := post(other, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "Mcp-Session-Id", "of-a-coordinator-that-is-gone"); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// A method's timeout starts when its request begins to arrive. A slow body leaves less of it.
func TestTimeCountsFromTheRequestsBeginning(t *testing.T) {
	t.Parallel()
	var got time.Time
	h := handler(t, func(_ context.Context, r api.Request) (json.RawMessage, *api.Error) {
		got = r.Received
		return json.RawMessage(`{}`), nil
	}, nil, nil)
	body := &testenv.TimedBody{Reader: strings.NewReader(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"task_claim","arguments":{}}}`)}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", body)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	began := time.Now()
	h.ServeHTTP(httptest.NewRecorder(), r)
	if got.Before(began) || got.After(body.FirstRead) {
		t.Errorf("it counts from %v, the request began between %v and %v", got, began, body.FirstRead)
	}
}
