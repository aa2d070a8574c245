package server

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// whileStopped stops a Redis, calls do with its data folder, and starts it again.
func whileStopped(t *testing.T, server *devstack.Redis, do func(data string) error) {
	t.Helper()
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := do(filepath.Join(server.Dir(), "appendonlydir")); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Redis starts from an older append-only file. What was acknowledged since then is lost, and
// nothing else. State, metrics and task views notice it and become what the log now says, whether
// or not the log has grown past their checkpoints again.
func TestRedisStartsFromAnOlderFile(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]int{"shorter": 3, "grown past it": 200} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := durable(t)
			cfg := settings(t, func(c *config.Config) { c.RedisURL, c.DatabaseURL = server.URL(), testenv.Postgres(t) })
			both := []*client{start(t, cfg), start(t, cfg)}
			for _, c := range both {
				c.ready(t)
			}
			call[object](t, both[0], "system.register", params{"id": "w", "roles": []string{}})
			kept := make([]string, 20)
			for n := range kept {
				kept[n] = both[n%2].create(t, params{"text": "kept"})
			}
			finish := func() {
				t.Helper()
				task := call[struct{ TaskID string }](t, both[0], "task.claim", params{"workerId": "w"})
				call[object](t, both[1], "task.complete", params{"id": task.TaskID, "workerId": "w"})
			}
			finish()
			caughtUp(t, both[0])

			copied := filepath.Join(t.TempDir(), "copy")
			whileStopped(t, server, func(data string) error { return os.CopyFS(copied, os.DirFS(data)) })
			for range 40 {
				both[0].create(t, params{"text": "lost"})
				finish()
			}
			caughtUp(t, both[0])
			if got := call[page](t, both[0], "task.list", params{"limit": 1}); got.TotalCount != 60 {
				t.Fatalf("%d tasks are listed before", got.TotalCount)
			}
			whileStopped(t, server, func(data string) error {
				if err := os.RemoveAll(data); err != nil {
					return err
				}
				return os.CopyFS(data, os.DirFS(copied))
			})

			for n := range later {
				both[n%2].create(t, params{"text": "later"})
			}
			for _, c := range both {
				caughtUp(t, c)
				completed := call[page](t, c, "task.list", params{"status": "completed"})
				if all := call[page](t, c, "task.list", params{"limit": 1}); all.TotalCount != 20+later || completed.TotalCount != 1 {
					t.Errorf("listed %d tasks, %d completed; want %d and 1", all.TotalCount, completed.TotalCount, 20+later)
				}
			}
			agree(t, both[0], cfg)
			metricsEqualARebuild(t, cfg)
		})
	}
}

// metricsEqualARebuild folds the metrics from the log again and compares them.
func metricsEqualARebuild(t *testing.T, cfg *config.Config) {
	t.Helper()
	rdb, space := redisOf(t, cfg), keysOf(t, cfg)
	names := []string{space.Metrics("global"), space.Metrics("queues"), space.Metrics("scaling")}
	for _, what := range []events.Type{events.TypeTaskCreated, events.TypeTaskClaimed, events.TypeTaskCompleted} {
		names = append(names, space.MetricsEvents(string(what)))
	}
	read := func() map[string]map[string]string {
		all := map[string]map[string]string{}
		for _, key := range names {
			all[key] = rdb.HGetAll(context.Background(), key).Val()
		}
		return all
	}
	before := read()
	s, err := Start(t.Context(), cfg, Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	rebuilt := s.runner.Rebuild(t.Context(), "metrics")
	if err := s.Stop(t.Context()); err != nil || rebuilt != nil {
		t.Fatal(rebuilt, err)
	}
	var after map[string]map[string]string
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		after = read()
		diff := cmp.Diff(before, after)
		return diff == "" && len(after[names[0]]) > 0, "the metrics differ from a rebuild (-before +after):\n" + diff
	})
}
