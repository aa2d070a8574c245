package commands_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestRateLimit(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"system.heartbeat": 5, "task.create": 3, "task.get": 0}}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("a", `[]`, "")
		for range 5 {
			f.OK("system.heartbeat", `{"instanceId":"a"}`)
		}
		got := f.Limited(api.Request{Method: "system.heartbeat", Params: json.RawMessage(`{"instanceId":"a"}`)})
		if got.Limit != 5 || got.WindowMs != 60_000 || got.RetryAfterMs < 1 || got.RetryAfterMs > 60_000 {
			t.Errorf("refused with %+v", got)
		}
		f.OK("system.heartbeat", `{"instanceId":"b"}`) // another instance has its own
		for range 20 {
			f.Refused(api.CodeNotFound, `{"id":"t-99"}`, "task.get", `{"id":"t-99"}`)
		}
		// Who names no instance is counted by the token, else by the address.
		create := func(caller, addr string) api.Request {
			return api.Request{Method: "task.create", Params: json.RawMessage(`{"text":"x"}`), Caller: caller, Addr: addr}
		}
		for _, who := range [][2]string{{"token", "192.0.2.7"}, {"", "192.0.2.7"}, {"", "192.0.2.8"}} {
			for range 3 {
				if _, err := f.Call(t.Context(), create(who[0], who[1])); err != nil {
					t.Fatalf("%v: %v", who, err)
				}
			}
			f.Limited(create(who[0], who[1]))
		}
		f.Limited(create("token", "192.0.2.9"))
	})
}

// A repeated call is answered, not counted and not refused: it changes nothing.
func TestRateLimitComesAfterTheIdempotencyKey(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.create": 2}}, func(t *testing.T, f *fleettest.Fleet) {
		first := f.OK("task.create", `{"text":"x","idempotencyKey":"k"}`)
		for range 5 {
			if again := f.OK("task.create", `{"text":"x","idempotencyKey":"k"}`); string(again) != string(first) {
				t.Errorf("answered %s", again)
			}
		}
		f.OK("task.create", `{"text":"y"}`)
		if again := f.OK("task.create", `{"text":"x","idempotencyKey":"k"}`); string(again) != string(first) {
			t.Errorf("answered %s", again)
		}
		f.Limited(api.Request{Method: "task.create", Params: json.RawMessage(`{"text":"z"}`), Addr: "192.0.2.1"})
	})
}

// The window slides: half a minute after a full window, half of it counts, and the wait that is told is
// the one after which a call passes.
func TestRateLimitSlides(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.create": 10}}, func(t *testing.T, f *fleettest.Fleet) {
		counters := f.Keys.Prefix() + "ratelimit:task.create:192.0.2.1"
		set := func(ago time.Duration, previous, current int) {
			f.Put([]any{"HSET", counters, "start", time.Now().Add(-ago).UnixMilli(), "previous", previous, "current", current})
		}
		create := api.Request{Method: "task.create", Params: json.RawMessage(`{"text":"x"}`), Addr: "192.0.2.1"}
		passes := func(n int) {
			t.Helper()
			for i := range n {
				if _, err := f.Call(t.Context(), create); err != nil {
					t.Fatalf("call %d: %v", i, err)
				}
			}
			if got := f.Limited(create); got.RetryAfterMs > 60_000 || got.RetryAfterMs < 1 {
				t.Errorf("wait for %d ms", got.RetryAfterMs)
			}
		}
		set(31*time.Second, 10, 0) // 4.8 of the ten count
		passes(6)
		set(91*time.Second, 0, 10) // the window that was current is the one before: as above
		passes(6)
		set(125*time.Second, 10, 10) // nothing counts any more
		passes(10)
		set(-time.Hour, 10, 10) // the clock went back
		passes(10)

		set(30*time.Second, 10, 6)
		wait := f.Limited(create).RetryAfterMs
		set(30*time.Second+time.Duration(wait+10)*time.Millisecond, 10, 6) // 10 ms for what passed before it was told
		if _, err := f.Call(t.Context(), create); err != nil {
			t.Errorf("after waiting %d ms as told: %v", wait, err)
		}
		began := time.Now().Add(-10 * time.Second).UnixMilli()
		f.Put([]any{"HSET", counters, "start", began, "previous", 0, "current", 10})
		wait = f.Limited(create).RetryAfterMs
		if wait < 49_000 || wait > 50_001 {
			t.Errorf("wait for %d ms, want 50 s", wait)
		}
		f.Put([]any{"HSET", counters, "start", began - wait})
		if _, err := f.Call(t.Context(), create); err != nil {
			t.Errorf("after waiting %d ms for a new window: %v", wait, err)
		}
		set(10*time.Second, 0, 20) // the limit was lowered meanwhile
		if wait = f.Limited(create).RetryAfterMs; wait != 60_000 {
			t.Errorf("wait for %d ms, want a window", wait)
		}
		if ttl := f.Client.PTTL(t.Context(), counters).Val(); ttl <= 0 || ttl > 2*time.Minute {
			t.Errorf("the counters are kept for %v", ttl)
		}
	})
}

// Calls that come at the same time share a script's run, and are counted as if each had its own.
func TestRateLimitOfCallsAtOnce(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.create": 10}}, func(t *testing.T, f *fleettest.Fleet) {
		create := api.Request{Method: "task.create", Params: json.RawMessage(`{"text":"x"}`), Addr: "192.0.2.1"}
		var passed, refused atomic.Int64
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				_, err := f.Call(t.Context(), create)
				var known *api.Error
				switch {
				case err == nil:
					passed.Add(1)
				case errors.As(err, &known) && known.Code == api.CodeRateLimited:
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if passed.Load() != 10 || refused.Load() != 90 {
			t.Errorf("%d calls passed and %d were refused, want 10 and 90", passed.Load(), refused.Load())
		}
		counters := f.Client.HGetAll(t.Context(), f.Keys.Prefix()+"ratelimit:task.create:192.0.2.1").Val()
		if counters["current"] != "10" || counters["previous"] != "0" {
			t.Errorf("counted %v", counters)
		}
	})
}

func TestRateLimitsOfMethodsThatAreNotThere(t *testing.T) {
	t.Parallel()
	if _, err := commands.New(commands.Options{RateLimits: map[string]int{"task.nothing": 1}}); err == nil || !strings.Contains(err.Error(), "task.nothing") {
		t.Errorf("a limit for no method: %v", err)
	}
	if _, err := commands.New(commands.Options{Namespace: "a:b"}); err == nil || !strings.Contains(err.Error(), "namespace") {
		t.Errorf("a bad namespace: %v", err)
	}
}
