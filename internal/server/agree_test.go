package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/projections"
)

// agree waits until all projections have applied the whole log. It then checks that the log is
// valid, and that Redis, the global state and Postgres equal what the log says. It also compares
// the counts with those of the API, which computes them in another way than the audit.
func agree(t *testing.T, c *client, cfg *config.Config) {
	t.Helper()
	caughtUp(t, c)
	if cfg.DatabaseURL != "" {
		counts := count(entries(t, cfg))
		want := map[string]int{
			"":          len(counts[events.TypeTaskCreated]) - len(counts[events.TypeTaskDeleted]),
			"completed": len(counts[events.TypeTaskCompleted]),
			"failed":    len(counts[events.TypeTaskFailed]),
		}
		got := map[string]int{}
		for status := range want {
			filter := params{"limit": 1}
			if status != "" {
				filter["status"] = status
			}
			got[status] = call[page](t, c, "task.list", filter).TotalCount
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("tasks by status (-log +task.list):\n%s", diff)
		}
	}
	verified(t, cfg)
}

// verified runs the audit, which checks that all stored state equals the log.
func verified(t *testing.T, cfg *config.Config) {
	t.Helper()
	var pool *projections.Pool
	if cfg.DatabaseURL != "" {
		var err error
		if pool, err = projections.OpenPool(t.Context(), cfg.DatabaseURL, cfg.Namespace); err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
	}
	report, err := audit.Verify(t.Context(), audit.Options{Redis: redisOf(t, cfg), Keys: keysOf(t, cfg), Postgres: pool})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() || !report.State || report.Postgres != (pool != nil) || report.Events == 0 {
		var text strings.Builder
		_, _ = report.WriteTo(&text) // writing to memory cannot fail
		t.Errorf("the audit says:\n%s", text.String())
	}
}

// caughtUp waits until all projections have applied the whole log.
func caughtUp(t *testing.T, c *client) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		_, r := c.readyz(t)
		behind := slices.ContainsFunc(r.Projections, func(p projections.Status) bool { return p.Lag != 0 || p.Error != "" })
		return len(r.Projections) > 0 && !behind, fmt.Sprintf("/readyz: %+v", r)
	})
}
