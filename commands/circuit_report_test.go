package commands

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/testenv"
)

type circuitEvent struct {
	Method, Coordinator        string
	Failures, Until, Timestamp int64
}

// circuitEvents are the log's events of circuits.
func circuitEvents(f *fleet) (types []string, payloads []circuitEvent) {
	f.t.Helper()
	for _, e := range f.events() {
		if strings.HasPrefix(e.Type, "circuit.") {
			types, payloads = append(types, e.Type), append(payloads, decoded[circuitEvent](f.t, e.Payload))
			if e.Actor != "coordinator" {
				f.t.Errorf("the actor is %s", e.Actor)
			}
		}
	}
	return types, payloads
}

// noteOf is what Redis shows of a coordinator's circuit.
func noteOf(f *fleet, method string) string {
	f.t.Helper()
	key := f.keys.Prefix() + "circuit:" + method
	note, err := f.client.HGet(context.Background(), key, f.options.Name).Result()
	if err != nil {
		f.t.Fatalf("read %s: %v", key, err)
	}
	if ttl := f.client.PTTL(context.Background(), key).Val(); ttl <= 0 || ttl > circuitKept {
		f.t.Errorf("%s is kept for %v", key, ttl)
	}
	return note
}

// Redis itself is away: what happened is told when it is back, with the time at which it did.
func TestCircuitIsReportedWhenRedisIsBack(t *testing.T) {
	t.Parallel()
	f, redis := ownFleet(t)
	f = newFleet(t, f.client, Options{Namespace: f.options.Namespace, BreakerOpen: 3 * time.Second})
	f.unhurried()
	f.create("kept", "")
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	create, began := f.method("task.create"), time.Now().UnixMilli()
	create.Timeout = 50 * time.Millisecond
	for range create.Breaker.Failures {
		if _, err := f.do("task.create", `{"text":"x"}`); !internalError(err, api.RedisUnavailable) && !internalError(err, api.OutcomeUnknown) {
			t.Fatal(err)
		}
	}
	opened := time.Now().UnixMilli()
	fails(f, "task.create", `{"text":"x"}`, api.CircuitBreakerOpen)
	if got := decoded[HealthResult](t, f.ok("system.health", `{}`)); got.Status != "unhealthy" {
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
	f.client = clientOf(t, testenv.ClientOf(t, redis)) // the coordinator's pool says for a second more that Redis is gone
	swept := func() {
		t.Helper()
		testenv.Eventually(t, patience, func() (bool, string) {
			err := f.Sweep(t.Context())
			return err == nil, fmt.Sprint(err)
		})
	}
	swept()
	swept() // has nothing more to tell
	types, told := circuitEvents(f)
	if len(types) == 0 || types[0] != "circuit.opened" {
		t.Fatalf("the log tells %v", types)
	}
	first := told[0]
	if first.Method != "task.create" || first.Failures != 5 || first.Coordinator != f.options.Name || first.Timestamp < began ||
		first.Timestamp > opened || first.Until != first.Timestamp+3000 {
		t.Errorf("it opened between %d and %d, and the log tells %+v", began, opened, first)
	}
	want := fmt.Sprintf(`{"state":"OPEN","failures":5,"until":%d,"at":%d}`, first.Until, first.Timestamp)
	over := fmt.Sprintf(`{"state":"HALF_OPEN","failures":5,"until":%[1]d,"at":%[1]d}`, first.Until)
	if got := noteOf(f, "task.create"); got != want && got != over {
		t.Errorf("Redis shows %s, not %s", got, want)
	}
	testenv.Eventually(t, patience, func() (bool, string) {
		swept()
		got := noteOf(f, "task.create")
		return got == over, "its time is over, and Redis shows " + got
	})
	// A flush removes the note, and not what it says.
	f.put([]any{"DEL", f.keys.Prefix() + "circuit:task.create"})
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
	f.verify()
}

// A report whose reply was lost is made again, and tells nothing twice; behind a flush's fence it is refused.
func TestCircuitIsReportedOnce(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		change := circuitChange{circuitOpen, 5, time.Now().UnixMilli() + 30_000, time.Now().UnixMilli()}
		list := f.method("task.list").Circuit
		for range 2 {
			list.note(change)
			if err := f.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if types, _ := circuitEvents(f); len(types) != 1 {
			t.Errorf("the log tells %v", types)
		}
		old := circuitChange{circuitOpen, 5, 1000, 1000}
		list.note(old)
		if err := errors.Join(f.Sweep(t.Context()), f.beside().Sweep(t.Context())); err != nil {
			t.Fatal(err)
		}
		other := f.beside()
		other.method("task.list").Circuit.note(change)
		if err := other.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all := f.client.HGetAll(t.Context(), f.keys.Prefix()+"circuit:task.list").Val(); len(all) != 1 || all[other.options.Name] == "" {
			t.Errorf("a note of long ago is still there: %v", all)
		}
		seq := f.seq()
		f.put([]any{"HSET", f.keys.Log(), "fence", "f"})
		list.note(change)
		if err := f.ReportCircuits(t.Context()); !flushUnderWay(err) || f.seq() != seq {
			t.Errorf("behind the fence: %v", err)
		}
		f.put([]any{"HDEL", f.keys.Log(), "fence"})
		if err := f.Sweep(t.Context()); err != nil || f.seq() != seq+1 {
			t.Errorf("after the flush: %v", err)
		}
	})
}

// Of many changes that nobody could be told, the first are, and the last.
func TestUnreportedChangesAreBounded(t *testing.T) {
	t.Parallel()
	c := &circuit{}
	for n := range 100 {
		c.note(circuitChange{state: circuitOpen, failures: 2 * n})
		c.note(circuitChange{state: circuitOpen, failures: 2*n + 1})
		c.note(circuitChange{state: circuitClosed, failures: 2*n + 1})
	}
	if len(c.changes) != maxUnreported || c.changes[0] != (circuitChange{state: circuitOpen}) || c.changes[1].failures != 1 ||
		c.changes[maxUnreported-1] != (circuitChange{state: circuitClosed, failures: 199}) {
		t.Errorf("left are %+v", c.changes)
	}
}
