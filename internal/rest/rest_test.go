package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/rest"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dispatch is a function as a Dispatcher.
type dispatch func(api.Request) (json.RawMessage, *api.Error)

func (f dispatch) Call(_ context.Context, request api.Request) (json.RawMessage, *api.Error) {
	return f(request)
}

// calls returns a handler of two methods and the list of requests that it has seen.
func calls(answer string, failed *api.Error) (http.Handler, *[]api.Request) {
	var seen []api.Request
	d := dispatch(func(r api.Request) (json.RawMessage, *api.Error) {
		seen = append(seen, r)
		return json.RawMessage(answer), failed
	})
	return rest.NewHandler(d, []string{"task.create", "system.batch.process"}, rest.Options{Log: slog.New(slog.DiscardHandler)}), &seen
}

func ask(h http.Handler, method, path, body string, head ...string) *httptest.ResponseRecorder {
	ctx, over := context.WithCancel(context.Background())
	defer over() // as net/http does after a request
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Every method of the real list has a path of its own.
func TestEveryMethodHasItsPath(t *testing.T) {
	t.Parallel()
	names, err := commands.MethodNames()
	if err != nil {
		t.Fatal(err)
	}
	var called string
	h := rest.NewHandler(dispatch(func(r api.Request) (json.RawMessage, *api.Error) {
		called = r.Method
		return nil, nil
	}), names, rest.Options{})
	for _, name := range names {
		if w := ask(h, "POST", rest.Path(name), ""); w.Code != http.StatusOK || called != name || w.Body.String() != "null" {
			t.Errorf("%s: %d %s, called %q", rest.Path(name), w.Code, w.Body, called)
		}
	}
	if got := rest.Path("system.batch.process"); got != "/api/system/batch/process" {
		t.Errorf("the path is %s", got)
	}
}

func TestParamsAndResultsGoThroughAsTheyAre(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                       "",
		" \n":                    "",
		"{}":                     "{}",
		"{ \"a\" : [1.0, 1e5] }": `{"a":[1.0,1e5]}`,
		`{"t": "<&>\u00e4"}`:     `{"t":"<&>\u00e4"}`,
	} {
		const result = `{"n":12345678901234567,"t":"<b>"}`
		h, seen := calls(result, nil)
		w := ask(h, "POST", "/api/task/create", given)
		if w.Code != http.StatusOK || w.Body.String() != result || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%q: %d %s", given, w.Code, w.Body)
		}
		if len(*seen) != 1 || string((*seen)[0].Params) != want || (*seen)[0].Method != "task.create" {
			t.Errorf("%q became %s", given, (*seen)[0].Params)
		}
	}
}

func TestEachErrorHasItsStatus(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    *api.Error
		status int
		after  string
	}{
		"invalid params":       {api.InvalidParams("x"), 400, ""},
		"unauthorized":         {&api.Error{Code: api.CodeUnauthorized, Message: "Unauthorized"}, 403, ""},
		"no such method":       {api.MethodNotFound("x"), 404, ""},
		"not registered":       {&api.Error{Code: api.CodeNotRegistered}, 404, ""},
		"not found":            {&api.Error{Code: api.CodeNotFound}, 404, ""},
		"conflict":             {&api.Error{Code: api.CodeConflict, Data: json.RawMessage(`{"reason":"NOT_OWNER"}`)}, 409, ""},
		"too many":             {&api.Error{Code: api.CodeRateLimited, Data: json.RawMessage(`{"limit":1,"windowMs":60000,"retryAfterMs":1001}`)}, 429, "2"},
		"too many, typed data": {&api.Error{Code: api.CodeRateLimited, Data: map[string]int{"retryAfterMs": 1000}}, 429, "1"},
		"Redis is gone":        {api.Internal(api.RedisUnavailable), 503, ""},
		"Postgres is gone":     {api.Internal(api.PostgresUnavailable), 503, ""},
		"the breaker is open":  {api.Internal(api.CircuitBreakerOpen), 503, ""},
		"perhaps it happened":  {api.Internal(api.OutcomeUnknown), 500, ""},
		"our fault":            {api.Internal(""), 500, ""},
	} {
		h, _ := calls("", tc.err)
		w := ask(h, "POST", "/api/task/create", "{}")
		var answer struct {
			Error *struct {
				Code    int
				Message *string
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Error == nil || answer.Error.Message == nil || answer.Error.Code == 0 {
			t.Errorf("%s: %s", name, w.Body)
		}
		if w.Code != tc.status || w.Header().Get("Retry-After") != tc.after {
			t.Errorf("%s: %d, Retry-After %q, %s", name, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
}

func TestWhatIsRefusedIsNotRun(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		method, path, body string
		head               []string
		status, code       int
	}{
		"an unknown path":         {"POST", "/api/task/dance", "{}", nil, 404, -32601},
		"half a path":             {"POST", "/api/task", "{}", nil, 404, -32601},
		"dots":                    {"POST", "/api/task.create", "{}", nil, 404, -32601},
		"a slash too many":        {"POST", "/api/task/create/", "{}", nil, 404, -32601},
		"GET":                     {"GET", "/api/task/create", "", nil, 405, -32600},
		"a form":                  {"POST", "/api/task/create", "a=1", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, -32600},
		"no type":                 {"POST", "/api/task/create", "", []string{"Content-Type", ""}, 415, -32600},
		"zipped":                  {"POST", "/api/task/create", "{}", []string{"Content-Encoding", "gzip"}, 415, -32600},
		"too long":                {"POST", "/api/task/create", `{"a":"` + strings.Repeat("x", httpapi.MaxBody) + `"}`, nil, 413, -32600},
		"not JSON":                {"POST", "/api/task/create", `{"a":`, nil, 400, -32700},
		"two values":              {"POST", "/api/task/create", `{} {}`, nil, 400, -32700},
		"not UTF-8":               {"POST", "/api/task/create", "{\"a\":\"\xff\"}", nil, 400, -32700},
		"too deep":                {"POST", "/api/task/create", strings.Repeat("[", 65) + strings.Repeat("]", 65), nil, 400, -32600},
		"an empty correlation":    {"POST", "/api/task/create", "{}", []string{"X-Correlation-Id", ""}, 400, -32600},
		"a long correlation":      {"POST", "/api/task/create", "{}", []string{"X-Correlation-Id", strings.Repeat("c", 257)}, 400, -32600},
		"a correlation not UTF-8": {"POST", "/api/task/create", "{}", []string{"X-Correlation-Id", "\xff"}, 400, -32600},
	} {
		h, seen := calls("", nil)
		w := ask(h, tc.method, tc.path, tc.body, tc.head...)
		var answer struct{ Error struct{ Code int } }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != tc.status || answer.Error.Code != tc.code {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if len(*seen) > 0 {
			t.Errorf("%s was run", name)
		}
	}
}

func TestDepthIsCountedFromTheParams(t *testing.T) {
	t.Parallel()
	h, seen := calls("{}", nil)
	if w := ask(h, "POST", "/api/task/create", strings.Repeat("[", 64)+strings.Repeat("]", 64)); w.Code != 200 || len(*seen) != 1 {
		t.Errorf("64 levels: %d %s", w.Code, w.Body)
	}
}

func TestCauseTraceAndCaller(t *testing.T) {
	t.Parallel()
	var got api.Request
	h := rest.NewHandler(dispatch(func(r api.Request) (json.RawMessage, *api.Error) {
		got = r
		return nil, nil
	}), []string{"task.create"}, rest.Options{Caller: func(*http.Request) string { return "ops" }})
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	w := ask(h, "POST", "/api/task/create", "", "X-Correlation-Id", "order 7", "Traceparent", trace)
	if got.Cause != "order 7" || w.Header().Get("X-Correlation-Id") != "order 7" || got.Trace != trace || got.Caller != "ops" || got.Addr != "192.0.2.1" {
		t.Errorf("%+v, answered %q", got, w.Header())
	}
	w = ask(h, "POST", "/api/task/create", "")
	first := got.Cause
	if first == "" || w.Header().Get("X-Correlation-Id") != first {
		t.Errorf("without a header the cause is %q, answered %q", first, w.Header())
	}
	if ask(h, "POST", "/api/task/create", ""); got.Cause == first {
		t.Error("two requests have one cause")
	}
}

func TestAPanicIsAnInternalError(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	h := rest.NewHandler(dispatch(func(api.Request) (json.RawMessage, *api.Error) { panic("the secret") }),
		[]string{"task.create"}, rest.Options{Log: slog.New(slog.NewTextHandler(&logged, nil))})
	w := ask(h, "POST", "/api/task/create", "")
	if w.Code != 500 || w.Body.String() != `{"error":{"code":-32603,"message":"Internal error"}}` || !strings.Contains(logged.String(), "the secret") {
		t.Errorf("%d %s; log: %s", w.Code, w.Body, &logged)
	}
}

// A method's timeout starts when its request begins to arrive. A slow body leaves less of it.
func TestTimeCountsFromTheRequestsBeginning(t *testing.T) {
	t.Parallel()
	h, seen := calls("{}", nil)
	body := &testenv.TimedBody{Reader: strings.NewReader("{}")}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/task/create", body)
	r.Header.Set("Content-Type", "application/json")
	began := time.Now()
	h.ServeHTTP(httptest.NewRecorder(), r)
	if got := (*seen)[0].Received; got.Before(began) || got.After(body.FirstRead) {
		t.Errorf("it counts from %v, the request began between %v and %v", got, began, body.FirstRead)
	}
}
