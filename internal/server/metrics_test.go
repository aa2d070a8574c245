package server

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	promodel "github.com/prometheus/common/model"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// scrape is a response of /metrics.
type scrape struct {
	text     string
	families map[string]*dto.MetricFamily
}

func (c *client) scrape(t testing.TB) scrape {
	t.Helper()
	status, text := c.get(t, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d %s", status, text)
	}
	parser := expfmt.NewTextParser(promodel.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("/metrics: %v", err)
	}
	return scrape{text, families}
}

// ours returns the metric families of this program.
func (s scrape) ours() map[string]*dto.MetricFamily {
	ours := maps.Clone(s.families)
	maps.DeleteFunc(ours, func(name string, _ *dto.MetricFamily) bool { return !strings.HasPrefix(name, "claudebench_") })
	return ours
}

// values returns the values of a counter or gauge, and the counts of a histogram or summary, by
// label values.
func (s scrape) values(name string) map[string]float64 {
	values := map[string]float64{}
	for _, m := range s.families[name].GetMetric() {
		var labels []string
		for _, pair := range m.GetLabel() {
			labels = append(labels, pair.GetValue())
		}
		value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount()+m.GetSummary().GetSampleCount())
		values[strings.Join(labels, " ")] = value
	}
	return values
}

// notZero omits values that are 0.
func notZero(values map[string]float64) map[string]float64 {
	maps.DeleteFunc(values, func(_ string, n float64) bool { return n == 0 })
	return values
}

// busy returns a coordinator in which everything that is counted has happened.
func busy(t *testing.T) (*client, *config.Config) {
	t.Helper()
	cfg := settings(t, func(c *config.Config) {
		c.SealDir, c.SealKey = sealing(t)
		c.DatabaseURL, c.ArchiveDir = testenv.Postgres(t), t.TempDir()
		if err := c.RateLimits.Set("off,task.get=2,system.metrics=1"); err != nil {
			t.Fatal(err)
		}
	})
	c := start(t, cfg)
	c.ready(t)
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}})
	call[object](t, c, "system.register", params{"id": "observer", "roles": []string{}})
	testenv.Eventually(t, 10*time.Second, func() (bool, string) { // it has the lease by then
		s := c.scrape(t)
		return s.families["claudebench_archive_bytes"] != nil, s.text
	})
	for range 4 {
		c.create(t, params{"text": "x"})
	}
	c.create(t, params{"text": "for a GPU", "metadata": params{"roles": []string{"gpu"}}})
	_ = refused(t, c, -32602, "task.create", params{"text": ""})
	var ids []string
	for range 3 {
		ids = append(ids, call[struct{ TaskID string }](t, c, "task.claim", params{"workerId": "w"}).TaskID)
	}
	call[object](t, c, "task.complete", params{"id": ids[0], "workerId": "w", "result": 1})
	call[object](t, c, "task.complete", params{"id": ids[1], "workerId": "w", "error": "no"})
	for range 2 {
		call[object](t, c, "task.get", params{"id": ids[0]})
	}
	for range 3 {
		_ = refused(t, c, -32000, "task.get", params{"id": ids[0]})
	}
	_ = refused(t, c, -32005, "task.complete", params{"id": ids[0]})
	call[object](t, c, "task.assign", params{"taskId": "t-7", "instanceId": "w"})
	call[object](t, c, "queue.pause", params{"roles": []string{"gpu"}})
	caughtUp(t, c)
	return c, cfg
}

// Each value equals what has happened.
func TestMetricsAreTrue(t *testing.T) {
	t.Parallel()
	c, cfg := busy(t)
	_ = c.scrape(t) // not counted anywhere
	s := c.scrape(t)
	seq := float64(redisSeq(t, cfg))
	for name, want := range map[string]map[string]float64{
		"claudebench_commands_total": {
			"system.register ok": 2, "queue.pause ok": 1, "task.create ok": 5, "task.create invalid_params": 1, "task.claim ok": 3, "task.complete ok": 2,
			"task.complete refused": 1, "task.get ok": 2, "task.get rate_limited": 3, "task.assign ok": 1,
		},
		"claudebench_command_duration_seconds": {
			"system.register": 2, "queue.pause": 1, "task.create": 6, "task.claim": 3, "task.complete": 3, "task.get": 5, "task.assign": 1,
		},
		"claudebench_tasks":             {"pending": 2, "in_progress": 1, "completed": 1, "failed": 1},
		"claudebench_tasks_open":        {"": 3},
		"claudebench_queue_tasks":       {"roles": 1, "assigned": 1},
		"claudebench_queue_role_sets":   {"": 1},
		"claudebench_orphan_queues":     {},
		"claudebench_queue_pauses":      {"": 1},
		"claudebench_instances":         {"": 2},
		"claudebench_workers":           {"": 1},
		"claudebench_log_last_seq":      {"": seq},
		"claudebench_log_events":        {"": seq},
		"claudebench_flush_fenced":      {},
		"claudebench_redis_up":          {"": 1},
		"claudebench_postgres_up":       {"": 1},
		"claudebench_task_wait_seconds": {"": 3},
		"claudebench_task_run_seconds":  {"": 2},
		"claudebench_events_total": {
			"instance.registered": 2, "leader.elected": 1, "task.created": 5, "task.claimed": 3, "task.completed": 1, "task.failed": 1,
			"task.assigned": 1, "queue.paused": 1,
		},
		"claudebench_projection_events_applied_total": {"state": seq, "metrics": seq, "tasks": seq, "events": seq},
		"claudebench_projection_lease_held":           {"state": 1, "metrics": 1, "tasks": 1, "events": 1},
		"claudebench_projection_lag_events":           {},
		"claudebench_projection_lag_seconds":          {},
		"claudebench_projection_failing":              {},
		"claudebench_projection_rebuilds_total":       {},
		"claudebench_projection_bad_entries_total":    {},
		"claudebench_instances_failed_recently":       {},
	} {
		if s.families[name] == nil {
			t.Errorf("there is no %s", name)
		}
		if diff := cmp.Diff(want, notZero(s.values(name))); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	if sum := s.families["claudebench_task_wait_seconds"].GetMetric()[0].GetSummary().GetSampleSum(); sum <= 0 || sum > 60 {
		t.Errorf("tasks have waited %v s", sum)
	}
	// A scrape is not a command. The limit of a command shows that.
	call[object](t, c, "system.metrics", params{})
	for name, n := range notZero(s.values("claudebench_circuit_state")) {
		if n != 1 || !strings.HasSuffix(name, " closed") {
			t.Errorf("circuit %s: %v", name, n)
		}
	}
	for _, m := range s.families["claudebench_command_duration_seconds"].GetMetric() {
		h, last := m.GetHistogram(), uint64(0)
		for i, b := range h.GetBucket() {
			// Each bound is exactly a power of two of a nanosecond.
			if power := math.Log2(b.GetUpperBound() * 1e9); b.GetCumulativeCount() < last || !math.IsInf(power, 1) && math.Abs(power-math.Round(power)) > 1e-9 {
				t.Errorf("bucket %d is %v", i, b)
			}
			last = b.GetCumulativeCount()
		}
		if last != h.GetSampleCount() || (last > 0) != (h.GetSampleSum() > 0) || h.GetSampleSum() > 60 || len(h.GetBucket()) < 20 {
			t.Errorf("%v", m)
		}
	}
}

// The metrics follow the conventions of Prometheus, and no label has an unlimited number of values.
func TestMetricsKeepToTheConventions(t *testing.T) {
	t.Parallel()
	c, _ := busy(t)
	before := c.scrape(t)
	problems, err := promlint.New(strings.NewReader(before.text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %+v", err, problems)
	}
	for i := range 10 {
		call[object](t, c, "system.register", params{"id": fmt.Sprint("more-", i), "roles": []string{fmt.Sprint("role-", i)}})
		c.create(t, params{"text": "x", "metadata": params{"roles": []string{fmt.Sprint("role-", i)}}})
	}
	if after := c.scrape(t); len(after.families) != len(before.families) ||
		strings.Count(after.text, "\n") != strings.Count(before.text, "\n") || len(before.text) > 200_000 {
		t.Errorf("%d lines of %d bytes, and then %d lines", strings.Count(before.text, "\n"), len(before.text), strings.Count(after.text, "\n"))
	}
}

func TestMetricsAreRead(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 405} {
		r, err := http.NewRequestWithContext(t.Context(), method, c.url+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if allow := response.Header.Get("Allow"); response.StatusCode != want || (want == 405) != (allow == "GET, HEAD") {
			t.Errorf("%s: %d, Allow %q", method, response.StatusCode, allow)
		}
		if kind := response.Header.Get("Content-Type"); want == 200 && !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
			t.Errorf("%s: content of type %s", method, kind)
		}
	}
	if s := c.scrape(t); s.families["claudebench_postgres_up"] != nil || s.families["claudebench_redis_up"] == nil {
		t.Error("where no Postgres is configured, none is up or down")
	}
}

// Any token gives access, and a request without a token is rejected.
func TestMetricsNeedAToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	secrets := authFile(t, path)
	c := newClient(t, startServer(t, settings(t, func(cfg *config.Config) { cfg.AuthFile = path }), &screen{}).Addr())
	if status, body := c.get(t, "/metrics"); status != http.StatusUnauthorized || strings.Contains(body, "claudebench_") {
		t.Errorf("without a token: %d %s", status, body)
	}
	for role, secret := range secrets {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		bearing(secret)(r)
		response, err := c.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("with the role %s: %d", role, response.StatusCode)
		}
	}
}

// fromRedis are the metrics that only Redis knows.
var fromRedis = []string{
	"claudebench_due_lag_seconds", "claudebench_events_total", "claudebench_flush_fenced", "claudebench_instances", "claudebench_instances_failed_recently",
	"claudebench_log_events", "claudebench_log_last_seq", "claudebench_orphan_queues", "claudebench_projection_lag_events",
	"claudebench_projection_lag_seconds", "claudebench_queue_pauses", "claudebench_queue_role_sets", "claudebench_queue_tasks", "claudebench_schedule_lag_seconds",
	"claudebench_schedules",
	"claudebench_task_cancellations_total", "claudebench_task_losses_total", "claudebench_task_retries_total", "claudebench_task_run_seconds",
	"claudebench_task_timeouts_total",
	"claudebench_task_wait_seconds", "claudebench_tasks", "claudebench_tasks_open", "claudebench_workers",
}

// While Redis is unavailable or hangs, exactly its metrics are missing, and no scrape is delayed
// for long.
func TestMetricsWithoutRedis(t *testing.T) {
	t.Parallel()
	server := durable(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL = server.URL() })
	c := start(t, cfg)
	c.ready(t)
	c.create(t, params{"text": "x"})
	caughtUp(t, c)
	all := slices.Sorted(maps.Keys(c.scrape(t).ours()))
	without := func() {
		t.Helper()
		began := time.Now()
		s := c.scrape(t)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("answered after %s", took)
		}
		rest := append(slices.Collect(maps.Keys(s.ours())), fromRedis...)
		if slices.Sort(rest); !slices.Equal(rest, all) || s.values("claudebench_redis_up")[""] != 0 {
			t.Errorf("without Redis: %s", cmp.Diff(all, rest))
		}
		if s.values("claudebench_commands_total")["task.create ok"] != 1 {
			t.Error("the commands of this process are gone")
		}
	}
	back := func() {
		t.Helper()
		testenv.Eventually(t, 20*time.Second, func() (bool, string) {
			s := c.scrape(t)
			return s.values("claudebench_redis_up")[""] == 1 && s.values("claudebench_tasks_open")[""] == 1, s.text
		})
	}
	back()
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	without()
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	back()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	without()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	back()
}

// While Postgres is unavailable, the lag of the task view is missing. The circuit opens, and a
// metric shows it.
func TestMetricsWithoutPostgres(t *testing.T) {
	t.Parallel()
	server := testenv.OwnPostgres(t)
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = server.URL() })
	s, err := Start(t.Context(), cfg, Options{Logger: quiet, BreakerOpen: time.Hour, Version: "v1.2.3-test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	c := newClient(t, s.Addr())
	c.ready(t)
	call[object](t, c, "task.list", params{})
	if s := c.scrape(t); s.values("claudebench_postgres_up")[""] != 1 || len(s.values("claudebench_projection_lag_events")) != 4 ||
		s.values("claudebench_build_info")["v1.2.3-test"] != 1 {
		t.Errorf("with Postgres: %s", s.text)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		_ = refused(t, c, -32603, "task.list", params{})
	}
	_ = refused(t, c, -32603, "task.list", params{})
	got := c.scrape(t)
	for name, want := range map[string]float64{
		"task.list ok": 1, "task.list unavailable": 5, "task.list circuit_open": 1,
	} {
		if n := got.values("claudebench_commands_total")[name]; n != want {
			t.Errorf("%s: %v, want %v", name, n, want)
		}
	}
	circuits := got.values("claudebench_circuit_state")
	if circuits["task.list open"] != 1 || circuits["task.list closed"] != 0 || circuits["task.get closed"] != 1 {
		t.Errorf("circuits: %v", notZero(circuits))
	}
	lags := got.values("claudebench_projection_lag_events")
	if _, known := lags["tasks"]; known || len(lags) != 2 || got.values("claudebench_postgres_up")[""] != 0 || got.values("claudebench_redis_up")[""] != 1 {
		t.Errorf("without Postgres: %s", got.text)
	}
}

// While a flush fences off all commands, scrapes work and report the fence.
func TestMetricsDuringAFlush(t *testing.T) {
	t.Parallel()
	server := durable(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL = server.URL() })
	c := start(t, cfg)
	c.ready(t)
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}})
	caughtUp(t, c)
	rdb := redisOf(t, cfg)
	fill(t, rdb, cfg.Namespace, 100_000)
	var flushing sync.WaitGroup
	flushing.Go(func() {
		if _, err := c.ask("system.flush", params{"confirm": confirm}); err != nil {
			t.Error(err)
		}
	})
	deleting(t, cfg, rdb)
	s := c.scrape(t)
	if s.values("claudebench_flush_fenced")[""] != 1 || s.values("claudebench_redis_up")[""] != 1 {
		t.Errorf("during a flush: %s", s.text)
	}
	for name, lag := range s.values("claudebench_projection_lag_events") {
		if lag > 0 {
			t.Errorf("%s is behind by %v in a log that is empty", name, lag)
		}
	}
	flushing.Wait()
	caughtUp(t, c)
	if s := c.scrape(t); len(notZero(s.values("claudebench_flush_fenced"))) > 0 || s.values("claudebench_log_events")[""] != 1 ||
		s.values("claudebench_events_total")["system.flushed"] != 1 {
		t.Errorf("after a flush: %s", s.text)
	}
}
