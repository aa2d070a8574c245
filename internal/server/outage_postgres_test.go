package server

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// Without Postgres, commands continue and only task.list is unavailable. The view catches up when
// Postgres is back.
func TestPostgresIsKilledAndRestarted(t *testing.T) {
	t.Parallel()
	server := testenv.OwnPostgres(t)
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = server.URL() })
	c := start(t, cfg)
	c.ready(t)
	l := startLoad(t, 4, one(c))
	l.progress(100)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		_, err := inTime(t, c, "task.list", params{"limit": 1})
		var refused *refusal
		return errors.As(err, &refused) && refused.text() == api.PostgresUnavailable, fmt.Sprint("task.list: ", err)
	})
	l.progress(200)
	if status, r := c.readyz(t); status != 200 || r.Postgres != "unavailable" || !r.Degraded {
		t.Errorf("/readyz without Postgres: %d %+v", status, r)
	}
	if n := l.troubles.Load(); n != 0 {
		t.Errorf("%d commands noticed that Postgres is gone", n)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.progress(100)
	l.settled(c, cfg)
	if status, r := c.readyz(t); status != 200 || r.Postgres != "ok" || r.Degraded {
		t.Errorf("/readyz with Postgres again: %d %+v", status, r)
	}
}

// A coordinator is killed while it works, and another takes its place. Agents repeat their calls,
// and nothing is lost.
func TestACoordinatorIsKilledAndRestarted(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	var current atomic.Pointer[process]
	current.Store(spawn(t, cfg))
	current.Load().ready(t)
	l := startLoad(t, 6, func() *client { return current.Load().client })
	for range 2 {
		l.progress(60)
		current.Load().kill(t)
		l.trouble(3)
		current.Store(spawn(t, cfg))
		l.progress(60)
	}
	current.Load().ready(t)
	l.settled(current.Load().client, cfg)
}
