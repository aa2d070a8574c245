package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/internal/verification"
	"github.com/claudebench/claudebench/migrations"
)

// verifies begins a verification and returns its result, as another coordinator tells it.
func verifies(t *testing.T, c, other *client) api.AuditResult {
	t.Helper()
	if began := call[api.VerifyResult](t, c, "audit.verify", params{}); !began.Started {
		t.Fatalf("not started: %+v", began)
	}
	var got api.AuditStatusResult
	testenv.Eventually(t, time.Minute, func() (bool, string) {
		got = call[api.AuditStatusResult](t, other, "audit.status", params{})
		return got.Running == nil && got.Last != nil, fmt.Sprintf("%+v", got)
	})
	return *got.Last
}

// A verification finds damages in Redis, in the log and in Postgres, while commands continue, and
// every coordinator has its result.
func TestVerifyFindsDamages(t *testing.T) {
	t.Parallel()
	database := testenv.Postgres(t)
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = database })
	c, other := start(t, cfg), start(t, cfg)
	c.ready(t)
	l := startLoad(t, 4, one(c))
	l.progress(300)
	first := verifies(t, c, other)
	if !first.OK || !first.Postgres || first.Rows == 0 || first.Tasks == 0 || first.Events < 300 || first.Base != 1 || first.LastSeq < first.Events || len(first.Damages) != 0 {
		t.Errorf("without damages: %+v", first)
	}
	l.end()
	ids := []string{c.create(t, params{"text": "a"}), c.create(t, params{"text": "b"}), c.create(t, params{"text": "c"})}
	space, client := keysOf(t, cfg), testenv.Client(t)
	if err := client.HSet(t.Context(), space.Task(ids[0]), "text", "\x1b[2Jforged").Err(); err != nil {
		t.Fatal(err)
	}
	c.settled(t)
	events, err := client.XRevRangeN(t.Context(), space.Events(), "+", "-", 2).Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.XDel(t.Context(), space.Events(), events[1].ID).Err(); err != nil {
		t.Fatal(err)
	}
	db := testenv.SQL(t, database, migrations.Schema(cfg.Namespace))
	if _, err := db.Exec(t.Context(), `UPDATE tasks SET priority = 99 WHERE id = $1`, ids[2]); err != nil {
		t.Fatal(err)
	}
	last := verifies(t, other, c)
	finds := func(parts ...string) bool {
		return slices.ContainsFunc(last.Damages, func(d string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(d, part) })
		})
	}
	if last.OK || last.Error != "" || last.DamagesTotal < 3 || !finds("task "+ids[0], `\x1b[2Jforged`) || !finds("missing: found") || !finds("Postgres row "+ids[2], "priority") {
		t.Errorf("%+v", last)
	}
	seq := last.LastSeq - 1
	want := api.AuditGap{From: seq, To: seq, Reason: "missing"}
	if gaps := call[api.AuditStatusResult](t, c, "audit.status", params{}).Gaps; !slices.Contains(gaps, want) {
		t.Errorf("the gaps are %+v, want %+v", gaps, want)
	}
}

// settled waits until the projections have applied the log.
func (c *client) settled(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		_, r := c.readyz(t)
		for _, p := range r.Projections {
			if p.Lag != 0 {
				return false, fmt.Sprintf("%+v", p)
			}
		}
		return true, ""
	})
}

// A coordinator that is killed in the middle of a verification frees it, and one that is stopped
// says so.
func TestVerifyWhoseCoordinatorEnds(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	// A projection that nobody runs holds a verification up for ten seconds.
	if err := testenv.Client(t).Set(t.Context(), keysOf(t, cfg).Lease("state"), "nobody", 0).Err(); err != nil {
		t.Fatal(err)
	}
	c := start(t, cfg)
	c.create(t, params{"text": "a"})
	p := spawn(t, cfg)
	verify := func(at *client, started bool) {
		t.Helper()
		if began := call[api.VerifyResult](t, at, "audit.verify", params{}); began.Started != started {
			t.Fatalf("started: %+v, want %t", began, started)
		}
	}
	status := func(what string, want func(api.AuditStatusResult) bool) {
		t.Helper()
		testenv.Eventually(t, 30*time.Second, func() (bool, string) {
			got := call[api.AuditStatusResult](t, c, "audit.status", params{})
			return want(got), fmt.Sprintf("%s: %+v, %+v", what, got.Running, got.Last)
		})
	}
	verify(p.client, true)
	status("it runs", func(s api.AuditStatusResult) bool {
		return s.Running != nil && s.Running.Doing != "" && s.Running.Events == 1 && s.Running.Total == 1
	})
	p.kill(t)
	verify(c, false) // its lease has not ended
	status("killed", func(s api.AuditStatusResult) bool { return s.Last != nil && s.Last.Error == verification.Lost })
	again, err := Start(t.Context(), cfg, Options{Logger: quiet, BreakerOpen: briefly})
	if err != nil {
		t.Fatal(err)
	}
	verify(newClient(t, again.Addr()), true)
	status("it runs again", func(s api.AuditStatusResult) bool { return s.Running != nil && s.Last == nil })
	began := time.Now()
	if err := again.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the stop took %s", took)
	}
	status("stopped", func(s api.AuditStatusResult) bool {
		return s.Last != nil && !s.Last.OK && strings.HasPrefix(s.Last.Error, "interrupted: its coordinator was stopped")
	})
}

// Without Postgres, the verification ends with an error and proves nothing.
func TestVerifyWithoutPostgres(t *testing.T) {
	t.Parallel()
	postgres := testenv.OwnPostgres(t)
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = postgres.URL() })
	c := start(t, cfg)
	c.ready(t)
	c.create(t, params{"text": "a"})
	if err := postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	if last := verifies(t, c, c); last.OK || last.DamagesTotal != 0 || last.Error != errUnread.Error() {
		t.Errorf("%+v", last)
	}
}
