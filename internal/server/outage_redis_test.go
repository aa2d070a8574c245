package server

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// durable starts a private Redis that syncs every write before it confirms it.
func durable(t *testing.T) *devstack.Redis {
	t.Helper()
	return testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
}

// one returns a function that always returns the same coordinator.
func one(c *client) func() *client { return func() *client { return c } }

func TestRedisIsKilledAndRestarted(t *testing.T) {
	t.Parallel()
	server := durable(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL, c.DatabaseURL = server.URL(), testenv.Postgres(t) })
	c := start(t, cfg)
	c.ready(t)
	l := startLoad(t, 6, one(c))
	for range 2 {
		l.progress(100)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		l.trouble(6)
		c.unready(t, "unavailable")
		if status, _ := c.get(t, "/healthz"); status != 200 {
			t.Errorf("/healthz without Redis: %d", status)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.progress(100)
	}
	c.ready(t)
	l.settled(c, cfg)
}

// Callers do not notice a short restart, because what certainly has not run is retried.
func TestScriptsAreFlushed(t *testing.T) {
	t.Parallel()
	server := durable(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL, c.DatabaseURL = server.URL(), testenv.Postgres(t) })
	c := start(t, cfg)
	c.ready(t)
	l := startLoad(t, 6, one(c))
	rdb := testenv.ClientOf(t, server)
	for range 20 {
		l.progress(20)
		if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	l.progress(20)
	if n := l.troubles.Load(); n != 0 {
		t.Errorf("%d callers noticed", n)
	}
	l.settled(c, cfg)
}

// While Redis hangs, every method returns a typed error within its timeout. Afterwards all of them
// work.
func TestRedisIsPaused(t *testing.T) {
	t.Parallel()
	server := durable(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL, c.DatabaseURL = server.URL(), testenv.Postgres(t) })
	c := start(t, cfg)
	c.ready(t)
	call[object](t, c, "system.register", params{"id": "i", "roles": []string{}})
	c.create(t, params{"text": "one"})
	l := startLoad(t, 4, one(c))
	l.progress(50)
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	reads := []string{"task.get", "task.list", "session.get", "session.list", "task.history", "instance.history", "event.list", "event.get", "system.metrics", "system.get_state", "system.discover"}
	var asked sync.WaitGroup
	for method, p := range map[string]params{
		"system.register":     {"id": "j", "roles": []string{}},
		"system.heartbeat":    {"instanceId": "i"},
		"system.unregister":   {"instanceId": "j"},
		"system.check_health": {},
		"system.metrics":      {"detailed": true},
		"system.get_state":    {},
		"system.discover":     {},
		"task.create":         {"text": "two"},
		"task.create_many":    {"tasks": []params{{"text": "three"}}},
		"task.complete_many":  {"items": []params{{"id": "t-3"}}},
		"task.update":         {"id": "t-3", "updates": params{"text": "changed"}},
		"task.assign":         {"taskId": "t-3", "instanceId": "i"},
		"task.unassign":       {"taskId": "t-3"},
		"task.claim":          {"workerId": "i"},
		"task.complete":       {"id": "t-3"},
		"task.progress":       {"id": "t-3", "workerId": "i", "attempt": 1},
		"task.cancel":         {"id": "t-3"},
		"task.retry":          {"id": "t-3"},
		"task.cancel_many":    {"filter": params{"status": "pending"}},
		"task.retry_many":     {"filter": params{"status": "failed"}},
		"task.delete_many":    {"filter": params{"status": "failed"}},
		"limit.set":           {"key": "l", "concurrent": 1},
		"limit.list":          {},
		"limit.delete":        {"key": "l"},
		"task.list":           {},
		"task.get":            {"id": "t-3"},
		"task.delete":         {"id": "t-3"},
		"session.list":        {},
		"session.get":         {"id": "s"},
		"event.get":           {"seq": 1},
		"task.history":        {"id": "t-3"},
		"instance.history":    {"id": "i"},
		"event.list":          {},
		"queue.pause":         {"roles": []string{"x"}},
		"queue.resume":        {"roles": []string{"x"}},
	} {
		asked.Go(func() {
			_, err := inTime(t, c, method, p)
			var refused *refusal
			switch {
			case !errors.As(err, &refused) || !passing(err):
				t.Errorf("%s while Redis hangs: %v", method, err)
			case refused.text() == api.PostgresUnavailable:
				t.Errorf("%s blames Postgres: %v", method, err)
			case refused.text() == api.OutcomeUnknown && slices.Contains(reads, method):
				t.Errorf("%s, which changes nothing, says %v", method, err)
			}
		})
	}
	asked.Wait()
	c.unready(t, "unavailable")
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	l.progress(50)
	c.ready(t)
	l.end()
	agree(t, c, cfg) // commands with Outcome unknown may have run, so only the log is checked
	for id, n := range count(entries(t, cfg))["task.completed"] {
		if n != 1 {
			t.Errorf("%s was completed %d times", id, n)
		}
	}
}

// The coordinator waits for a Redis that has not started yet. It starts without Postgres and uses
// it when it comes up.
func TestBothStoresComeLate(t *testing.T) {
	t.Parallel()
	redisServer, postgresServer := durable(t), testenv.OwnPostgres(t)
	if err := errors.Join(redisServer.Kill(), postgresServer.Kill()); err != nil {
		t.Fatal(err)
	}
	cfg := settings(t, func(c *config.Config) { c.RedisURL, c.DatabaseURL = redisServer.URL(), postgresServer.URL() })
	restarted := make(chan error, 1)
	waits := &told{want: "waiting for Redis", then: func() { restarted <- redisServer.Restart(t.Context()) }}
	c := startLogged(t, cfg, waits)
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	c.create(t, params{"text": "before Postgres"})
	if status, r := c.readyz(t); status != 200 || !r.Degraded || r.Redis != "ok" || r.Postgres != "unavailable" {
		t.Errorf("/readyz: %d %+v", status, r)
	}
	if err := refused(t, c, api.CodeInternal, "task.list", params{}); err.text() != api.PostgresUnavailable {
		t.Errorf("task.list: %v", err)
	}
	if err := postgresServer.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.ready(t)
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		got := call[page](t, c, "task.list", params{})
		return got.TotalCount == 1, fmt.Sprintf("%+v", got)
	})
	agree(t, c, cfg)
}
