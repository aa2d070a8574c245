package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// post sends a body unchanged.
func (c *client) post(t *testing.T, path, body string, change func(*http.Request)) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(r)
	}
	response, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestJSONRPCOnBothPaths(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	for _, path := range []string{"/rpc", "/rpc/batch"} {
		for _, wire := range []struct{ name, body, want string }{
			{
				"unknown method", `{"jsonrpc":"2.0","id":1,"method":"task.dance"}`,
				`{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found","data":"task.dance"},"id":1}`,
			},
			{"not JSON", `{"jsonrpc":`, `"code":-32700,"message":"Parse error"`},
			{"not a request", `{"id":1}`, `"code":-32600,"message":"Invalid Request"`},
			{"empty batch", `[]`, `"code":-32600`},
			{"unknown param", `{"jsonrpc":"2.0","id":1,"method":"task.get","params":{"id":"t-1","colour":1}}`, `colour`},
			{"missing param", `{"jsonrpc":"2.0","id":"a","method":"task.create","params":{}}`, `"code":-32602,"message":"Invalid params"`},
			{"not found", `{"jsonrpc":"2.0","id":null,"method":"task.get","params":{"id":"t-999"}}`, `{"code":-32004,"message":"Not found","data":{"id":"t-999"}}`},
			{
				"not registered", `{"jsonrpc":"2.0","id":2,"method":"task.claim","params":{"workerId":"nobody"}}`,
				`{"code":-32003,"message":"Instance not registered","data":{"instanceId":"nobody"}}`,
			},
			{
				"a batch in order, its notification unanswered",
				`[{"jsonrpc":"2.0","id":"x","method":"system.heartbeat","params":{"instanceId":"i"}},` +
					`{"jsonrpc":"2.0","method":"system.heartbeat","params":{"instanceId":"i"}},` +
					`{"jsonrpc":"2.0","id":"y","method":"nope"}]`,
				`[{"jsonrpc":"2.0","result":{"alive":false},"id":"x"},{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found","data":"nope"},"id":"y"}]`,
			},
		} {
			status, answer := c.post(t, path, wire.body, nil)
			if plain := strings.ReplaceAll(answer, " ", ""); status != http.StatusOK || !strings.Contains(plain, strings.ReplaceAll(wire.want, " ", "")) {
				t.Errorf("%s, %s: %d %s, want %s", path, wire.name, status, answer, wire.want)
			}
		}
		if status, answer := c.post(t, path, `{"jsonrpc":"2.0","method":"task.create","params":{"text":"quiet"}}`, nil); status != http.StatusNoContent || answer != "" {
			t.Errorf("%s, a notification: %d %q", path, status, answer)
		}
	}
	// Both notifications took effect.
	if first := call[object](t, c, "task.get", params{"id": "t-1"}); first["text"] != "quiet" {
		t.Errorf("the first task is %v", first)
	}
	call[object](t, c, "task.get", params{"id": "t-2"})
}

func TestConflictsTellTheirReason(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	id := c.create(t, params{"text": "one", "idempotencyKey": "k"})
	if again := c.create(t, params{"text": "one", "idempotencyKey": "k"}); again != id {
		t.Errorf("the repeat made %s, the first call %s", again, id)
	}
	for reason, err := range map[string]*refusal{
		"IDEMPOTENCY_KEY_REUSED": refused(t, c, api.CodeConflict, "task.create", params{"text": "two", "idempotencyKey": "k"}),
		"NOT_ASSIGNED":           refused(t, c, api.CodeConflict, "task.complete", params{"id": id}),
	} {
		var data struct{ Reason string }
		if err := json.Unmarshal(err.Data, &data); err != nil || data.Reason != reason {
			t.Errorf("%v, want reason %s", err, reason)
		}
	}
}

func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	first, second := start(t, cfg), start(t, cfg)
	for _, c := range []*client{first, second} {
		if status, body := c.get(t, "/healthz"); status != http.StatusOK || strings.TrimSpace(body) != `{"status":"ok"}` {
			t.Errorf("/healthz: %d %s", status, body)
		}
		c.ready(t)
	}
	holders := map[string]int{}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		clear(holders)
		var all []any
		for _, c := range []*client{first, second} {
			_, r := c.readyz(t)
			all = append(all, r)
			for _, p := range r.Projections {
				if p.Holder {
					holders[p.Name]++
				}
			}
		}
		return cmp.Equal(holders, map[string]int{"state": 1, "metrics": 1, "tasks": 1, "events": 1}), fmt.Sprintf("%+v", all)
	})
	_, r := first.readyz(t)
	if r.Redis != "ok" || r.Postgres != "ok" || len(r.Projections) != 4 {
		t.Errorf("ready with %+v", r)
	}
}

// A Postgres that accepts connections and never replies is reported as unavailable. Redis is not
// affected.
func TestReadinessWithAPostgresThatHangs(t *testing.T) {
	t.Parallel()
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hole.Close() })
	cfg := settings(t, func(c *config.Config) {
		c.DatabaseURL = "postgres://postgres@" + hole.Addr().String() + "/postgres?sslmode=disable"
	})
	c := start(t, cfg)
	status, r := c.readyz(t)
	if status != http.StatusOK || r.Redis != "ok" || r.Postgres != "unavailable" || !r.Ready || !r.Degraded {
		t.Errorf("/readyz: %d %+v", status, r)
	}
	c.create(t, params{"text": "commands go on"})
	if err := refused(t, c, api.CodeInternal, "task.list", params{}); err.text() != api.PostgresUnavailable {
		t.Errorf("task.list: %v", err)
	}
}

// The coordinator serves the AsyncAPI document, which names each type of event.
func TestAsyncAPI(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	status, text := c.get(t, "/asyncapi.json")
	var document struct {
		AsyncAPI   string
		Components struct{ Messages map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil || status != http.StatusOK || document.AsyncAPI != "3.0.0" {
		t.Fatalf("%d %.200s: %v", status, text, err)
	}
	for _, typ := range events.Types() {
		if document.Components.Messages[string(typ)] == nil {
			t.Errorf("it does not describe %s", typ)
		}
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	for _, path := range []string{"/", "/rpcs", "/rpc/", "/healthz/x", "/api/task", "/mcp/x"} {
		status, body := c.get(t, path)
		if status != http.StatusNotFound || !json.Valid([]byte(body)) || !strings.Contains(body, path) {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
	for path, want := range map[string]int{
		"/rpc": http.StatusMethodNotAllowed, "/rpc/batch": http.StatusMethodNotAllowed, "/api/task/create": http.StatusMethodNotAllowed,
		"/mcp": http.StatusMethodNotAllowed,
	} {
		if status, _ := c.get(t, path); status != want {
			t.Errorf("GET %s: %d", path, status)
		}
	}
}

func TestForeignPagesAreRefusedOnEveryPath(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	port := c.url[strings.LastIndexByte(c.url, ':'):]
	for _, path := range []string{"/rpc", "/rpc/batch", "/api/task/create", "/mcp", "/events", "/healthz", "/readyz", "/metrics", "/nothing"} {
		for name, change := range map[string]func(*http.Request){
			"foreign host":         func(r *http.Request) { r.Host = "evil.example" + port },
			"rebound, other port":  func(r *http.Request) { r.Host = "localhost:1" },
			"foreign origin":       func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
			"opaque origin":        func(r *http.Request) { r.Header.Set("Origin", "null") },
			"own name, wrong port": func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:1") },
		} {
			if status, body := c.post(t, path, `{"jsonrpc":"2.0","id":1,"method":"task.create","params":{"text":"stolen"}}`, change); status != http.StatusForbidden ||
				!strings.Contains(body, "-32002") {
				t.Errorf("%s with a %s: %d %s", path, name, status, body)
			}
		}
	}
	own := func(r *http.Request) { r.Header.Set("Origin", c.url) }
	if status, body := c.post(t, "/rpc", `{"jsonrpc":"2.0","id":1,"method":"task.create","params":{"text":"mine"}}`, own); status != http.StatusOK || !strings.Contains(body, `"t-1"`) {
		t.Errorf("its own origin: %d %s; the first task must be this one", status, body)
	}
}

func TestWithoutPostgres(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	c.ready(t)
	if _, r := c.readyz(t); r.Postgres != "off" || len(r.Projections) != 2 {
		t.Errorf("/readyz: %+v", r)
	}
	c.create(t, params{"text": "one"})
	if err := refused(t, c, api.CodeInternal, "task.list", params{}); err.text() != api.PostgresUnavailable {
		t.Errorf("task.list: %v", err)
	}
}

func TestRateLimitsOfTheOperator(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) {
		if err := c.RateLimits.Set("off,task.create=2"); err != nil {
			t.Fatal(err)
		}
	})
	c := start(t, cfg)
	c.create(t, params{"text": "1"})
	c.create(t, params{"text": "2", "idempotencyKey": "k"})
	err := refused(t, c, api.CodeRateLimited, "task.create", params{"text": "3"})
	var data struct{ Limit, WindowMs, RetryAfterMs int }
	if json.Unmarshal(err.Data, &data) != nil || data.Limit != 2 || data.WindowMs != 60000 || data.RetryAfterMs < 1 || data.RetryAfterMs > 60000 {
		t.Errorf("%v", err)
	}
	// A repeat counts too.
	_ = refused(t, c, api.CodeRateLimited, "task.create", params{"text": "2", "idempotencyKey": "k"})
	// Register's own limit is 10.
	for range 12 {
		call[object](t, c, "system.register", params{"id": "i", "roles": []string{}})
	}
	// All coordinators of a fleet count together.
	_ = refused(t, start(t, cfg), api.CodeRateLimited, "task.create", params{"text": "4"})
}

func TestNamespacesAreApart(t *testing.T) {
	t.Parallel()
	database := testenv.Postgres(t)
	in := func(c *config.Config) { c.DatabaseURL = database }
	a, b := start(t, settings(t, in)), start(t, settings(t, in))
	a.ready(t)
	b.ready(t)
	a.create(t, params{"text": "of a", "idempotencyKey": "same"})
	b.create(t, params{"text": "of b", "idempotencyKey": "same"})
	b.create(t, params{"text": "of b too"})
	for want, c := range map[int]*client{1: a, 2: b} {
		if got := call[page](t, c, "task.list", params{}); got.TotalCount != want || len(got.Tasks) != want {
			t.Errorf("listed %+v, want %d", got, want)
		}
	}
}

func TestBadSettingsStopTheStart(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"open to all":    {func(c *config.Config) { c.Listen = "0.0.0.0:0" }, "--insecure"},
		"unknown method": {func(c *config.Config) { _ = c.RateLimits.Set("task.dance=1") }, "--rate-limits: unknown method task.dance"},
		"namespace":      {func(c *config.Config) { c.Namespace = "a:b" }, "namespace"},
		"redis URL":      {func(c *config.Config) { c.RedisURL = "http://x" }, "scheme"},
		"database URL":   {func(c *config.Config) { c.DatabaseURL = "postgres://%zz" }, "database URL"},
		"port taken":     {func(c *config.Config) { c.Listen = testenv.Redis(t).Addr() }, "--listen"},
	} {
		s, err := Start(t.Context(), settings(t, bad.change), Options{Logger: quiet})
		if err == nil {
			t.Errorf("%s: it started", name)
			_ = s.Stop(t.Context())
			continue
		}
		if !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v, want %q in it", name, err, bad.want)
		}
	}
}
