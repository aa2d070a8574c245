package system_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/commands/system"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// hangs waits until ctx ends.
func hangs(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// healthJSON returns the result of system.health without reasons.
func healthJSON(status string, redis, postgres, mcp bool) string {
	return fmt.Sprintf(`{"status":%q,"services":{"redis":%t,"postgres":%t,"mcp":%t}}`, status, redis, postgres, mcp)
}

// reasonless returns a result of system.health without its reasons. It checks that there are
// reasons exactly if the status is not healthy.
func reasonless(t fleettest.TB, answer json.RawMessage) string {
	t.Helper()
	got := fleettest.Decoded[api.HealthResult](t, answer)
	if (got.Status == "healthy") != (len(got.Reasons) == 0) {
		t.Errorf("system.health answers %s", answer)
	}
	return healthJSON(got.Status, got.Services.Redis, got.Services.Postgres, got.Services.MCP)
}

func wantHealth(f *fleettest.Fleet, want string) {
	f.T.Helper()
	if got := reasonless(f.T, f.OK("system.health", `{}`)); got != want {
		f.T.Errorf("system.health answers %s, want %s", got, want)
	}
}

// wantReason checks that system.health gives a reason.
func wantReason(f *fleettest.Fleet, want string) {
	f.T.Helper()
	if got := fleettest.Decoded[api.HealthResult](f.T, f.OK("system.health", `{}`)); !slices.Contains(got.Reasons, want) {
		f.T.Errorf("system.health gives the reasons %q, want %q", got.Reasons, want)
	}
}

func TestHealth(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		wantHealth(f, healthJSON("degraded", true, false, false))
		wantReason(f, "no Postgres is configured, so task.list and session.* are unavailable")
		f.With(func(o *commands.Options) { o.MCP = true })
		wantHealth(f, healthJSON("degraded", true, false, true))
		f.With(func(o *commands.Options) { o.Tasks = &fleettest.View{} })
		wantHealth(f, healthJSON("healthy", true, true, true))
		f.With(func(o *commands.Options) {
			o.Tasks = &fleettest.View{OnPing: func(context.Context) error { return errors.New("gone") }}
		})
		wantHealth(f, healthJSON("degraded", true, false, true))
		wantReason(f, "Postgres unavailable: task.list and session.* do not work; everything else works")
		f.With(func(o *commands.Options) { o.Tasks, o.MCP = &fleettest.View{}, false })
		wantHealth(f, healthJSON("degraded", true, true, false))
		if f.Seq() != 0 {
			t.Error("system.health emitted an event")
		}
	})
}

// An instance that failed counts for five minutes, or until it is back. An instance that left does
// not count.
func TestHealthTellsOfFailures(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{MCP: true, Tasks: &fleettest.View{}}, func(t *testing.T, f *fleettest.Fleet) {
		healthy, degraded := healthJSON("healthy", true, true, true), healthJSON("degraded", true, true, true)
		failed := f.Keys.Prefix() + "health:failed"
		f.Register("a", `["worker"]`, "")
		f.Register("b", `[]`, "")
		f.Register("c", `[]`, "")
		f.OK("system.unregister", `{"instanceId":"c"}`)
		wantHealth(f, healthy)
		f.BuryAll(t)
		wantHealth(f, degraded)
		f.Register("a", `[]`, "")
		wantHealth(f, degraded)
		f.Register("b", `[]`, "")
		wantHealth(f, healthy)
		if got := f.Zset(failed); len(got) != 0 {
			t.Errorf("%v are still in the index", got)
		}
		f.BuryAll(t)
		f.Register("a", `[]`, "")
		wantHealth(f, degraded)
		now := f.Client.Time(t.Context()).Val()
		f.Put([]any{"ZADD", failed, now.Add(-5*time.Minute + 20*time.Second).UnixMilli(), "b"})
		wantHealth(f, degraded)
		f.Put([]any{"ZADD", failed, now.Add(-5 * time.Minute).UnixMilli(), "b"})
		wantHealth(f, healthy)
		// Entries that are too old go when others come. The key itself expires.
		f.BuryAll(t)
		if got := f.Zset(failed); len(got) != 1 || got[0] != "a" {
			t.Errorf("the index holds %v, want a alone", got)
		}
		if ttl := f.Client.PTTL(t.Context(), failed).Val(); ttl < 4*time.Minute || ttl > 5*time.Minute {
			t.Errorf("the index is kept for %v", ttl)
		}
		// The index has a maximum size, and the oldest entries go first.
		args, ago := []any{"ZADD", failed}, f.Client.Time(t.Context()).Val().Add(-time.Minute).UnixMilli()
		for n := range 10_000 {
			args = append(args, ago, fmt.Sprint("x", n))
		}
		f.Put(args)
		f.Register("a", `[]`, "")
		f.Register("b", `[]`, "")
		f.BuryAll(t)
		if got := f.Zset(failed); len(got) != 10_000 || got[0] == "x0" {
			t.Errorf("the index holds %d, the oldest %s", len(got), got[0])
		}
	})
}

// The limit holds while Redis answers. Another actor has its own limit.
func TestHealthIsLimited(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"system.health": 3}}, func(t *testing.T, f *fleettest.Fleet) {
		for range 3 {
			f.OK("system.health", `{}`)
		}
		f.Limited(api.Request{Method: "system.health", Addr: "192.0.2.1"})
		if _, err := f.Call(t.Context(), api.Request{Method: "system.health", Addr: "192.0.2.2"}); err != nil {
			t.Error(err)
		}
	})
}

// The call returns in time while Redis hangs, while it is unavailable, and while Postgres hangs as
// well. The result about one service does not depend on the other.
func TestHealthWithoutRedis(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	f := fleettest.New(t, fleettest.ClientOf(t, testenv.ClientOf(t, server)), commands.Options{MCP: true, Tasks: &fleettest.View{}, RateLimits: map[string]int{"system.health": 1}})
	stuck := f.Beside()
	stuck.With(func(o *commands.Options) { o.Tasks = &fleettest.View{OnPing: hangs} })
	unhealthy := func(why string) {
		t.Helper()
		var asked sync.WaitGroup
		for range 2 { // more than the limit, which Redis counts
			for of, postgres := range map[*fleettest.Fleet]bool{f: true, stuck: false} {
				asked.Go(func() {
					began := time.Now()
					got, err := of.Do("system.health", `{}`)
					if want := healthJSON("unhealthy", false, postgres, true); err != nil || reasonless(t, got) != want {
						t.Errorf("%s: answered %s, %v; want %s", why, got, err, want)
					}
					if took := time.Since(began); took > 2*system.HealthPatience {
						t.Errorf("%s: answered after %v", why, took)
					}
				})
			}
		}
		asked.Wait()
	}
	wantHealth(f, healthJSON("healthy", true, true, true))
	other := api.Request{Method: "system.health", Addr: "192.0.2.9"} // another address has its own limit
	if got, err := stuck.Call(t.Context(), other); err != nil || reasonless(t, got) != healthJSON("degraded", true, false, true) {
		t.Errorf("with a Postgres that hangs: %s, %v", got, err)
	}

	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	// Other calls wait for Redis too, and block the way to it.
	var waiting []chan struct{}
	for range 4 {
		done := make(chan struct{})
		waiting = append(waiting, done)
		go func() {
			defer close(done)
			_, _ = f.Do("task.create", `{"text":"x"}`)
		}()
	}
	unhealthy("Redis hangs")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	unhealthy("Redis is gone")
	for _, done := range waiting {
		<-done
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
		n++
		got, err := f.Call(t.Context(), api.Request{Method: "system.health", Addr: fmt.Sprint("192.0.2.", n)})
		return err == nil && reasonless(t, got) == healthJSON("healthy", true, true, true), fmt.Sprintf("%s, %v", got, err)
	})
}

// A fault of the coordinator is returned as one, not as an unavailable Redis.
func TestHealthWithAForeignKey(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Put([]any{"SET", f.Keys.Prefix() + "health:failed", "no sorted set"})
		if result, err := f.Do("system.health", `{}`); fleettest.Outcome(err) != api.OutcomeFault {
			t.Errorf("answered %s, %v", result, err)
		}
		f.Put([]any{"DEL", f.Keys.Prefix() + "health:failed"})
	})
}

// A flush stops commands, but calls that only watch continue.
func TestFenceLetsThoseWhoWatchPass(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("a", `[]`, "")
		f.Put([]any{"HSET", f.Keys.Log(), "fence", "1"})
		f.OK("system.health", `{}`)
		f.OK("system.metrics", `{"detailed":true}`)
		f.OK("system.discover", `{}`)
		f.Refused(api.CodeConflict, `{"reason":"FLUSH_IN_PROGRESS"}`, "system.get_state", `{}`)
		f.Put([]any{"HDEL", f.Keys.Log(), "fence"})
	})
}
