package server

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// Coordinators behind pgbouncer in transaction mode work as without it, and continue after an
// outage of it. Callers that hang up and connections that break cause no errors of the coordinator.
func TestBehindAPooler(t *testing.T) {
	t.Parallel()
	database := testenv.Postgres(t)
	pooler := testenv.StartPooler(t, database, "ignore_startup_parameters = search_path, extra_float_digits")
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = pooler.URL })
	log := &told{}
	c, other := startLogged(t, cfg, log), start(t, cfg)
	c.ready(t)
	other.ready(t)
	l := startLoad(t, 4, one(c))
	list := func(of *client, limit int, patience time.Duration) error {
		impatient := *of.http
		impatient.Timeout = patience
		_, err := (&client{url: of.url, http: &impatient}).ask("task.list", params{"limit": limit})
		return err
	}
	ctx, enough := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for n := range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				_ = list(c, 1+n, 3*time.Millisecond) // hangs up in most cases
				if err := list(other, 1+n, 30*time.Second); err != nil && !passing(err) {
					t.Errorf("task.list: %v", err)
				}
			}
		})
	}
	l.progress(100)
	pooler.Kill(t)
	l.progress(50) // commands do not need the pooler
	pooler.Restart(t)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		err := list(c, 1, 30*time.Second)
		return err == nil, fmt.Sprint("task.list: ", err)
	})
	l.progress(50)
	enough()
	callers.Wait()
	c.ready(t)
	l.settled(c, &config.Config{RedisURL: cfg.RedisURL, Namespace: cfg.Namespace, DatabaseURL: database})
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "bug in the coordinator") || strings.Contains(line, "SQLSTATE 42P05") {
			t.Errorf("it logged: %s", line)
		}
	}
}
