package system_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/commands/system"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/lua"
)

func readMetricsOf(f *fleettest.Fleet) api.MetricsResult {
	f.T.Helper()
	return fleettest.Decoded[api.MetricsResult](f.T, f.OK("system.metrics", `{"detailed":true}`))
}

// The metrics of a system without events and without a projection.
func TestMetricsOfNothing(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		got := fleettest.Decoded[map[string]float64](t, f.OK("system.metrics", `{}`))
		if got["memoryUsage"] < 1 || got["memoryUsage"] > 100_000 {
			t.Errorf("the process has %v MB", got["memoryUsage"])
		}
		delete(got, "memoryUsage")
		delete(got, "uptime")
		want := map[string]float64{
			"eventsProcessed": 0, "tasksCompleted": 0, "tasksFailed": 0, "tasksOpen": 0, "instances": 0, "throughput": 0,
			"averageLatency": 0, "totalCalls": 0,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if f.Seq() != 0 {
			t.Error("system.metrics emitted an event")
		}
	})
}

// The queues and the live instances are counted as they are now, with or without a projection.
func TestMetricsOfTheQueues(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{MCP: true, Tasks: &fleettest.View{}}, func(t *testing.T, f *fleettest.Fleet) {
		for range 3 {
			f.Create("x", "")
		}
		f.Create("x", `,"metadata":{"roles":["b","a"]}`)
		f.Create("x", `,"metadata":{"roles":["a","b"]}`)
		f.Create("x", `,"metadata":{"roles":["z"]}`)
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		f.Register("v", `[]`, "")
		f.Claim("w")
		f.Claim("v")
		got := readMetricsOf(f)
		if got.TasksOpen != 6 || got.Instances != 2 || got.Queue.Pending != 1 || got.Queue.Orphaned != 0 {
			t.Errorf("open %d, alive %d, pending %d, orphaned %d", got.TasksOpen, got.Instances, got.Queue.Pending, got.Queue.Orphaned)
		}
		waiting := map[string]int64{}
		for _, q := range got.Queue.Roles {
			waiting[fmt.Sprint(q.Roles)] = q.Tasks
		}
		if diff := cmp.Diff(map[string]int64{"[a b]": 2, "[z]": 1}, waiting); diff != "" {
			t.Errorf("role queues: -want +got\n%s", diff)
		}
		if c := got.Current; c.Leader != "w" || c.Term != 1 || c.Workers != 1 || c.LastSeq != f.Seq() || c.EventsLag != f.Seq() {
			t.Errorf("now: %+v, and the log ends with %d", c, f.Seq())
		}
		if got.Scaling.OpenTasksPerWorker != 6 {
			t.Errorf("%v open tasks for each worker", got.Scaling.OpenTasksPerWorker)
		}
		want := api.HealthCheck{HealthResult: api.HealthResult{
			Status: "healthy", Services: api.HealthServices{Redis: true, Postgres: true, MCP: true},
		}}
		if diff := cmp.Diff(want, *got.SystemHealthCheck); diff != "" {
			t.Errorf("health (-want +got):\n%s", diff)
		}
		// The tasks of a dead worker count until they are requeued. Leadership ends with the lease.
		for f.Client.ZCard(t.Context(), f.Keys.Alive()).Val() > 0 {
			if _, err := f.Scripts.Run(t.Context(), lua.Named("reassign_failed_tasks"), lua.EventContext("x", "", ""), "", 0, 0, 0, 0, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		got = readMetricsOf(f)
		if got.Queue.Orphaned != 2 || got.Queue.OrphanQueues != 2 || got.Instances != 0 || got.Current.Leader != "" || got.Current.Workers != 0 {
			t.Errorf("after the death: %+v, %+v", *got.Queue, *got.Current)
		}
		if h := got.SystemHealthCheck; h.Status != "degraded" || h.FailedInstances != 2 {
			t.Errorf("health after the death: %+v", *h)
		}
	})
}

// Each call counts for its method. Calls over MCP are also counted apart.
func TestMetricsOfHandlers(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.get": 2}}, func(t *testing.T, f *fleettest.Fleet) {
		began := time.Now().Truncate(time.Millisecond)
		for range 5 {
			_, _ = f.Call(t.Context(), api.Request{Method: "task.get", Params: []byte(`{"id":"t-1"}`), MCP: true})
		}
		f.Create("x", "")
		_, _ = f.Call(t.Context(), api.Request{Method: "task.create", Params: []byte(`{"text":"y"}`), MCP: true})
		took := system.Milliseconds(time.Since(began))
		got := readMetricsOf(f)
		if len(got.Handlers) != len(f.Methods()) || got.CircuitBreaker.Closed != len(f.Methods()) {
			t.Errorf("%d of %d methods, %d circuits closed", len(got.Handlers), len(f.Methods()), got.CircuitBreaker.Closed)
		}
		for name, want := range map[string]api.HandlerMetrics{
			"task.get":    {TotalCalls: 5, ErrorCount: 5, RateLimitHits: 3, CircuitState: "CLOSED"},
			"task.create": {TotalCalls: 2, SuccessCount: 2, CircuitState: "CLOSED"},
			"task.delete": {CircuitState: "CLOSED"},
		} {
			h := got.Handlers[name]
			if h.TotalCalls > 0 {
				last, err := time.Parse(events.TimeLayout, h.LastCalled)
				if err != nil || last.Before(began) || last.After(time.Now()) {
					t.Errorf("%s was called last at %s, %v", name, h.LastCalled, err)
				}
				if h.AvgResponseTime <= 0 || h.AvgResponseTime > took || h.P99 < h.AvgResponseTime || h.P99 > took*1.126 {
					t.Errorf("%s took %v ms, p99 %v, of %v in all", name, h.AvgResponseTime, h.P99, took)
				}
			}
			h.LastCalled, h.AvgResponseTime, h.P99 = "", 0, 0
			if diff := cmp.Diff(want, h); diff != "" {
				t.Errorf("%s: -want +got\n%s", name, diff)
			}
		}
		if want := (api.MCPCalls{TotalCalls: 6, SuccessCount: 1, ErrorCount: 5}); *got.MCPCalls != want {
			t.Errorf("by MCP: %+v", *got.MCPCalls)
		}
		if got.TotalCalls != 7 || got.AverageLatency <= 0 || got.AverageLatency > took {
			t.Errorf("%d calls took %v ms on average", got.TotalCalls, got.AverageLatency)
		}
		want := map[string]uint64{"ok": 2, "rate_limited": 3, "refused": 2}
		for name, n := range got.Counters.ByOutcome {
			if n != want[name] {
				t.Errorf("%d calls ended as %s, want %d", n, name, want[name])
			}
		}
	})
}

// Without Redis there are no metrics, and the caller gets an error.
func TestMetricsWithoutRedis(t *testing.T) {
	t.Parallel()
	c := fleettest.NewChecker(t)
	var asked sync.WaitGroup
	for _, method := range []string{"system.metrics", "system.get_state", "system.discover"} {
		asked.Go(func() {
			began := time.Now()
			_, err := c.Call(t.Context(), api.Request{Method: method})
			var known *api.Error
			if !errors.As(err, &known) || known.Code != api.CodeInternal || known.Data != api.RedisUnavailable {
				t.Errorf("%s answers %v", method, err)
			}
			if took := time.Since(began); took > c.Method(method).Timeout {
				t.Errorf("%s took %v", method, took)
			}
		})
	}
	asked.Wait()
}

// Tasks that wait for a time, and those that wait for other tasks or for their turn, are counted apart.
func TestMetricsOfTheWaiting(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		later := f.Create("later", `,"delayMs":3600000`)
		f.Create("after it", fmt.Sprintf(`,"dependsOn":[%q]`, later))
		f.OK("limit.set", `{"key":"none","concurrent":0}`)
		f.Create("in turn", `,"limitKey":"none"`)
		f.Create("x", "")
		if got := readMetricsOf(f); got.Queue.Scheduled != 1 || got.Queue.Blocked != 2 || got.Queue.Pending != 1 || got.TasksOpen != 4 {
			t.Errorf("%d open: %+v", got.TasksOpen, *got.Queue)
		}
	})
}
