package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// holders returns the projections that a coordinator runs.
func (c *client) holders(t *testing.T) map[string]bool {
	t.Helper()
	_, r := c.readyz(t)
	held := map[string]bool{}
	for _, p := range r.Projections {
		held[p.Name] = p.Holder
	}
	return held
}

// The last coordinator stops as soon as it has answered. The views have everything that was
// acknowledged, and verify finds no lag.
func TestProjectionsCatchUpBeforeTheEnd(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	for range 3 { // in the first round the views have yet to be created
		s, err := Start(t.Context(), cfg, Options{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, s.Addr())
		for range 50 {
			c.create(t, params{"text": "x"})
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		verified(t, cfg)
	}
}

// The coordinator that runs the projections is killed. The other one takes them over within five
// seconds, and its list contains what was acknowledged before.
func TestProjectionsAreTakenOver(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	first := spawn(t, cfg)
	first.ready(t)
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		held := first.holders(t)
		return held["state"] && held["metrics"] && held["tasks"], fmt.Sprint("the first runs ", held)
	})
	second := start(t, cfg)
	second.ready(t)
	for n := range 20 {
		first.create(t, params{"text": fmt.Sprint(n)})
	}
	if held := second.holders(t); held["state"] || held["metrics"] || held["tasks"] {
		t.Errorf("both run projections at once: the second %v", held)
	}

	second.create(t, params{"text": "the last one that the first may fold"})
	first.kill(t)
	killed := time.Now()
	second.create(t, params{"text": "while nobody runs them"})
	testenv.Eventually(t, 15*time.Second, func() (bool, string) {
		held := second.holders(t)
		return held["state"] && held["metrics"] && held["tasks"], fmt.Sprint("the second runs ", held)
	})
	if took := time.Since(killed); took > 5*time.Second {
		t.Errorf("taking over took %v", took)
	}
	caughtUp(t, second)
	if got := call[page](t, second, "task.list", params{"limit": 1}); got.TotalCount != 22 {
		t.Errorf("%d tasks are listed, 22 were created", got.TotalCount)
	}
	verified(t, cfg)
}

// Every coordinator looks for dead instances. An instance fails once, however many find it.
func TestAnInstanceFailsOnceUnderManyMonitors(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) {
		c.InstanceTTL = time.Second
		c.MonitorInterval = 20 * time.Millisecond
	})
	var all []*client
	for range 3 {
		all = append(all, start(t, cfg))
	}
	const instances = 30
	for n := range instances {
		call[object](t, all[n%3], "system.register", params{"id": fmt.Sprint("i", n), "roles": []string{"worker"}})
		all[n%3].create(t, params{"text": "t"})
	}
	rdb, failures := redisOf(t, cfg), keysOf(t, cfg).Topic(string(events.TypeInstanceFailed))
	testenv.Eventually(t, 15*time.Second, func() (bool, string) {
		n := rdb.XLen(t.Context(), failures).Val()
		return n >= instances, fmt.Sprintf("%d of %d failed", n, instances)
	})
	// A later check finds no dead instance.
	if late := call[struct{ Failed, Healthy []string }](t, all[0], "system.check_health", params{}); len(late.Failed)+len(late.Healthy) != 0 {
		t.Errorf("system.check_health still finds %+v", late)
	}
	counts := count(entries(t, cfg))
	for id, n := range counts["instance.failed"] {
		if n != 1 {
			t.Errorf("%s failed %d times", id, n)
		}
	}
	if len(counts["instance.failed"]) != instances {
		t.Errorf("%d of %d failed", len(counts["instance.failed"]), instances)
	}
	agree(t, all[1], cfg)
}
