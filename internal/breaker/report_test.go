package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/flush"
	"github.com/claudebench/claudebench/internal/testenv"
)

type circuitEvent struct {
	Method, Coordinator        string
	Failures, Until, Timestamp int64
}

// circuitEvents returns the circuit events in the log.
func circuitEvents(f *fleettest.Fleet) (types []string, payloads []circuitEvent) {
	f.T.Helper()
	for _, e := range f.Events() {
		if strings.HasPrefix(e.Type, "circuit.") {
			types, payloads = append(types, e.Type), append(payloads, fleettest.Decoded[circuitEvent](f.T, e.Payload))
			if e.Actor != "coordinator" {
				f.T.Errorf("the actor is %s", e.Actor)
			}
		}
	}
	return types, payloads
}

// noteOf returns what Redis has stored about a coordinator's circuit.
func noteOf(f *fleettest.Fleet, method string) string {
	f.T.Helper()
	key := f.Keys.Prefix() + "circuit:" + method
	note, err := f.Client.HGet(context.Background(), key, f.Options.Name).Result()
	if err != nil {
		f.T.Fatalf("read %s: %v", key, err)
	}
	if ttl := f.Client.PTTL(context.Background(), key).Val(); ttl <= 0 || ttl > breaker.NoteKept {
		f.T.Errorf("%s is kept for %v", key, ttl)
	}
	return note
}

// Redis itself is unavailable. When it is back, the changes are reported with the times at which
// they happened.
func TestCircuitIsReportedWhenRedisIsBack(t *testing.T) {
	t.Parallel()
	f, redis := fleettest.OwnFleet(t)
	f = fleettest.New(t, f.Client, commands.Options{Keys: f.Keys, BreakerOpen: 3 * time.Second})
	f.Unhurried()
	f.Create("kept", "")
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	create, began := f.Method("task.create"), time.Now().UnixMilli()
	create.Timeout = 50 * time.Millisecond
	for range create.Breaker.Failures {
		if _, err := f.Do("task.create", `{"text":"x"}`); !fleettest.InternalError(err, api.RedisUnavailable) && !fleettest.InternalError(err, api.OutcomeUnknown) {
			t.Fatal(err)
		}
	}
	opened := time.Now().UnixMilli()
	fails(f, "task.create", `{"text":"x"}`, api.CircuitBreakerOpen)
	if got := fleettest.Decoded[api.HealthResult](t, f.OK("system.health", `{}`)); got.Status != "unhealthy" {
		t.Errorf("health without Redis: %+v", got)
	}
	tick, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := errors.Join(f.ReportCircuits(tick), f.Sweep(tick)); err == nil {
		t.Error("it was reported to nobody")
	}
	create.Timeout = time.Minute
	if err := redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The coordinator's pool still fails for a second.
	f.Client = fleettest.ClientOf(t, testenv.ClientOf(t, redis))
	swept := func() {
		t.Helper()
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
			err := f.Sweep(t.Context())
			return err == nil, fmt.Sprint(err)
		})
	}
	swept()
	swept() // reports nothing new
	types, told := circuitEvents(f)
	if len(types) == 0 || types[0] != "circuit.opened" {
		t.Fatalf("the log tells %v", types)
	}
	first := told[0]
	if first.Method != "task.create" || first.Failures != 5 || first.Coordinator != f.Options.Name || first.Timestamp < began ||
		first.Timestamp > opened || first.Until != first.Timestamp+3000 {
		t.Errorf("it opened between %d and %d, and the log tells %+v", began, opened, first)
	}
	want := fmt.Sprintf(`{"state":"OPEN","failures":5,"until":%d,"at":%d}`, first.Until, first.Timestamp)
	over := fmt.Sprintf(`{"state":"HALF_OPEN","failures":5,"until":%[1]d,"at":%[1]d}`, first.Until)
	if got := noteOf(f, "task.create"); got != want && got != over {
		t.Errorf("Redis shows %s, not %s", got, want)
	}
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
		swept()
		got := noteOf(f, "task.create")
		return got == over, "its time is over, and Redis shows " + got
	})
	// A flush removes the note. It is written again.
	f.Put([]any{"DEL", f.Keys.Prefix() + "circuit:task.create"})
	swept()
	if got := noteOf(f, "task.create"); got != over {
		t.Errorf("after a flush Redis shows %s, not %s", got, over)
	}
	if err := eventually(f, "task.create", `{"text":"y"}`); err != nil {
		t.Fatal(err)
	}
	if time.Now().UnixMilli() < first.Until {
		t.Error("it closed before its time")
	}
	swept()
	types, told = circuitEvents(f)
	if len(types) != 2 || types[1] != "circuit.closed" || told[1].Until != first.Until || told[1].Failures != 5 {
		t.Errorf("the log tells %v %+v", types, told)
	}
	if got := noteOf(f, "task.create"); !strings.HasPrefix(got, `{"state":"CLOSED",`) {
		t.Errorf("Redis shows %s", got)
	}
	f.Verify()
}

// A report whose reply was lost is repeated without a second event. Behind the fence of a flush it
// is rejected.
func TestCircuitIsReportedOnce(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		change := breaker.Change{breaker.Open, 5, time.Now().UnixMilli() + 30_000, time.Now().UnixMilli()}
		list := f.Method("task.list").Circuit
		for range 2 {
			list.Note(change)
			if err := f.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if types, _ := circuitEvents(f); len(types) != 1 {
			t.Errorf("the log tells %v", types)
		}
		old := breaker.Change{breaker.Open, 5, 1000, 1000}
		list.Note(old)
		if err := errors.Join(f.Sweep(t.Context()), f.Beside().Sweep(t.Context())); err != nil {
			t.Fatal(err)
		}
		other := f.Beside()
		other.Method("task.list").Circuit.Note(change)
		if err := other.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all := f.Client.HGetAll(t.Context(), f.Keys.Prefix()+"circuit:task.list").Val(); len(all) != 1 || all[other.Options.Name] == "" {
			t.Errorf("a note of long ago is still there: %v", all)
		}
		seq := f.Seq()
		f.Put([]any{"HSET", f.Keys.Log(), "fence", "f"})
		list.Note(change)
		if err := f.ReportCircuits(t.Context()); !flush.UnderWay(err) || f.Seq() != seq {
			t.Errorf("behind the fence: %v", err)
		}
		f.Put([]any{"HDEL", f.Keys.Log(), "fence"})
		if err := f.Sweep(t.Context()); err != nil || f.Seq() != seq+1 {
			t.Errorf("after the flush: %v", err)
		}
	})
}

// Of many unreported changes the first ones and the last are kept.
func TestUnreportedChangesAreBounded(t *testing.T) {
	t.Parallel()
	c := &breaker.Circuit{}
	for n := range 100 {
		c.Note(breaker.Change{State: breaker.Open, Failures: 2 * n})
		c.Note(breaker.Change{State: breaker.Open, Failures: 2*n + 1})
		c.Note(breaker.Change{State: breaker.Closed, Failures: 2*n + 1})
	}
	if len(c.Changes) != breaker.MaxUnreported || c.Changes[0] != (breaker.Change{State: breaker.Open}) || c.Changes[1].Failures != 1 ||
		c.Changes[breaker.MaxUnreported-1] != (breaker.Change{State: breaker.Closed, Failures: 199}) {
		t.Errorf("left are %+v", c.Changes)
	}
}
