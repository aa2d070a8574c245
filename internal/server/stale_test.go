package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// A view that cannot follow the log still responds, and reports its lag. After ten seconds the
// coordinator is degraded.
func TestAStaleViewIsTold(t *testing.T) {
	t.Parallel()
	database := testenv.Postgres(t)
	admin := testenv.SQL(t, database+"&pool_max_conns=1", "")
	c := start(t, settings(t, func(c *config.Config) { c.DatabaseURL = database }))
	c.ready(t)
	type listed struct {
		TotalCount int
		Behind     *struct{ Events, MS int64 }
	}
	list := func() listed { return call[listed](t, c, "task.list", params{}) }
	c.create(t, params{"text": "before"})
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		got := list()
		return got.TotalCount == 1 && got.Behind == nil, fmt.Sprintf("%+v", got)
	})
	name := admin.Config().ConnConfig.Database
	readOnly := func(is string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %q SET default_transaction_read_only = %s", name, is)); err != nil {
			t.Fatal(err)
		}
		// Existing connections keep the settings that they began with.
		if _, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()`, name); err != nil {
			t.Fatal(err)
		}
	}
	readOnly("on")
	c.create(t, params{"text": "after"})
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		text, err := c.ask("task.list", params{})
		return err == nil && strings.Contains(string(text), `"totalCount":1,"hasMore":false,"behind":{"events":1,"ms":`), fmt.Sprintf("%s, %v", text, err)
	})
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		got := health(t, c)
		_, r := c.readyz(t)
		return got.Status == "degraded" && got.Services.Postgres && len(got.Reasons) == 1 && strings.Contains(got.Reasons[0], "behind the log") &&
			r.Ready && r.Degraded && len(r.Reasons) == 2 && strings.Contains(r.Reasons[1], "the event index is "), fmt.Sprintf("system.health: %+v, /readyz: %+v", got, r)
	})
	if lag := c.scrape(t).values("claudebench_projection_lag_seconds"); len(lag) == 0 {
		t.Error("/metrics has no lag")
	}
	if _, err := admin.Exec(t.Context(), "SET default_transaction_read_only = off"); err != nil {
		t.Fatal(err)
	}
	readOnly("off")
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		text, err := c.ask("task.list", params{})
		return err == nil && strings.Contains(string(text), `"totalCount":2,"hasMore":false}`), fmt.Sprintf("%s, %v", text, err)
	})
	c.ready(t)
}
