package server

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) {
		c.RateLimits = config.RateLimits{Methods: map[string]int{"task.get": 1, "task.create": 0}}
	})
	c := start(t, cfg)
	for _, wire := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"a result", "/api/task/create", `{"text":"one","metadata":{ "big": 12345678901234567, "t": "<&>" }}`, 200, `{"id":"t-1","text":"one"`},
		{"byte for byte", "/api/task/create", `{"text":"two","metadata":{ "big": 12345678901234567, "t": "<&>" }}`, 200, `"metadata":{"big":12345678901234567,"t":"<&>"}`},
		{"an underscore", "/api/system/check_health", ``, 200, `"healthy"`},
		{"invalid params", "/api/task/create", `{}`, 400, `"code":-32602`},
		{"params that are no object", "/api/task/create", `[1]`, 400, `"code":-32602`},
		{"not JSON", "/api/task/create", `{`, 400, `"code":-32700`},
		{"no such method", "/api/task/dance", `{}`, 404, `"code":-32601`},
		{"not found", "/api/task/get", `{"id":"t-99"}`, 404, `{"error":{"code":-32004,"message":"Not found","data":{"id":"t-99"}}}`},
		{"too many", "/api/task/get", `{"id":"t-99"}`, 429, `"code":-32000`},
		{"not registered", "/api/task/claim", `{"workerId":"nobody"}`, 404, `"code":-32003`},
		{"a conflict", "/api/task/complete", `{"id":"t-1"}`, 409, `"reason":"NOT_ASSIGNED"`},
		{"without Postgres", "/api/task/list", ``, 503, `"Postgres unavailable"`},
	} {
		status, answer := c.post(t, wire.path, wire.body, nil)
		if status != wire.status || !strings.Contains(answer, wire.want) {
			t.Errorf("%s: %d %s, want %d %s", wire.name, status, answer, wire.status, wire.want)
		}
	}
}

// A rate-limited caller learns from HTTP's own header when to come back.
func TestPlainHTTPSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, func(c *config.Config) {
		c.RateLimits = config.RateLimits{Methods: map[string]int{"task.create": 1}}
	}))
	for n, want := range []int{200, 429} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/api/task/create", strings.NewReader(`{"text":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		response, err := c.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if after := response.Header.Get("Retry-After"); response.StatusCode != want || (after != "") != (want == 429) || after == "0" {
			t.Errorf("call %d: %d, Retry-After %q", n, response.StatusCode, after)
		}
	}
}

// The log shows what a call over plain HTTP or MCP did, under the correlation ID that the caller
// sent.
func TestTheCorrelationIsInTheLog(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	c := start(t, cfg)
	named := func(cause string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("X-Correlation-Id", cause)
			r.Header.Set("Accept", "application/json, text/event-stream")
		}
	}
	c.post(t, "/api/task/create", `{"text":"by plain HTTP"}`, named("order-7"))
	c.post(t, "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"task_create","arguments":{"text":"by MCP"}}}`, named("order-8"))
	entries, err := testenv.Client(t).XRange(t.Context(), "cb:{"+cfg.Namespace+"}:stream:task.created", "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	var causes []string
	for _, entry := range entries {
		var envelope struct{ Cause string }
		if err := json.Unmarshal([]byte(entry.Values["data"].(string)), &envelope); err != nil {
			t.Fatal(err)
		}
		causes = append(causes, envelope.Cause)
	}
	if !slices.Equal(causes, []string{"order-7", "order-8"}) {
		t.Errorf("causes %v", causes)
	}
}

// All transports reject text that SQL cannot read, and name the param.
func TestTextThatSQLCannotReadIsRefused(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	for _, text := range []string{`{"a":"\u0000"}`, `{"\u0000":1}`, `{"a":["\ud800"]}`} {
		params := `{"text":"x","metadata":` + text + `}`
		for name, sent := range map[string]struct{ path, body string }{
			"JSON-RPC": {"/rpc", `{"jsonrpc":"2.0","id":1,"method":"task.create","params":` + params + `}`},
			"REST":     {"/api/task/create", params},
			"MCP":      {"/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"task_create","arguments":` + params + `}}`},
		} {
			_, answer := c.post(t, sent.path, sent.body, func(r *http.Request) { r.Header.Set("Accept", "application/json, text/event-stream") })
			if !strings.Contains(answer, "-32602") || !strings.Contains(answer, "metadata parameter must not contain U+0000 or an unpaired surrogate") {
				t.Errorf("%s %s: %s", name, text, answer)
			}
		}
	}
	if status, answer := c.post(t, "/api/task/get", `{"id":"t-1"}`, nil); status != http.StatusNotFound {
		t.Errorf("a task was created: %s", answer)
	}
	if _, answer := c.post(t, "/rpc", `{"jsonrpc":"2.0","id":1,"method":"system.health","metadata":{"correlationId":"\u0000"}}`, nil); !strings.Contains(answer, "metadata.correlationId must not contain U+0000") {
		t.Errorf("a correlationId: %s", answer)
	}
}

// On all transports, integers are exact or rejected, and methods without required params accept
// null and an empty array.
func TestNumbersAndNoParamsByEveryTransport(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	tool := func(name, arguments string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `","arguments":` + arguments + `}}`
	}
	send := func(method, params string) map[string]string {
		answers := map[string]string{}
		for path, body := range map[string]string{
			"/rpc": `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`, "/api/" + strings.ReplaceAll(method, ".", "/"): params,
			"/mcp": tool(strings.ReplaceAll(method, ".", "_"), params),
		} {
			_, answers[path] = c.post(t, path, body, func(r *http.Request) { r.Header.Set("Accept", "application/json, text/event-stream") })
		}
		return answers
	}
	for _, wire := range []struct{ method, params, want string }{
		{"task.complete", `{"id":"t-1","attempt":9007199254740993}`, "attempt parameter must be an integer of at most 9007199254740991"},
		{"task.create", `{"text":"x","metadata":{"n":[9007199254740993,1.50,-0.0,1e400]}}`, `[9007199254740993,1.50,-0.0,1e400]`},
		{"system.health", `null`, `degraded`},
		{"system.health", `[]`, `degraded`},
		{"task.create", `[]`, `text parameter is required`},
		{"task.create", `null`, `text parameter is required`},
	} {
		for path, answer := range send(wire.method, wire.params) {
			if !strings.Contains(answer, wire.want) {
				t.Errorf("%s %s %s: %s, want %s", path, wire.method, wire.params, answer, wire.want)
			}
		}
	}
}
