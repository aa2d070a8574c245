package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// authFile writes an auth file with one token for each role, named after it, and returns the
// secrets by name.
func authFile(t *testing.T, path string) map[string]string {
	t.Helper()
	secrets := map[string]string{}
	var file strings.Builder
	for _, role := range api.Roles() {
		entry, secret, err := auth.NewEntry(api.Token{Name: role, Roles: []string{role}})
		if err != nil {
			t.Fatal(err)
		}
		file.WriteString(entry)
		secrets[role] = secret
	}
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return secrets
}

// bearing adds a token to a request.
func bearing(secret string) func(*http.Request) {
	return func(r *http.Request) {
		if secret != "" {
			r.Header.Set("Authorization", "Bearer "+secret)
		}
		r.Header.Set("Accept", "application/json, text/event-stream") // required by MCP
	}
}

// startServer starts a coordinator that logs to a text.
func startServer(t *testing.T, cfg *config.Config, log *screen) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg, Options{Logger: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// screen collects the log of a coordinator.
type screen = testenv.Screen

// On every transport: a call without a token gets 401, with one the role decides, and the actor is
// the token's name.
func TestTokensOnEveryPath(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	secrets := authFile(t, path)
	stranger, _ := auth.NewSecret()
	c := newClient(t, startServer(t, settings(t, func(cfg *config.Config) { cfg.AuthFile = path }), &screen{}).Addr())

	create := `{"jsonrpc":"2.0","id":1,"method":"task.create","params":{"text":"x"}}`
	tool := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"task_create","arguments":{"text":"x"}}}`
	for _, path := range []string{"/rpc", "/rpc/batch", "/api/task/create", "/mcp", "/metrics", "/events", "/ws", "/nothing", "/", "/healthz/../rpc"} {
		for name, secret := range map[string]string{"no token": "", "another's token": stranger} {
			status, body := c.post(t, path, create, bearing(secret))
			if status != http.StatusUnauthorized || !strings.Contains(body, `"code":-32002,"message":"Unauthorized"`) || strings.Contains(body, stranger) {
				t.Errorf("%s with %s: %d %s", path, name, status, body)
			}
		}
	}
	// A request for no path, with a foreign name and without a token.
	for host, want := range map[string]string{"evil.example": "403", strings.TrimPrefix(c.url, "http://"): "401"} {
		conn, err := dial(t, strings.TrimPrefix(c.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, len("HTTP/1.1 403"))
		if _, err := fmt.Fprintf(conn, "OPTIONS * HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 "+want {
			t.Errorf("OPTIONS * to %s: %s, %v, want %s", host, answer, err, want)
		}
	}
	for _, wire := range []struct {
		path, body, token string
		status            int
		want              string
	}{
		{"/rpc", create, "agent", 200, `"result":{"id":"t-1"`},
		{"/rpc", create, "auditor", 200, `"error":{"code":-32002,"message":"Unauthorized","data":"task.create needs a token with the role agent, operator or admin; this one has auditor"}`},
		{"/rpc", `{"jsonrpc":"2.0","id":1,"method":"system.flush","params":{}}`, "operator", 200, `"code":-32002`},
		{"/rpc", `{"jsonrpc":"2.0","id":1,"method":"system.flush","params":{}}`, "admin", 200, `"code":-32602`},
		{"/rpc", `{"jsonrpc":"2.0","id":1,"method":"task.get","params":{"id":"t-1"}}`, "auditor", 200, `"id":"t-1"`},
		{"/rpc", `{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}`, "auditor", 200, `"openrpc"`},
		{"/api/task/create", `{"text":"x"}`, "agent", 200, `"text":"x"`},
		{"/api/task/create", `{"text":"x"}`, "auditor", 403, `"code":-32002`},
		{"/api/task/delete", `{"id":"t-1"}`, "operator", 200, `"deleted":true`},
		{"/mcp", tool, "agent", 200, `"isError":false`},
		{"/mcp", tool, "auditor", 200, `needs a token with the role`},
	} {
		status, body := c.post(t, wire.path, wire.body, bearing(secrets[wire.token]))
		if wire.want == `"isError":false` && status == wire.status && !strings.Contains(body, `"isError":true`) && strings.Contains(body, "t-") {
			continue // the SDK omits false
		}
		if status != wire.status || !strings.Contains(body, wire.want) {
			t.Errorf("%s %s as %s: %d %s, want %d %s", wire.path, wire.body, wire.token, status, body, wire.status, wire.want)
		}
	}
	if _, body := c.post(t, "/rpc", `{"jsonrpc":"2.0","id":1,"method":"system.get_state"}`, bearing(secrets["auditor"])); !strings.Contains(body, `"actor":"agent"`) ||
		!strings.Contains(body, `"actor":"operator"`) {
		t.Errorf("the events do not say whose token it was: %s", body)
	}

	// Everybody may learn whether the coordinator is alive. Details require a token.
	if status, body := c.get(t, "/healthz"); status != 200 {
		t.Errorf("/healthz: %d %s", status, body)
	}
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		status, body := c.get(t, "/readyz")
		return status == 200 && strings.TrimSpace(body) == `{"ready":true}`, fmt.Sprintf("/readyz for strangers: %d %s", status, body)
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	bearing(secrets["auditor"])(r)
	response, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil || !strings.Contains(text.String(), `"redis":"ok"`) {
		t.Errorf("/readyz with a token: %s %v", &text, err)
	}
}
