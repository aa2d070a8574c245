package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// socket is a connection to /ws.
type socket struct {
	t    *testing.T
	ctx  context.Context
	conn *websocket.Conn
	kept []wsMessage // received while something else was waited for
}

// wsMessage is a response or a notification.
type wsMessage struct {
	ID     json.RawMessage
	Result json.RawMessage
	Error  *refusal
	Method string
	Params struct {
		Subscription, Position, Reason, After string
		From, To                              int64
		Event                                 struct {
			ID, Type string
			Seq      int64
		}
	}
}

func (c *client) ws(t *testing.T, o *websocket.DialOptions) *socket {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(c.url, "http")+"/ws", o) //nolint:bodyclose // the connection is the body
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow(); cancel() })
	conn.SetReadLimit(2 << 20)
	return &socket{t: t, ctx: ctx, conn: conn}
}

func (s *socket) send(format string, args ...any) {
	s.t.Helper()
	if err := s.conn.Write(s.ctx, websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *socket) read() wsMessage {
	s.t.Helper()
	_, text, err := s.conn.Read(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	var m wsMessage
	if err := json.Unmarshal(text, &m); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
	return m
}

// until returns the first message that fits.
func (s *socket) until(fits func(wsMessage) bool) wsMessage {
	s.t.Helper()
	for i, m := range s.kept {
		if fits(m) {
			s.kept = append(s.kept[:i:i], s.kept[i+1:]...)
			return m
		}
	}
	for {
		m := s.read()
		if fits(m) {
			return m
		}
		s.kept = append(s.kept, m)
	}
}

// call makes one call and returns its response.
func (s *socket) call(id int, method, params string) wsMessage {
	s.t.Helper()
	s.send(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, id, method, params)
	return s.until(func(m wsMessage) bool { return string(m.ID) == fmt.Sprint(id) })
}

// notified returns the next notification of a subscription.
func (s *socket) notified(subscription string) wsMessage {
	s.t.Helper()
	return s.until(func(m wsMessage) bool { return m.Params.Subscription == subscription })
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	s := c.ws(t, nil)
	if m := s.call(1, "events.subscribe", `{"types":"task.*"}`); string(m.Result) != `{"subscription":"s1","position":"0"}` {
		t.Fatalf("%s %v", m.Result, m.Error)
	}
	if m := s.call(2, "task.create", `{"text":"x"}`); !strings.Contains(string(m.Result), `"t-1"`) {
		t.Fatalf("%s %v", m.Result, m.Error)
	}
	if m := s.notified("s1"); m.Method != "event" || m.Params.Event.Type != "task.created" || m.Params.Event.Seq != 1 {
		t.Errorf("%+v", m)
	}
	// A second subscription that starts at the beginning: its response comes first.
	s.send(`{"jsonrpc":"2.0","id":3,"method":"events.subscribe","params":{"task":"t-1","after":"0"}}`)
	if m := s.read(); string(m.ID) != "3" || m.Error != nil {
		t.Errorf("%+v", m)
	}
	if m := s.notified("s2"); m.Params.Event.Seq != 1 {
		t.Errorf("%+v", m)
	}
	if m := s.call(4, "events.unsubscribe", `{"subscription":"s1"}`); string(m.Result) != `{"unsubscribed":true}` {
		t.Errorf("%s %v", m.Result, m.Error)
	}
	if m := s.call(5, "events.unsubscribe", `{"subscription":"s1"}`); m.Error == nil || m.Error.Code != api.CodeNotFound {
		t.Errorf("%+v", m)
	}
	// A batch, and calls while events flow.
	s.send(`[{"jsonrpc":"2.0","id":6,"method":"task.update","params":{"id":"t-1","updates":{"text":"y"}}},{"jsonrpc":"2.0","method":"task.create","params":{"text":"z"}}]`)
	if _, text, err := s.conn.Read(s.ctx); err != nil || !strings.HasPrefix(string(text), "[{") && !strings.Contains(string(text), `"s2"`) {
		t.Errorf("%s %v", text, err)
	}
	for _, bad := range []struct {
		params string
		code   int
	}{{`{"types":"*x"}`, -32602}, {`{"after":"x"}`, -32602}, {`{"from":1}`, -32602}, {`{"types":7}`, -32602}, {`["*"]`, -32602}} {
		s := c.ws(t, nil)
		if m := s.call(7, "events.subscribe", bad.params); m.Error == nil || m.Error.Code != bad.code {
			t.Errorf("%s: %+v", bad.params, m)
		}
	}
	other := c.ws(t, nil)
	other.send(`{`)
	if m := other.read(); m.Error == nil || m.Error.Code != -32700 {
		t.Errorf("%+v", m)
	}
	for n := range 33 {
		if m := other.call(n, "events.subscribe", `{"types":"hook.*"}`); (m.Error == nil) != (n < 32) {
			t.Errorf("subscription %d: %+v", n, m)
		}
	}
	if status, body := c.get(t, "/ws"); status != http.StatusUpgradeRequired || !strings.Contains(body, "-32600") {
		t.Errorf("GET: %d %s", status, body)
	}
}

// A claim that waits gets the next task, and ends when its peer hangs up.
func TestWaitingClaimOverWebSocket(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}})
	waiting := func(want float64) {
		t.Helper()
		testenv.Eventually(t, 10*time.Second, func() (bool, string) {
			n := c.scrape(t).values("claudebench_claims_waiting")[""]
			return n == want, fmt.Sprintf("%v claims wait", n)
		})
	}
	s := c.ws(t, nil)
	s.send(`{"jsonrpc":"2.0","id":1,"method":"task.claim","params":{"workerId":"w","waitMs":30000}}`)
	waiting(1)
	if m := s.call(2, "task.create", `{"text":"x"}`); m.Error != nil {
		t.Fatal(m.Error)
	}
	if m := s.until(func(m wsMessage) bool { return string(m.ID) == "1" }); !strings.Contains(string(m.Result), "taskId") {
		t.Errorf("%s %v", m.Result, m.Error)
	}
	for n := range 64 {
		s.send(`{"jsonrpc":"2.0","id":%d,"method":"task.claim","params":{"workerId":"w","waitMs":30000}}`, 100+n)
	}
	waiting(64)
	if m := s.call(3, "system.health", `{}`); m.Error == nil || m.Error.Code != api.CodeRateLimited {
		t.Errorf("call 65: %+v", m)
	}
	_ = s.conn.CloseNow()
	waiting(0)
}

// The token is checked as on other paths. A page may send it as a subprotocol.
func TestTokensOverWebSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	secrets := authFile(t, path)
	server := startServer(t, settings(t, func(c *config.Config) { c.AuthFile = path }), &screen{})
	c := newClient(t, server.Addr())
	for name, o := range map[string]*websocket.DialOptions{
		"none":          {},
		"wrong":         {Subprotocols: []string{"claudebench", "bearer.cb_x"}},
		"foreign":       {HTTPHeader: http.Header{"Origin": {"http://evil.example"}}, Subprotocols: []string{"claudebench", "bearer." + secrets["admin"]}},
		"wrong, header": {HTTPHeader: http.Header{"Authorization": {"Bearer x"}}, Subprotocols: []string{"bearer." + secrets["admin"]}},
	} {
		conn, response, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(c.url, "http")+"/ws", o)
		if err == nil {
			_ = conn.CloseNow()
			t.Errorf("%s: let in", name)
			continue
		}
		if want := map[bool]int{true: 403, false: 401}[name == "foreign"]; response.StatusCode != want {
			t.Errorf("%s: %d", name, response.StatusCode)
		}
		if response.Body != nil {
			_ = response.Body.Close()
		}
	}
	header := c.ws(t, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + secrets["agent"]}}})
	page := c.ws(t, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {c.url}}, Subprotocols: []string{"claudebench", "bearer." + secrets["operator"]}})
	if got := page.conn.Subprotocol(); got != "claudebench" {
		t.Errorf("the subprotocol is %q", got)
	}
	if m := header.call(1, "system.flush", `{"confirm":"FLUSH_ALL_DATA"}`); m.Error == nil || m.Error.Code != api.CodeUnauthorized {
		t.Errorf("an agent flushes: %+v", m)
	}
	for _, s := range []*socket{header, page} {
		if m := s.call(2, "events.subscribe", `{}`); m.Error != nil {
			t.Errorf("%+v", m)
		}
	}
	entry, _, err := auth.NewEntry(api.Token{Name: "other", Roles: []string{"admin"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*socket{header, page} {
		if m := s.notified("s1"); m.Method != "end" || m.Params.Reason != "token" || m.Params.After == "" {
			t.Errorf("%+v", m)
		}
		if _, _, err := s.conn.Read(s.ctx); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			t.Errorf("then %v", err)
		}
	}
}

// A stop ends subscriptions at once, and answers calls that are in flight.
func TestStopWithWebSockets(t *testing.T) {
	t.Parallel()
	server, err := Start(t.Context(), settings(t, nil), Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, server.Addr())
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}})
	s := c.ws(t, nil)
	if m := s.call(1, "events.subscribe", `{}`); m.Error != nil {
		t.Fatal(m.Error)
	}
	s.send(`{"jsonrpc":"2.0","id":2,"method":"task.claim","params":{"workerId":"w","waitMs":30000}}`)
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		return c.scrape(t).values("claudebench_claims_waiting")[""] == 1, "the claim does not wait"
	})
	stopped := make(chan error, 1)
	go func() { stopped <- server.Stop(context.Background()) }()
	if m := s.notified("s1"); m.Method != "end" || m.Params.Reason != "stopping" {
		t.Errorf("%+v", m)
	}
	if m := s.until(func(m wsMessage) bool { return string(m.ID) == "2" }); m.Error != nil {
		t.Errorf("the claim: %v", m.Error)
	}
	if _, _, err := s.conn.Read(s.ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("then %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// Params may be absent, as for every method: the subscription has all new events.
func TestSubscribeWithoutParams(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	s := c.ws(t, nil)
	for id, absent := range []string{``, `,"params":null`, `,"params":[]`} {
		s.send(`{"jsonrpc":"2.0","id":%d,"method":"events.subscribe"%s}`, id, absent)
		m := s.until(func(m wsMessage) bool { return string(m.ID) == fmt.Sprint(id) })
		var result struct{ Subscription string }
		if err := json.Unmarshal(m.Result, &result); err != nil || m.Error != nil {
			t.Fatalf("%s: %+v, %v", absent, m.Error, err)
		}
		c.create(t, params{"text": "x"})
		if got := s.notified(result.Subscription); got.Params.Event.Type != "task.created" {
			t.Errorf("%s: %+v", absent, got)
		}
	}
}
