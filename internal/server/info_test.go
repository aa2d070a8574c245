package server

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// infos counts the calls of a command in a Redis since its start.
func infos(t *testing.T, admin *redis.Client, command string) string {
	t.Helper()
	text, err := admin.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		if rest, ok := strings.CutPrefix(line, "cmdstat_"+command+":calls="); ok {
			n, _, _ := strings.Cut(rest, ",")
			return n
		}
	}
	return "0"
}

// system.info describes both stores, and many callers cost them no more than one.
func TestInfoDescribesTheStores(t *testing.T) {
	t.Parallel()
	server := durable(t)
	admin := testenv.ClientOf(t, server)
	postgres := testenv.OwnPostgres(t)
	cfg := settings(t, func(c *config.Config) {
		c.RedisURL, c.DatabaseURL, c.TraceURL = server.URL(), postgres.URL(), "https://jaeger.example/trace/{trace}"
	})
	c := start(t, cfg)
	c.ready(t)
	got := call[api.InfoResult](t, c, "system.info", params{})
	r, p := got.Stores.Redis, got.Stores.Postgres
	if r.Status != "ok" || r.Role != "master" || r.Mode != "standalone" || r.Policy != "noeviction" || r.Persistence.AOF != "on" || r.Persistence.Fsync == "unknown" ||
		r.MemoryUsed == nil || *r.MemoryUsed < 1<<10 || r.MaxMemory == nil || len(r.Version) < 3 {
		t.Errorf("Redis is described as %+v", r)
	}
	if p == nil || p.Status != "ok" || p.Version == "unknown" || p.Fsync != "off" || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "rebuild tasks") {
		t.Errorf("Postgres is described as %+v", p)
	}
	if got.Namespace != cfg.Namespace || got.TraceURL != cfg.TraceURL || got.Coordinators != 1 || got.Authentication {
		t.Errorf("answered %+v", got)
	}
	before := infos(t, admin, "info")
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() { call[api.InfoResult](t, c, "system.info", params{}) })
	}
	callers.Wait()
	// Its own question counts, and that of one refresh, with a question for each of four sections.
	var first, last int
	_, _ = fmt.Sscan(before, &first)
	_, _ = fmt.Sscan(infos(t, admin, "info"), &last)
	if last-first > 5 {
		t.Errorf("20 calls asked Redis %d times", last-first)
	}
	// A second coordinator is counted, and no longer when it has ended.
	other := spawn(t, cfg)
	counts := func(want int64) {
		t.Helper()
		testenv.Eventually(t, 10*time.Second, func() (bool, string) {
			n := call[api.InfoResult](t, c, "system.info", params{}).Coordinators
			return n == want, fmt.Sprintf("%d coordinators, want %d", n, want)
		})
	}
	counts(2)
	other.kill(t)
	counts(1)
	if err := postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 15*time.Second, func() (bool, string) {
		began := time.Now()
		got := call[api.InfoResult](t, c, "system.info", params{}).Stores.Postgres
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %s without Postgres", took)
		}
		return strings.HasPrefix(got.Status, "unavailable") && got.Version == "unknown", fmt.Sprintf("%+v", got)
	})
}

// With the ACL of docs/operations.md, CONFIG GET is forbidden: fsync is unknown, and Redis is asked
// for it only once. Without INFO, everything is unknown.
func TestInfoThatRedisDoesNotTell(t *testing.T) {
	t.Parallel()
	server := durable(t)
	admin := testenv.ClientOf(t, server)
	cfg := settings(t, nil)
	cfg.RedisURL = makeUsers(t, server, cfg.Namespace)["cb-coordinator"]
	c := start(t, cfg)
	got := call[api.InfoResult](t, c, "system.info", params{}).Stores.Redis
	if got.Status != "ok" || got.Version == "unknown" || got.Persistence.AOF != "on" || got.Persistence.Fsync != "unknown" || len(got.Warnings) != 1 {
		t.Errorf("without CONFIG: %+v", got)
	}
	denied, err := admin.ACLLog(t.Context(), 10).Result()
	if err != nil || len(denied) != 1 || denied[0].Count != 1 {
		t.Errorf("ACL LOG has %+v, %v", denied, err)
	}
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "cb-coordinator", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		got := call[api.InfoResult](t, c, "system.info", params{}).Stores.Redis
		return got.Status == "ok" && got.Version == "unknown" && got.Policy == "unknown" && got.MemoryUsed == nil && len(got.Warnings) == 1, fmt.Sprintf("%+v", got)
	})
}

// A setting that loses data is a warning with what to do.
func TestInfoWarnsOfWhatLosesData(t *testing.T) {
	t.Parallel()
	server := durable(t)
	admin := testenv.ClientOf(t, server)
	cfg := settings(t, func(c *config.Config) { c.RedisURL, c.AllowVolatile = server.URL(), true })
	for name, value := range map[string]string{"appendonly": "no", "maxmemory-policy": "allkeys-lru", "maxmemory": "100mb"} {
		if err := admin.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	got := call[api.InfoResult](t, start(t, cfg), "system.info", params{}).Stores.Redis
	warns := func(part string) bool {
		return slices.ContainsFunc(got.Warnings, func(w string) bool { return strings.Contains(w, part) })
	}
	if len(got.Warnings) != 2 || !warns("set maxmemory-policy to noeviction") || !warns("set appendonly to yes") || *got.MaxMemory != 100<<20 {
		t.Errorf("answered %+v", got)
	}
}
