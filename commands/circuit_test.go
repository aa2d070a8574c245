package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

// outage is a TaskView that can be away, and counts who asks it.
type outage struct {
	away  atomic.Bool
	asked atomic.Int64
	hangs chan struct{} // when set, List waits for it or for the call's end
}

func (o *outage) WaitFor(context.Context, int64, time.Duration) error { return nil }
func (o *outage) Ping(context.Context) error                          { return nil }
func (o *outage) List(ctx context.Context, _ TaskQuery) ([]json.RawMessage, int, error) {
	o.asked.Add(1)
	if o.hangs != nil {
		select {
		case <-o.hangs:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	if o.away.Load() {
		return nil, 0, ErrViewUnavailable
	}
	return nil, 0, nil
}

// broken is a fleet whose view is away.
func broken(t *testing.T, open time.Duration) (*fleet, *outage) {
	t.Helper()
	view := &outage{}
	view.away.Store(true)
	f := newFleet(t, realRedis(t), Options{Tasks: view, BreakerOpen: open, RateLimits: map[string]int{"task.list": 10_000}})
	f.unhurried()
	return f, view
}

// fails makes a call that must fail by the infrastructure.
func (f *fleet) fails(method, params, what string) {
	f.t.Helper()
	if result, err := f.do(method, params); !internalError(err, what) {
		f.t.Fatalf("%s answered %s, %v; want %s", method, result, err, what)
	}
}

// open makes the circuit of task.list open.
func (f *fleet) open() {
	f.t.Helper()
	for range f.methods["task.list"].Breaker.Failures {
		f.fails("task.list", `{}`, PostgresUnavailable)
	}
	f.stands("task.list", circuitOpen)
}

// stands tells how a circuit must stand, also in system.metrics.
func (f *fleet) stands(method, want string) {
	f.t.Helper()
	got := decoded[MetricsResult](f.t, f.ok("system.metrics", `{"detailed":true}`))
	if state := got.Handlers[method].CircuitState; state != want {
		f.t.Errorf("the circuit of %s is %s, not %s", method, state, want)
	}
	notClosed, closed := 1, len(f.list)-1
	if want == circuitClosed {
		notClosed, closed = 0, len(f.list)
	}
	if c := got.CircuitBreaker; len(c.NotClosed) != notClosed || c.Closed != closed || notClosed == 1 && c.NotClosed[method] != want {
		f.t.Errorf("system.metrics tells of circuits: %+v", c)
	}
}

// eventually calls until the circuit lets a call through, and gives that call's error.
func (f *fleet) eventually(method, params string) (failed error) {
	f.t.Helper()
	testenv.Eventually(f.t.(*testing.T), patience, func() (bool, string) { //nolint:forcetypeassert // no model test
		_, failed = f.do(method, params)
		return !internalError(failed, CircuitBreakerOpen), "the circuit stays open"
	})
	return failed
}

func TestCircuitOpensAfterFailuresInARow(t *testing.T) {
	t.Parallel()
	f, view := broken(t, time.Hour)
	n := f.methods["task.list"].Breaker.Failures
	for range n - 1 {
		f.fails("task.list", `{}`, PostgresUnavailable)
	}
	view.away.Store(false)
	f.ok("task.list", `{}`) // the row ends
	view.away.Store(true)
	for range n - 1 {
		f.fails("task.list", `{}`, PostgresUnavailable)
	}
	f.stands("task.list", circuitClosed)
	f.fails("task.list", `{}`, PostgresUnavailable)
	f.stands("task.list", circuitOpen)

	asked, before := view.asked.Load(), f.counted()
	for range 20 {
		f.fails("task.list", `{}`, CircuitBreakerOpen)
	}
	if view.asked.Load() != asked || f.counted() != before {
		t.Error("an open circuit let calls through")
	}
	// A caller's mistake is told as ever, and other methods go on.
	f.refused(CodeInvalidParams, `"limit parameter must be an integer from 1 to 1000"`, "task.list", `{"limit":0}`)
	f.get(f.create("x", ""))
	got := decoded[MetricsResult](t, f.ok("system.metrics", `{"detailed":true}`))
	if got.CircuitBreaker.Rejected != 20 || got.Counters.ByOutcome["circuit_open"] != 20 {
		t.Errorf("%d calls were let not through", got.CircuitBreaker.Rejected)
	}
}

// counted is how many calls of task.list the rate limit has counted.
func (f *fleet) counted() int64 {
	f.t.Helper()
	n, err := f.client.HGet(context.Background(), f.keys.Prefix()+"ratelimit:task.list:192.0.2.1", "current").Int64()
	if err != nil {
		f.t.Fatalf("read the rate limit: %v", err)
	}
	return n
}

func TestCallersMistakesOpenNoCircuit(t *testing.T) {
	everywhere(t, Options{RateLimits: map[string]int{"task.delete": 1}}, func(t *testing.T, f *fleet) {
		f.create("x", "")
		f.ok("task.delete", `{"id":"t-1"}`)
		for range 30 {
			for method, params := range map[string]string{
				"task.get": `{"id":"t-99"}`, "task.create": `{"text":1}`, "task.claim": `{"workerId":"nobody"}`,
				"task.delete": `{"id":"t-2"}`, "task.list": `{}`, // where there is no Postgres none is away
			} {
				if _, err := f.do(method, params); err == nil || internalError(err, CircuitBreakerOpen) {
					t.Fatalf("%s: %v", method, err)
				}
			}
		}
		f.stands("task.get", circuitClosed)
	})
}

// A caller that does not wait says nothing of the infrastructure; a method's timeout does.
func TestCallsThatDidNotEnd(t *testing.T) {
	t.Parallel()
	view := &outage{hangs: make(chan struct{})}
	f := newFleet(t, realRedis(t), Options{Tasks: view, BreakerOpen: time.Hour})
	f.unhurried()
	for n := range 20 {
		ctx, hangUp := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = f.Call(ctx, Request{Method: "task.list", Params: json.RawMessage(`{}`)})
		}()
		testenv.Eventually(t, patience, func() (bool, string) { return view.asked.Load() == int64(n+1), "nobody asks the view" })
		hangUp()
		<-done
	}
	f.stands("task.list", circuitClosed)
	f.methods["task.list"].Timeout = 100 * time.Millisecond
	f.open()
}

// The circuit stays open for its time though the service is back, and then closes by the one call that it lets through.
func TestCircuitClosesByATrial(t *testing.T) {
	t.Parallel()
	const open = 600 * time.Millisecond
	f, view := broken(t, open)
	began := time.Now()
	f.open()
	opened := time.Now()
	view.away.Store(false)
	if err := f.eventually("task.list", `{}`); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < open {
		t.Errorf("it was open for %v", took)
	}
	if took := time.Since(opened); took > open+5*time.Second {
		t.Errorf("it was open for %v", took)
	}
	f.stands("task.list", circuitClosed)
}

func TestCircuitOpensAgainByATrial(t *testing.T) {
	t.Parallel()
	const open = 300 * time.Millisecond
	f, view := broken(t, open)
	f.open()
	if err := f.eventually("task.list", `{}`); !internalError(err, PostgresUnavailable) {
		t.Fatalf("the trial answered %v", err)
	}
	reopened := time.Now()
	view.away.Store(false)
	// One failure was enough, and the time begins anew.
	if err := f.eventually("task.list", `{}`); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(reopened); took < open-50*time.Millisecond {
		t.Errorf("it was open for %v the second time", took)
	}
}

// Of any number of calls at once, a half-open circuit lets one through.
func TestOneTrialAtATime(t *testing.T) {
	t.Parallel()
	f, view := broken(t, 50*time.Millisecond)
	f.open()
	testenv.Eventually(t, patience, func() (bool, string) {
		state := f.methods["task.list"].circuit.state()
		return state == circuitHalfOpen, state
	})
	f.stands("task.list", circuitHalfOpen)
	view.away.Store(false)
	view.hangs = make(chan struct{})
	before := view.asked.Load()
	var through, rejected atomic.Int64
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() {
			_, err := f.do("task.list", `{}`)
			switch {
			case err == nil:
				through.Add(1)
			case internalError(err, CircuitBreakerOpen):
				if rejected.Add(1) == 49 {
					close(view.hangs)
				}
			default:
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if through.Load() != 1 || rejected.Load() != 49 || view.asked.Load() != before+1 {
		t.Errorf("%d calls were let through, %d not", through.Load(), rejected.Load())
	}
	f.stands("task.list", circuitClosed)
}

type circuitEvent struct {
	Method, Coordinator        string
	Failures, Until, Timestamp int64
}

// circuitEvents are the log's events of circuits.
func (f *fleet) circuitEvents() (types []string, payloads []circuitEvent) {
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

// note is what Redis shows of a coordinator's circuit.
func (f *fleet) note(method string) string {
	f.t.Helper()
	key := f.keys.Prefix() + "circuit:" + method
	note, err := f.client.HGet(context.Background(), key, f.name).Result()
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
	create, began := f.methods["task.create"], time.Now().UnixMilli()
	create.Timeout = 50 * time.Millisecond
	for range create.Breaker.Failures {
		if _, err := f.do("task.create", `{"text":"x"}`); !internalError(err, RedisUnavailable) && !internalError(err, OutcomeUnknown) {
			t.Fatal(err)
		}
	}
	opened := time.Now().UnixMilli()
	f.fails("task.create", `{"text":"x"}`, CircuitBreakerOpen)
	if got := decoded[HealthResult](t, f.ok("system.health", `{}`)); got.Status != "unhealthy" {
		t.Errorf("health without Redis: %+v", got)
	}
	tick, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := errors.Join(f.reportCircuits(tick), f.Sweep(tick)); err == nil {
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
	types, told := f.circuitEvents()
	if len(types) == 0 || types[0] != "circuit.opened" {
		t.Fatalf("the log tells %v", types)
	}
	first := told[0]
	if first.Method != "task.create" || first.Failures != 5 || first.Coordinator != f.name || first.Timestamp < began ||
		first.Timestamp > opened || first.Until != first.Timestamp+3000 {
		t.Errorf("it opened between %d and %d, and the log tells %+v", began, opened, first)
	}
	want := fmt.Sprintf(`{"state":"OPEN","failures":5,"until":%d,"at":%d}`, first.Until, first.Timestamp)
	if got := f.note("task.create"); got != want {
		t.Errorf("Redis shows %s, not %s", got, want)
	}
	if err := f.eventually("task.create", `{"text":"y"}`); err != nil {
		t.Fatal(err)
	}
	if time.Now().UnixMilli() < first.Until {
		t.Error("it closed before its time")
	}
	swept()
	types, told = f.circuitEvents()
	if len(types) != 2 || types[1] != "circuit.closed" || told[1].Until != first.Until || told[1].Failures != 5 {
		t.Errorf("the log tells %v %+v", types, told)
	}
	if got := f.note("task.create"); !strings.HasPrefix(got, `{"state":"CLOSED",`) {
		t.Errorf("Redis shows %s", got)
	}
	f.verify()
}

// A report whose reply was lost is made again, and tells nothing twice; behind a flush's fence it is refused.
func TestCircuitIsReportedOnce(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		change := circuitChange{circuitOpen, 5, time.Now().UnixMilli() + 30_000, time.Now().UnixMilli()}
		list := f.methods["task.list"].circuit
		for range 2 {
			list.note(change)
			if err := f.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if types, _ := f.circuitEvents(); len(types) != 1 {
			t.Errorf("the log tells %v", types)
		}
		old := circuitChange{circuitOpen, 5, 1000, 1000}
		list.note(old)
		if err := errors.Join(f.Sweep(t.Context()), f.beside().Sweep(t.Context())); err != nil {
			t.Fatal(err)
		}
		other := f.beside()
		other.methods["task.list"].circuit.note(change)
		if err := other.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all := f.client.HGetAll(t.Context(), f.keys.Prefix()+"circuit:task.list").Val(); len(all) != 1 || all[other.name] == "" {
			t.Errorf("a note of long ago is still there: %v", all)
		}
		seq := f.seq()
		f.put([]any{"HSET", f.keys.Log(), "fence", "f"})
		list.note(change)
		if err := f.reportCircuits(t.Context()); !flushUnderWay(err) || f.seq() != seq {
			t.Errorf("behind the fence: %v", err)
		}
		f.put([]any{"HDEL", f.keys.Log(), "fence"})
		if err := f.Sweep(t.Context()); err != nil || f.seq() != seq+1 {
			t.Errorf("after the flush: %v", err)
		}
	})
}

// Of many changes that nobody could be told, the last are.
func TestUnreportedChangesAreBounded(t *testing.T) {
	t.Parallel()
	c := &circuit{}
	for n := range 100 {
		c.note(circuitChange{state: circuitOpen, failures: 2 * n})
		c.note(circuitChange{state: circuitOpen, failures: 2*n + 1})
		c.note(circuitChange{state: circuitClosed, failures: 2*n + 1})
	}
	if len(c.changes) != maxUnreported || c.changes[0].state != circuitOpen || c.changes[0].failures != 2*96+1 ||
		c.changes[maxUnreported-1] != (circuitChange{state: circuitClosed, failures: 199}) {
		t.Errorf("left are %+v", c.changes)
	}
}
