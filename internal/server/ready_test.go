package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/fleet"
	"github.com/claudebench/claudebench/internal/testenv"
)

// unready waits until /readyz reports this problem of Redis. It checks that Postgres is reported as
// ok.
func (c *client) unready(t testing.TB, redis string) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		status, r := c.readyz(t)
		return status == http.StatusServiceUnavailable && !r.Ready && r.Redis == redis && r.Postgres == "ok" && len(r.Reasons) == 1,
			fmt.Sprintf("/readyz: %d %+v", status, r)
	})
}

// /readyz shows the pauses of queues to members of the fleet. They make no coordinator unready.
func TestReadyShowsPauses(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	call[object](t, c, "queue.pause", params{"reason": "repair"})
	call[object](t, c, "queue.pause", params{"roles": []string{"gpu"}})
	status, r := c.readyz(t)
	if status != http.StatusOK || !r.Ready || r.Degraded || len(r.Pauses) != 2 {
		t.Errorf("/readyz: %d %+v", status, r)
	}
	if _, text := c.get(t, "/readyz"); !strings.Contains(text, `{"roles":["gpu"],"reason":null,"by":"anonymous","at":"2`) || !strings.Contains(text, `{"roles":null,"reason":"repair",`) {
		t.Errorf("/readyz: %s", text)
	}
	call[object](t, c, "queue.resume", params{"roles": []string{"gpu"}})
	call[object](t, c, "queue.resume", params{})
	if _, text := c.get(t, "/readyz"); strings.Contains(text, "pauses") {
		t.Errorf("/readyz: %s", text)
	}
}

// A Redis that replies but accepts no commands makes the coordinator unready. /readyz, commands and
// metrics report the cause.
func TestReadyIsWhatTakesCommands(t *testing.T) {
	t.Parallel()
	server := durable(t)
	admin := testenv.ClientOf(t, server)
	cfg := settings(t, func(c *config.Config) { c.RedisURL, c.DatabaseURL = server.URL(), testenv.Postgres(t) })
	c := start(t, cfg)
	c.ready(t)
	do := func(args ...any) func() error {
		return func() error { return admin.Do(t.Context(), args...).Err() }
	}
	for _, state := range []struct {
		name, cause string
		begin, end  func() error
		unknown     bool // the outcome of a command
	}{
		{"a replica", "read-only replica", do("REPLICAOF", "127.0.0.1", "1"), do("REPLICAOF", "NO", "ONE"), false},
		{"no memory left", "maxmemory", do("CONFIG", "SET", "maxmemory", "1"), do("CONFIG", "SET", "maxmemory", "0"), false},
		{"no scripts allowed", "ACL", do("ACL", "SETUSER", "default", "-eval", "-evalsha"), do("ACL", "SETUSER", "default", "+@all"), false},
		{"no events allowed", "ACL", do("ACL", "SETUSER", "default", "-xadd"), do("ACL", "SETUSER", "default", "+@all"), true},
		{"too few replicas", "min-replicas-to-write", do("CONFIG", "SET", "min-replicas-to-write", "1"), do("CONFIG", "SET", "min-replicas-to-write", "0"), false},
		{"a disk that fails", "disk", func() error { return breakSaving(t, admin, server.Dir()) }, func() error { return mendSaving(t, admin, server.Dir()) }, false},
	} {
		if err := state.begin(); err != nil {
			t.Fatalf("%s: %v", state.name, err)
		}
		var redis string
		testenv.Eventually(t, 10*time.Second, func() (bool, string) {
			status, r := c.readyz(t)
			redis = r.Redis
			return status == http.StatusServiceUnavailable && strings.Contains(r.Redis, state.cause), fmt.Sprintf("%s: /readyz: %d %+v", state.name, status, r)
		})
		c.unready(t, redis)
		want := "Redis " + redis
		answer := want
		if state.unknown {
			answer = api.OutcomeUnknown + strings.TrimPrefix(want, api.RedisUnavailable)
		}
		if err := refused(t, c, api.CodeInternal, "task.create", params{"text": "t"}); err.text() != answer {
			t.Errorf("%s: task.create: %v, want %q", state.name, err, answer)
		}
		// Longer than patience, for busy machines.
		testenv.Eventually(t, 10*time.Second, func() (bool, string) {
			got := health(t, c)
			return got.Status == "unhealthy" && !got.Services.Redis && len(got.Reasons) == 1 && got.Reasons[0] == want,
				fmt.Sprintf("%s: system.health: %+v, want %q", state.name, got, want)
		})
		if s := c.scrape(t); s.values("claudebench_redis_up")[""] != 0 {
			t.Errorf("%s: /metrics says that Redis is up", state.name)
		}
		if err := state.end(); err != nil {
			t.Fatalf("%s: %v", state.name, err)
		}
		c.ready(t)
		c.create(t, params{"text": "taken again"})
	}
	if n := admin.Exists(t.Context(), "cb:{"+cfg.Namespace+"}:service:probe").Val(); n != 0 {
		t.Error("the probe wrote something")
	}
}

// breakSaving makes snapshots fail. Redis then rejects writes.
func breakSaving(t *testing.T, admin *redis.Client, dir string) error {
	t.Helper()
	if err := admin.ConfigSet(t.Context(), "save", "3600 1000000").Err(); err != nil {
		return err
	}
	// A rename to a folder that is not empty fails.
	if err := os.MkdirAll(filepath.Join(dir, "dump.rdb", "in the way"), 0o700); err != nil {
		return err
	}
	if err := admin.BgSave(t.Context()).Err(); err != nil {
		return err
	}
	saved(t, admin, "err")
	return nil
}

func mendSaving(t *testing.T, admin *redis.Client, dir string) error {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, "dump.rdb")); err != nil {
		return err
	}
	if err := admin.BgSave(t.Context()).Err(); err != nil {
		return err
	}
	saved(t, admin, "ok")
	return nil
}

// saved waits for the end of a snapshot.
func saved(t *testing.T, admin *redis.Client, status string) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		info := admin.Info(t.Context(), "persistence").Val()
		return strings.Contains(info, "rdb_last_bgsave_status:"+status) && strings.Contains(info, "rdb_bgsave_in_progress:0"), info
	})
}

// A coordinator that starts while Postgres is unavailable accepts commands, and reports what does
// not work.
func TestReadyWithoutPostgresFromTheStart(t *testing.T) {
	t.Parallel()
	server := testenv.OwnPostgres(t)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	c := start(t, settings(t, func(c *config.Config) { c.DatabaseURL = server.URL() }))
	status, r := c.readyz(t)
	if status != http.StatusOK || !r.Ready || !r.Degraded || len(r.Reasons) != 1 || !strings.Contains(r.Reasons[0], "Postgres") {
		t.Errorf("/readyz: %d %+v", status, r)
	}
	if got := health(t, c); got.Status != "degraded" || got.Services.Postgres || len(got.Reasons) != 1 {
		t.Errorf("system.health: %+v", got)
	}
	id := c.create(t, params{"text": "before Postgres"})
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.ready(t)
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		text, err := c.ask("task.list", params{})
		return strings.Contains(string(text), `"id":"`+id+`"`), fmt.Sprintf("%s, %v", text, err)
	})
}

// A caller without a token learns whether commands are accepted, and no store is asked for it: this
// server has none.
func TestReadyForStrangersAsksNoStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	authFile(t, path)
	tokens, err := auth.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{tokens: tokens, fleet: new(fleet.Member), draining: make(chan struct{})}
	for want, writable := range map[int]error{http.StatusOK: nil, http.StatusServiceUnavailable: errors.New("away")} {
		w := httptest.NewRecorder()
		s.ready(func(context.Context) error { return writable })(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		if text := fmt.Sprintf(`{"ready":%t}`, writable == nil); w.Code != want || strings.TrimSpace(w.Body.String()) != text {
			t.Errorf("%d %s, want %d %s", w.Code, w.Body, want, text)
		}
	}
}
