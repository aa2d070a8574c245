package commands

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// hangs is an answer that never comes.
func hangs(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// healthJSON is the answer of system.health.
func healthJSON(status string, redis, postgres, mcp bool) string {
	return fmt.Sprintf(`{"status":%q,"services":{"redis":%t,"postgres":%t,"mcp":%t}}`, status, redis, postgres, mcp)
}

func wantHealth(f *fleet, want string) {
	f.t.Helper()
	if got := string(f.ok("system.health", `{}`)); got != want {
		f.t.Errorf("system.health answers %s, want %s", got, want)
	}
}

func TestHealth(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		wantHealth(f, healthJSON("degraded", true, false, false))
		f.with(func(o *Options) { o.MCP = true })
		wantHealth(f, healthJSON("degraded", true, false, true))
		f.with(func(o *Options) { o.Tasks = &view{} })
		wantHealth(f, healthJSON("healthy", true, true, true))
		f.with(func(o *Options) { o.Tasks = &view{ping: func(context.Context) error { return errors.New("gone") }} })
		wantHealth(f, healthJSON("degraded", true, false, true))
		f.with(func(o *Options) { o.Tasks, o.MCP = &view{}, false })
		wantHealth(f, healthJSON("degraded", true, true, false))
		if f.seq() != 0 {
			t.Error("system.health emitted an event")
		}
	})
}

// An instance that failed shows for five minutes, or until it is back. One that left does not.
func TestHealthTellsOfFailures(t *testing.T) {
	everywhere(t, Options{MCP: true, Tasks: &view{}}, func(t *testing.T, f *fleet) {
		healthy, degraded := healthJSON("healthy", true, true, true), healthJSON("degraded", true, true, true)
		failed := f.keys.Prefix() + "health:failed"
		f.register("a", `["worker"]`, "")
		f.register("b", `[]`, "")
		f.register("c", `[]`, "")
		f.ok("system.unregister", `{"instanceId":"c"}`)
		wantHealth(f, healthy)
		f.buryAll(t)
		wantHealth(f, degraded)
		f.register("a", `[]`, "")
		wantHealth(f, degraded)
		f.register("b", `[]`, "")
		wantHealth(f, healthy)
		if got := f.zset(failed); len(got) != 0 {
			t.Errorf("%v are still in the index", got)
		}
		f.buryAll(t)
		f.register("a", `[]`, "")
		wantHealth(f, degraded)
		now := f.client.Time(t.Context()).Val()
		f.put([]any{"ZADD", failed, now.Add(-5*time.Minute + 20*time.Second).UnixMilli(), "b"})
		wantHealth(f, degraded)
		f.put([]any{"ZADD", failed, now.Add(-5 * time.Minute).UnixMilli(), "b"})
		wantHealth(f, healthy)
		// What is too old goes as others come, and the whole of it with time.
		f.buryAll(t)
		if got := f.zset(failed); len(got) != 1 || got[0] != "a" {
			t.Errorf("the index holds %v, want a alone", got)
		}
		if ttl := f.client.PTTL(t.Context(), failed).Val(); ttl < 4*time.Minute || ttl > 5*time.Minute {
			t.Errorf("the index is kept for %v", ttl)
		}
		// It never grows beyond its bound, the oldest go.
		args, ago := []any{"ZADD", failed}, f.client.Time(t.Context()).Val().Add(-time.Minute).UnixMilli()
		for n := range 10_000 {
			args = append(args, ago, fmt.Sprint("x", n))
		}
		f.put(args)
		f.register("a", `[]`, "")
		f.register("b", `[]`, "")
		f.buryAll(t)
		if got := f.zset(failed); len(got) != 10_000 || got[0] == "x0" {
			t.Errorf("the index holds %d, the oldest %s", len(got), got[0])
		}
	})
}

// The limit holds when Redis answers; another actor has its own.
func TestHealthIsLimited(t *testing.T) {
	everywhere(t, Options{RateLimits: map[string]int{"system.health": 3}}, func(t *testing.T, f *fleet) {
		for range 3 {
			f.ok("system.health", `{}`)
		}
		f.limited(api.Request{Method: "system.health", Addr: "192.0.2.1"})
		if _, err := f.Call(t.Context(), api.Request{Method: "system.health", Addr: "192.0.2.2"}); err != nil {
			t.Error(err)
		}
	})
}

// It answers while Redis hangs and while it is gone, in time, and while Postgres hangs as well; what the
// other service says does not suffer.
func TestHealthWithoutRedis(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	f := newFleet(t, clientOf(t, testenv.ClientOf(t, server)), Options{MCP: true, Tasks: &view{}, RateLimits: map[string]int{"system.health": 1}})
	stuck := f.beside()
	stuck.with(func(o *Options) { o.Tasks = &view{ping: hangs} })
	unhealthy := func(why string) {
		t.Helper()
		var asked sync.WaitGroup
		for range 2 { // more than the limit, which is Redis's
			for of, postgres := range map[*fleet]bool{f: true, stuck: false} {
				asked.Go(func() {
					began := time.Now()
					got, err := of.do("system.health", `{}`)
					if want := healthJSON("unhealthy", false, postgres, true); string(got) != want || err != nil {
						t.Errorf("%s: answered %s, %v; want %s", why, got, err, want)
					}
					if took := time.Since(began); took > 2*healthPatience {
						t.Errorf("%s: answered after %v", why, took)
					}
				})
			}
		}
		asked.Wait()
	}
	wantHealth(f, healthJSON("healthy", true, true, true))
	other := api.Request{Method: "system.health", Addr: "192.0.2.9"} // with a limit of its own
	if got, err := stuck.Call(t.Context(), other); string(got) != healthJSON("degraded", true, false, true) {
		t.Errorf("with a Postgres that hangs: %s, %v", got, err)
	}

	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	// Others wait for Redis, too, and hold the way to it.
	var waiting []chan struct{}
	for range 4 {
		done := make(chan struct{})
		waiting = append(waiting, done)
		go func() {
			defer close(done)
			_, _ = f.do("task.create", `{"text":"x"}`)
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
	testenv.Eventually(t, patience, func() (bool, string) {
		n++
		got, err := f.Call(t.Context(), api.Request{Method: "system.health", Addr: fmt.Sprint("192.0.2.", n)})
		return string(got) == healthJSON("healthy", true, true, true), fmt.Sprintf("%s, %v", got, err)
	})
}

// A fault of ours is told as one, not as a Redis that is away.
func TestHealthWithAForeignKey(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.put([]any{"SET", f.keys.Prefix() + "health:failed", "no sorted set"})
		if result, err := f.do("system.health", `{}`); api.OutcomeOf(err) != api.OutcomeFault {
			t.Errorf("answered %s, %v", result, err)
		}
		f.put([]any{"DEL", f.keys.Prefix() + "health:failed"})
	})
}

// A flush fences commands off; those that watch go on.
func TestFenceLetsThoseWhoWatchPass(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("a", `[]`, "")
		f.put([]any{"HSET", f.keys.Log(), "fence", "1"})
		f.ok("system.health", `{}`)
		f.ok("system.metrics", `{"detailed":true}`)
		f.ok("system.discover", `{}`)
		f.refused(api.CodeConflict, `{"reason":"FLUSH_IN_PROGRESS"}`, "system.get_state", `{}`)
		f.put([]any{"HDEL", f.keys.Log(), "fence"})
	})
}
