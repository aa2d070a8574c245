package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// authFile makes an auth file with a token for each role, which is its name too, and gives the secrets by name.
func authFile(t *testing.T, path string) map[string]string {
	t.Helper()
	secrets := map[string]string{}
	var file strings.Builder
	for _, role := range commands.Roles() {
		entry, secret, err := auth.NewEntry(commands.Token{Name: role, Roles: []string{role}})
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

// bearing makes a request carry a token.
func bearing(secret string) func(*http.Request) {
	return func(r *http.Request) {
		if secret != "" {
			r.Header.Set("Authorization", "Bearer "+secret)
		}
		r.Header.Set("Accept", "application/json, text/event-stream") // MCP wants it
	}
}

// startServer starts a coordinator that logs into a text.
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

// screen keeps what a coordinator logs.
type screen = testenv.Screen

// On every transport: 401 without a token, the role decides with one, and the actor is the token's name.
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
			continue // the SDK leaves false out
		}
		if status != wire.status || !strings.Contains(body, wire.want) {
			t.Errorf("%s %s as %s: %d %s, want %d %s", wire.path, wire.body, wire.token, status, body, wire.status, wire.want)
		}
	}
	if _, body := c.post(t, "/rpc", `{"jsonrpc":"2.0","id":1,"method":"system.get_state"}`, bearing(secrets["auditor"])); !strings.Contains(body, `"actor":"agent"`) ||
		!strings.Contains(body, `"actor":"operator"`) {
		t.Errorf("the events do not say whose token it was: %s", body)
	}

	// Whether it lives is for everybody; how it is for those with a token.
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

// selfSigned makes a certificate for loopback that is its own authority.
func selfSigned(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "claudebench test"}, DNSNames: []string{"localhost", "fleet.example.com", "*.wild.example.com"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool.AppendCertsFromPEM(certificate)
	for file, text := range map[string][]byte{certFile: certificate, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pool
}

// trusting is a client that trusts a pool of authorities.
func trusting(t *testing.T, addr string, pool *x509.CertPool) *client {
	t.Helper()
	c := newClient(t, addr)
	c.url = "https://" + addr
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	c.http.Transport = transport
	return c
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := selfSigned(t, cert, key)
	var log screen
	s := startServer(t, settings(t, func(cfg *config.Config) { cfg.TLSCert, cfg.TLSKey = cert, key }), &log)
	if want := "https://" + s.Addr(); s.URL() != want {
		t.Errorf("it is at %s, want %s", s.URL(), want)
	}
	c := trusting(t, s.Addr(), pool)
	if id := c.create(t, params{"text": "x"}); id != "t-1" {
		t.Errorf("created %s", id)
	}
	// Who speaks no TLS, or one that is too old, is not served.
	plain := newClient(t, s.Addr())
	if status, body := plain.get(t, "/healthz"); status != http.StatusBadRequest {
		t.Errorf("over plain HTTP: %d %s", status, body)
	}
	old := &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} //nolint:gosec // that it is refused
	dialer := &tls.Dialer{Config: old}
	if conn, err := dialer.DialContext(t.Context(), "tcp", s.Addr()); err == nil {
		t.Error("TLS 1.1 is taken")
		_ = conn.Close()
	}
	// Its own origin is https now.
	for origin, want := range map[string]int{"https://" + s.Addr(): 200, "http://" + s.Addr(): 403, "https://example.com": 403} {
		status, body := c.post(t, "/rpc", `{"jsonrpc":"2.0","id":1,"method":"task.get","params":{"id":"t-1"}}`,
			func(r *http.Request) { r.Header.Set("Origin", origin) })
		if status != want {
			t.Errorf("Origin %s: %d %s", origin, status, body)
		}
	}

	// It is whom the certificate says, beside the addresses it listens on.
	for host, want := range map[string]int{"fleet.example.com": 200, "fleet.example.com:8443": 200, "evil.example.com": 403, "x.wild.example.com": 403} {
		status, body := c.post(t, "/rpc", `{"jsonrpc":"2.0","id":1,"method":"task.get","params":{"id":"t-1"}}`,
			func(r *http.Request) { r.Host = host })
		if status != want {
			t.Errorf("Host %s: %d %s", host, status, body)
		}
	}

	// A new certificate is served to those who come after it was read; one that is wrong changes nothing.
	renewed := selfSigned(t, cert, key)
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := trusting(t, s.Addr(), pool).ask("task.get", params{"id": "t-1"}); err == nil {
		t.Error("the old certificate is still served")
	}
	if _, err := trusting(t, s.Addr(), renewed).ask("task.get", params{"id": "t-1"}); err != nil {
		t.Errorf("the new certificate: %v", err)
	}
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(t.Context()); err == nil || !strings.Contains(log.String(), "the one read before is still served") {
		t.Errorf("a bad key: %v, %s", err, &log)
	}
	if _, err := trusting(t, s.Addr(), renewed).ask("task.get", params{"id": "t-1"}); err != nil {
		t.Errorf("after a bad key: %v", err)
	}
}

// Passwords in URLs and tokens are in no log, answer, event or metric, whatever goes wrong.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	ownRedis, ownPostgres := testenv.OwnRedis(t, redisOptions()), testenv.OwnPostgres(t)
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	tokens := authFile(t, path)
	cfg := settings(t, func(cfg *config.Config) {
		cfg.RedisURL, cfg.DatabaseURL, cfg.AuthFile = ownRedis.URL(), ownPostgres.URL(), path
	})
	secrets := []string{passwordOf(t, cfg.RedisURL), passwordOf(t, cfg.DatabaseURL)}
	for _, secret := range tokens {
		secrets = append(secrets, secret)
	}
	var log screen
	var shown strings.Builder
	s := startServer(t, cfg, &log)
	c := newClient(t, s.Addr())
	show := func(path, body, token string) {
		t.Helper()
		status, answer := c.post(t, path, body, bearing(token))
		fmt.Fprintln(&shown, path, status, answer)
	}
	all := func() {
		t.Helper()
		for _, token := range []string{"", "Bearer", tokens["agent"] + "x", tokens["agent"], tokens["auditor"], tokens["admin"]} {
			for _, call := range []string{
				"task.create\",\"params\":{\"text\":\"x\"}", "task.list\",\"params\":{}", "system.health\",\"params\":{}", "system.metrics\",\"params\":{\"detailed\":true}",
				"system.get_state\",\"params\":{}", "system.register\",\"params\":{\"id\":\"i\",\"roles\":[]}", "task.nothing\",\"params\":{}", "task.create\",\"params\":{}",
			} {
				show("/rpc", `{"jsonrpc":"2.0","id":1,"method":"`+call+`}`, token)
			}
			show("/api/task/create", `{"text":"x"}`, token)
			show("/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"task_list","arguments":{}}}`, token)
			for _, path := range []string{"/readyz", "/metrics", "/healthz", "/nothing"} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				bearing(token)(r)
				response, err := c.http.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				if err := response.Write(&shown); err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
			}
		}
	}
	all()
	// All that is in Redis, while it can be read, the events too: actors are names.
	shown.WriteString(everything(t, testenv.ClientOf(t, ownRedis)))
	if !strings.Contains(shown.String(), `"actor":"agent"`) {
		t.Error("there are no events to look at")
	}
	if err := os.WriteFile(path, []byte("- {name: "+tokens["agent"]+", token: "+tokens["agent"]+", roles: [agent]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(t.Context()); err == nil {
		t.Error("a token in the auth file is taken for a hash")
	}
	if err := ownPostgres.Kill(); err != nil {
		t.Fatal(err)
	}
	all()
	if err := ownRedis.Kill(); err != nil {
		t.Fatal(err)
	}
	show("/rpc", `{"jsonrpc":"2.0","id":1,"method":"task.create","params":{"text":"x"}}`, tokens["agent"])
	show("/readyz", ``, tokens["agent"])
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		return strings.Contains(log.String(), "refused"), "the log says nothing of Redis: " + log.String()
	})

	if !strings.Contains(shown.String(), "Redis unavailable") {
		t.Errorf("nothing went wrong: %s", shown.String())
	}
	for _, secret := range secrets {
		if len(secret) < 8 {
			t.Fatalf("%q is no secret to look for", secret)
		}
		for what, text := range map[string]string{"log": log.String(), "answers": shown.String()} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("a secret is in the %s: …%s…", what, text[max(0, i-200):min(len(text), i+len(secret)+50)])
			}
		}
	}

	// At the start, with the wrong password, on other servers.
	for _, url := range []string{strings.Replace(testenv.Redis(t).URL(), passwordOf(t, testenv.Redis(t).URL()), "wrong-password", 1), "redis://:wrong-password@127.0.0.1:1/0"} {
		var log screen
		wrong := settings(t, func(cfg *config.Config) { cfg.RedisURL = url })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := Start(ctx, wrong, Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
		cancel()
		if err == nil || strings.Contains(err.Error()+log.String(), "wrong-password") {
			t.Errorf("%v, %s", err, &log)
		}
	}
}

// everything is all that is in a Redis, as text.
func everything(t *testing.T, client *redis.Client) string {
	t.Helper()
	var out strings.Builder
	ctx := t.Context()
	for keys := client.Scan(ctx, 0, "*", 1000).Iterator(); keys.Next(ctx); {
		key := keys.Val()
		kind, err := client.Type(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		var value any
		switch kind {
		case "hash":
			value, err = client.HGetAll(ctx, key).Result()
		case "stream":
			value, err = client.XRange(ctx, key, "-", "+").Result()
		case "zset":
			value, err = client.ZRange(ctx, key, 0, -1).Result()
		case "string":
			value, err = client.Get(ctx, key).Result()
		case "none": // it has expired
		default:
			t.Errorf("%s is a %s, which is not looked into", key, kind)
		}
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, key, value)
	}
	return out.String()
}

func redisOptions() devstack.RedisOptions { return devstack.RedisOptions{AppendOnly: true} }

func passwordOf(t *testing.T, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal("the URL cannot be read")
	}
	password, _ := u.User.Password()
	return password
}
