package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/testenv"
)

// What becomes of tries is counted in /metrics and in system.metrics alike, and the depths and lags are
// those of the tasks and schedules that wait.
func TestMetricsOfTries(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	c := start(t, cfg)
	register := func(id string) {
		call[object](t, c, "system.register", params{"id": id, "roles": []string{"worker"}, "metadata": params{"maxTasks": 0}})
	}
	claim := func(worker, id string) {
		t.Helper()
		if got := call[struct{ TaskID string }](t, c, "task.claim", params{"workerId": worker}).TaskID; got != id {
			t.Fatalf("claimed %q, want %s", got, id)
		}
	}
	register("w")
	register("gone")
	fails := c.create(t, params{"text": "fails", "retry": params{"maxAttempts": 2, "backoffMs": 3_600_000}})
	claim("w", fails)
	call[object](t, c, "task.complete", params{"id": fails, "error": "no"}) // scheduled
	hangs := c.create(t, params{"text": "hangs", "timeoutMs": 1000})
	claim("w", hangs)
	lost := c.create(t, params{"text": "is lost"})
	claim("gone", lost)
	call[object](t, c, "system.unregister", params{"instanceId": "gone"})
	call[object](t, c, "task.cancel", params{"id": c.create(t, params{"text": "called off", "delayMs": 3_600_000})})
	later := c.create(t, params{"text": "later", "delayMs": 3_600_000})
	c.create(t, params{"text": "after it", "dependsOn": []string{later}})
	call[object](t, c, "limit.set", params{"key": "none", "concurrent": 0})
	for range 2 {
		c.create(t, params{"text": "in turn", "limitKey": "none"})
	}
	// A schedule whose tick came seven seconds ago, while no coordinator could fire it.
	call[object](t, c, "schedule.put", params{"id": "s", "cron": "@every 1h", "task": params{"text": "now and then"}})
	const late = 7 * time.Second
	tick := time.Now().Add(-late).UnixMilli()
	rdb, keys := redisOf(t, cfg), keysOf(t, cfg)
	rdb.HSet(t.Context(), keys.Schedule("s"), "next", tick)
	rdb.ZAdd(t.Context(), keys.Ticks(), redis.Z{Score: float64(tick), Member: "s"})

	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		s := c.scrape(t)
		timeouts, lag := s.values("claudebench_task_timeouts_total")[""], s.values("claudebench_schedule_lag_seconds")[""]
		return timeouts == 1 && lag > 0, fmt.Sprintf("%v timeouts, and a lag of %v s", timeouts, lag)
	})
	caughtUp(t, c)
	s := c.scrape(t)
	for name, want := range map[string]map[string]float64{
		"claudebench_task_retries_total":       {"": 1},
		"claudebench_task_timeouts_total":      {"": 1},
		"claudebench_task_losses_total":        {"": 1},
		"claudebench_task_cancellations_total": {"": 1},
		"claudebench_queue_tasks":              {"scheduled": 2, "blocked": 3, "pending": 2},
		"claudebench_tasks":                    {"scheduled": 2, "blocked": 3, "pending": 2, "failed": 1, "cancelled": 1},
		"claudebench_due_lag_seconds":          {},
	} {
		if diff := cmp.Diff(want, notZero(s.values(name))); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	if lag := s.values("claudebench_schedule_lag_seconds")[""]; lag < late.Seconds() || lag > 30 {
		t.Errorf("a tick of %s ago was fired %v s late", late, lag)
	}
	got := call[api.MetricsResult](t, c, "system.metrics", params{"detailed": true})
	type counts struct{ retried, timedOut, lost, cancelled, scheduled, blocked int64 }
	if g, q := got.Global, got.Queue; (counts{g.TasksRetried, g.TasksTimedOut, g.TasksLost, g.TasksCancelled, q.Scheduled, q.Blocked}) != (counts{1, 1, 1, 1, 2, 3}) {
		t.Errorf("system.metrics has %+v, %+v", *g, *q)
	}
	for typ, want := range map[string]int64{"task.retried": 1, "task.timed_out": 1, "task.cancelled": 1, "schedule.fired": 1} {
		if got.Global.Events[typ] != want {
			t.Errorf("%d events %s", got.Global.Events[typ], typ)
		}
	}
	if got.TasksOpen != 7 {
		t.Errorf("%d tasks are open", got.TasksOpen)
	}
}
