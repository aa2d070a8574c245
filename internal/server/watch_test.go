package server

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

func health(t *testing.T, c *client) api.HealthResult {
	t.Helper()
	began := time.Now()
	got := call[api.HealthResult](t, c, "system.health", params{})
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("system.health answered after %v", took)
	}
	return got
}

// Health is reported while a store hangs or is unavailable and callers wait for it, and when it is
// back.
func TestHealthOfTheStores(t *testing.T) {
	t.Parallel()
	redisServer, postgresServer := durable(t), testenv.OwnPostgres(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL, c.DatabaseURL = redisServer.URL(), postgresServer.URL() })
	c := start(t, cfg)
	c.ready(t)
	l := startLoad(t, 4, one(c))
	is := func(redis, postgres bool) {
		t.Helper()
		testenv.Eventually(t, 15*time.Second, func() (bool, string) {
			got := health(t, c)
			if (got.Status == "unhealthy") == got.Services.Redis || !got.Services.Postgres && got.Status == "healthy" {
				t.Fatalf("system.health answers %+v", got)
			}
			text, _ := json.Marshal(got)
			return got.Services.Redis == redis && got.Services.Postgres == postgres, string(text)
		})
	}
	l.progress(20)
	is(true, true)
	for _, outage := range []struct {
		begin, end      func() error
		redis, postgres bool
	}{
		{redisServer.Pause, redisServer.Resume, false, true},
		{redisServer.Kill, func() error { return redisServer.Restart(t.Context()) }, false, true},
		{postgresServer.Kill, func() error { return postgresServer.Restart(t.Context()) }, true, false},
	} {
		if err := outage.begin(); err != nil {
			t.Fatal(err)
		}
		is(outage.redis, outage.postgres)
		if got := health(t, c); got.Services.Redis != outage.redis || got.Services.Postgres != outage.postgres {
			t.Errorf("in the outage system.health answers %+v", got)
		}
		if err := outage.end(); err != nil {
			t.Fatal(err)
		}
		is(true, true)
		l.progress(20)
	}
	l.end()
}

// checkLastHour compares the last hour with the log, whose events are younger.
func checkLastHour(t *testing.T, hour []api.MinuteMetrics, log []events.Envelope) {
	t.Helper()
	want := map[string][3]int64{}
	for _, e := range log {
		minute := e.Time().UTC().Truncate(time.Minute).Format(events.TimeLayout)
		counts := want[minute]
		switch e.Type {
		case events.TypeTaskCreated:
			counts[0]++
		case events.TypeTaskCompleted:
			counts[1]++
		case events.TypeTaskFailed:
			counts[2]++
		default:
			continue
		}
		want[minute] = counts
	}
	if len(hour) != 60 {
		t.Fatalf("the last hour has %d minutes", len(hour))
	}
	got := map[string][3]int64{}
	for i, m := range hour {
		if at, err := time.Parse(events.TimeLayout, m.Time); err != nil || i > 0 && at.Format(events.TimeLayout) <= hour[i-1].Time {
			t.Errorf("minute %d begins at %s after %s: %v", i, m.Time, hour[max(i-1, 0)].Time, err)
		}
		if counts := [3]int64{m.Created, m.Completed, m.Failed}; counts != [3]int64{} {
			got[m.Time] = counts
		}
		if finished := m.Completed+m.Failed > 0; finished != (m.Run != nil) {
			t.Errorf("%s: %d tasks were finished, and the times are %v", m.Time, m.Completed+m.Failed, m.Run)
		}
		for _, times := range []*api.Times{m.Wait, m.Run} {
			if times != nil && (times.P50 < 1 || times.P95 < times.P50 || times.P95 > 60_000) {
				t.Errorf("%s: times of %+v", m.Time, *times)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the last hour: -log +metrics\n%s", diff)
	}
}

// After a known run, the metrics equal what the log says and what was called.
func TestMetricsOfARun(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.RateLimits.Methods = map[string]int{"task.get": 2} })
	c := start(t, cfg)
	began := time.Now()
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}, "metadata": params{"maxTasks": 1, "sessionId": "s"}})
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}, "metadata": params{"maxTasks": 1, "sessionId": "s"}})
	call[object](t, c, "system.register", params{"id": "v", "roles": []string{}})
	for range 7 {
		c.create(t, params{"text": "x"})
	}
	for i := range 5 {
		id := call[struct{ TaskID string }](t, c, "task.claim", params{"workerId": "v"}).TaskID
		switch {
		case i < 3:
			call[object](t, c, "task.complete", params{"id": id})
		case i == 3:
			call[object](t, c, "task.complete", params{"id": id, "error": "bad"})
		}
	}
	_ = refused(t, c, api.CodeInvalidParams, "task.create", params{})
	_ = refused(t, c, api.CodeNotFound, "task.get", params{"id": "t-0"})
	_ = refused(t, c, api.CodeNotFound, "task.get", params{"id": "t-0"})
	_ = refused(t, c, api.CodeRateLimited, "task.get", params{"id": "t-0"})
	call[object](t, c, "system.unregister", params{"instanceId": "v"})
	took := float64(time.Since(began)) / float64(time.Millisecond)
	caughtUp(t, c)

	got := call[api.MetricsResult](t, c, "system.metrics", params{"detailed": true})
	counts := map[string]int64{}
	var waits, runs []int64
	log := entries(t, cfg)
	for _, e := range log {
		counts[string(e.Type)]++
		var p struct{ Waited, Duration *int64 }
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			t.Fatal(err)
		}
		if p.Waited != nil {
			waits = append(waits, *p.Waited)
		}
		if p.Duration != nil {
			runs = append(runs, *p.Duration)
		}
	}
	if diff := cmp.Diff(counts, got.Global.Events); diff != "" {
		t.Errorf("events: -log +metrics\n%s", diff)
	}
	mean := func(list []int64) float64 {
		var sum int64
		for _, n := range list {
			sum += n
		}
		return float64(int64(float64(sum)/float64(len(list))*1000+0.5)) / 1000
	}
	for what, pair := range map[string][2]any{
		"eventsProcessed": {got.EventsProcessed, int64(len(log))},
		"lastSeq":         {got.Current.LastSeq, int64(len(log))},
		"eventsLag":       {got.Current.EventsLag, int64(0)},
		"lastEventId":     {got.Global.LastEventID, log[len(log)-1].ID.String()},
		"tasksCompleted":  {got.TasksCompleted, int64(3)},
		"tasksFailed":     {got.TasksFailed, int64(1)},
		"tasksOpen":       {got.TasksOpen, int64(3)},
		"tasksCreated":    {got.Global.TasksCreated, int64(7)},
		"tasksClaimed":    {got.Global.TasksClaimed, int64(5)},
		"claims":          {got.Queue.Claims, int64(5)},
		"averageWaitMs":   {got.Queue.AverageWaitMs, mean(waits)},
		"maxWaitMs":       {got.Queue.MaxWaitMs, slices.Max(waits)},
		"averageRunMs":    {got.Global.AverageRunMs, mean(runs)},
		"maxRunMs":        {got.Global.MaxRunMs, slices.Max(runs)},
		"requeued":        {got.Queue.Requeued, int64(1)},
		"instances":       {got.Instances, int64(1)},
		"registered":      {got.Scaling.InstancesRegistered, int64(3)},
		"resumed":         {got.Scaling.InstancesResumed, int64(1)},
		"unregistered":    {got.Scaling.InstancesUnregistered, int64(1)},
		"registered now":  {got.Scaling.Instances, int64(1)},
		"workers":         {got.Scaling.Workers, int64(1)},
		"elections":       {got.Scaling.LeaderElections, int64(1)},
		"reassigned":      {got.Scaling.TasksReassigned, int64(1)},
		"leader":          {got.Current.Leader, "w"},
		"totalCalls":      {got.TotalCalls, uint64(3 + 7 + 5 + 4 + 1 + 3 + 1)},
		"ok":              {got.Counters.ByOutcome["ok"], uint64(20)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
	if got.Throughput <= 0 || got.Throughput > 4 {
		t.Errorf("four tasks were finished, and the throughput is %v a minute", got.Throughput)
	}
	checkLastHour(t, call[api.MetricsResult](t, c, "system.metrics", params{"lastHour": true}).LastHour, log)
	if got.AverageLatency <= 0 || got.AverageLatency*float64(got.TotalCalls) > took {
		t.Errorf("%d calls of %v ms each within %v ms", got.TotalCalls, got.AverageLatency, took)
	}
	want := map[string][4]uint64{
		"system.register": {3, 3}, "system.unregister": {1, 1}, "task.create": {8, 7, 1}, "task.claim": {5, 5},
		"task.complete": {4, 4}, "task.get": {3, 0, 3, 1},
	}
	handlers := maps.Collect(func(yield func(string, [4]uint64) bool) {
		for name, h := range got.Handlers {
			if h.TotalCalls > 0 && !yield(name, [4]uint64{h.TotalCalls, h.SuccessCount, h.ErrorCount, h.RateLimitHits}) {
				return
			}
		}
	})
	if diff := cmp.Diff(want, handlers); diff != "" {
		t.Errorf("calls, successes, errors, limited: -want +got\n%s", diff)
	}

	// Another coordinator reports the same numbers of the log, and its own calls.
	beside := call[api.MetricsResult](t, start(t, cfg), "system.metrics", params{"detailed": true})
	if diff := cmp.Diff(got.Global, beside.Global); diff != "" || beside.TotalCalls != 0 {
		t.Errorf("another coordinator with %d calls: -first +second\n%s", beside.TotalCalls, diff)
	}
}
