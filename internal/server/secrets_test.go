package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// Passwords in URLs and tokens appear in no log, response, event or metric, whatever fails.
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
	read := func(path, token string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		bearing(token)(r)
		response, err := c.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if err := response.Write(&shown); err != nil {
			t.Fatal(err)
		}
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
				read(path, token)
			}
		}
	}
	all()
	// Everything in Redis, while it can be read, including events, whose actors are names.
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
	read("/metrics", tokens["auditor"])
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		return strings.Contains(log.String(), "refused"), "the log says nothing of Redis: " + log.String()
	})

	if n := strings.Count(shown.String(), "\nclaudebench_redis_up"); n != 7 || !strings.Contains(shown.String(), "\nclaudebench_redis_up 0\n") {
		t.Errorf("/metrics was shown %d times: %s", n, shown.String())
	}
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

	// At startup, with a wrong password, for other servers.
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

// everything returns all content of a Redis as text.
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
