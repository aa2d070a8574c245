package breaker_test

import (
	"context"
	"encoding/json"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/internal/testenv"
)

// outage is a task view that can be unavailable. It counts its callers.
type outage struct {
	taskview.View // nil: its other methods are not called
	away          atomic.Bool
	asked         atomic.Int64
	hangs         chan struct{} // if set, List waits for it or for the end of the call
}

func (o *outage) WaitFor(context.Context, events.ID, time.Duration) error { return nil }
func (o *outage) Checkpoint(context.Context) (string, error)              { return "", nil }
func (o *outage) List(ctx context.Context, _ api.TaskQuery) (taskview.Page, error) {
	o.asked.Add(1)
	if o.hangs != nil {
		select {
		case <-o.hangs:
		case <-ctx.Done():
			return taskview.Page{}, ctx.Err()
		}
	}
	if o.away.Load() {
		return taskview.Page{}, taskview.ErrUnavailable
	}
	return taskview.Page{At: events.ID{MS: math.MaxInt64, Seq: math.MaxInt64}}, nil
}

// broken returns a fleet whose task view is unavailable.
func broken(t *testing.T, open time.Duration) (*fleettest.Fleet, *outage) {
	t.Helper()
	view := &outage{}
	view.away.Store(true)
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{Tasks: view, BreakerOpen: open, RateLimits: map[string]int{"task.list": 10_000}})
	f.Unhurried()
	return f, view
}

// fails makes a call that must fail because of the infrastructure.
func fails(f *fleettest.Fleet, method, params, what string) {
	f.T.Helper()
	if result, err := f.Do(method, params); !fleettest.InternalError(err, what) {
		f.T.Fatalf("%s answered %s, %v; want %s", method, result, err, what)
	}
}

// openCircuit opens the circuit of task.list.
func openCircuit(f *fleettest.Fleet) {
	f.T.Helper()
	for range f.Method("task.list").Breaker.Failures {
		fails(f, "task.list", `{}`, api.PostgresUnavailable)
	}
	stands(f, "task.list", breaker.Open)
}

// stands checks the state of a circuit, also in system.metrics.
func stands(f *fleettest.Fleet, method, want string) {
	f.T.Helper()
	got := fleettest.Decoded[api.MetricsResult](f.T, f.OK("system.metrics", `{"detailed":true}`))
	if state := got.Handlers[method].CircuitState; state != want {
		f.T.Errorf("the circuit of %s is %s, not %s", method, state, want)
	}
	notClosed, closed := 1, len(f.Methods())-1
	if want == breaker.Closed {
		notClosed, closed = 0, len(f.Methods())
	}
	if c := got.CircuitBreaker; len(c.NotClosed) != notClosed || c.Closed != closed || notClosed == 1 && c.NotClosed[method] != want {
		f.T.Errorf("system.metrics tells of circuits: %+v", c)
	}
}

// eventually calls until the circuit lets a call pass, and returns the error of that call.
func eventually(f *fleettest.Fleet, method, params string) (failed error) {
	f.T.Helper()
	testenv.Eventually(f.T.(*testing.T), fleettest.Patience, func() (bool, string) { //nolint:forcetypeassert // no model test
		_, failed = f.Do(method, params)
		return !fleettest.InternalError(failed, api.CircuitBreakerOpen), "the circuit stays open"
	})
	return failed
}

func TestCircuitOpensAfterFailuresInARow(t *testing.T) {
	t.Parallel()
	f, view := broken(t, time.Hour)
	n := f.Method("task.list").Breaker.Failures
	for range n - 1 {
		fails(f, "task.list", `{}`, api.PostgresUnavailable)
	}
	view.away.Store(false)
	f.OK("task.list", `{}`) // ends the consecutive failures
	view.away.Store(true)
	for range n - 1 {
		fails(f, "task.list", `{}`, api.PostgresUnavailable)
	}
	stands(f, "task.list", breaker.Closed)
	fails(f, "task.list", `{}`, api.PostgresUnavailable)
	stands(f, "task.list", breaker.Open)

	asked, before := view.asked.Load(), counted(f)
	for range 20 {
		fails(f, "task.list", `{}`, api.CircuitBreakerOpen)
	}
	if view.asked.Load() != asked || counted(f) != before {
		t.Error("an open circuit let calls through")
	}
	// A caller's mistake still gets its own error, and other methods work.
	f.Refused(api.CodeInvalidParams, `"limit parameter must be an integer from 1 to 1000"`, "task.list", `{"limit":0}`)
	f.Get(f.Create("x", ""))
	got := fleettest.Decoded[api.MetricsResult](t, f.OK("system.metrics", `{"detailed":true}`))
	if got.CircuitBreaker.Rejected != 20 || got.Counters.ByOutcome["circuit_open"] != 20 {
		t.Errorf("%d calls were let not through", got.CircuitBreaker.Rejected)
	}
}

// counted returns the number of calls of task.list that the rate limit has counted.
func counted(f *fleettest.Fleet) int64 {
	f.T.Helper()
	n, err := f.Client.HGet(context.Background(), f.Keys.Prefix()+"ratelimit:task.list:192.0.2.1", "current").Int64()
	if err != nil {
		f.T.Fatalf("read the rate limit: %v", err)
	}
	return n
}

func TestCallersMistakesOpenNoCircuit(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.delete": 1}}, func(t *testing.T, f *fleettest.Fleet) {
		f.Create("x", "")
		f.OK("task.delete", `{"id":"t-1"}`)
		for range 30 {
			// Without Postgres, task.list cannot open a circuit.
			for method, params := range map[string]string{
				"task.get": `{"id":"t-99"}`, "task.create": `{"text":1}`, "task.claim": `{"workerId":"nobody"}`,
				"task.delete": `{"id":"t-2"}`, "task.list": `{}`,
			} {
				if _, err := f.Do(method, params); err == nil || fleettest.InternalError(err, api.CircuitBreakerOpen) {
					t.Fatalf("%s: %v", method, err)
				}
			}
		}
		stands(f, "task.get", breaker.Closed)
	})
}

// A rate-limited call does not reach Postgres. It neither interrupts consecutive failures nor
// passes the trial.
func TestRateLimitsAreNoSign(t *testing.T) {
	t.Parallel()
	f, view := broken(t, 50*time.Millisecond)
	tooSoon := func() {
		t.Helper()
		f.Method("task.list").Limit = 1
		if _, err := f.Do("task.list", `{}`); fleettest.Outcome(err) != api.OutcomeRateLimited {
			t.Fatal(err)
		}
		f.Method("task.list").Limit = 10_000
	}
	for range f.Method("task.list").Breaker.Failures - 1 {
		fails(f, "task.list", `{}`, api.PostgresUnavailable)
	}
	tooSoon()
	fails(f, "task.list", `{}`, api.PostgresUnavailable)
	if state := f.Method("task.list").Circuit.State(); state == breaker.Closed {
		t.Error("a rate limit ended a row of failures")
	}
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
		state := f.Method("task.list").Circuit.State()
		return state == breaker.HalfOpen, state
	})
	tooSoon()
	stands(f, "task.list", breaker.HalfOpen)
	view.away.Store(false)
	f.OK("task.list", `{}`)
	stands(f, "task.list", breaker.Closed)
}

// A call that its caller gave up says nothing about the infrastructure. A method's timeout does.
func TestCallsThatDidNotEnd(t *testing.T) {
	t.Parallel()
	view := &outage{hangs: make(chan struct{})}
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{Tasks: view, BreakerOpen: time.Hour})
	f.Unhurried()
	for n := range 20 {
		ctx, hangUp := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = f.Call(ctx, api.Request{Method: "task.list", Params: json.RawMessage(`{}`)})
		}()
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return view.asked.Load() == int64(n+1), "nobody asks the view" })
		hangUp()
		<-done
	}
	stands(f, "task.list", breaker.Closed)
	f.Method("task.list").Timeout = 100 * time.Millisecond
	openCircuit(f)
}

// The circuit stays open for its time although the service is back. Then the trial call closes it.
func TestCircuitClosesByATrial(t *testing.T) {
	t.Parallel()
	const open = 600 * time.Millisecond
	f, view := broken(t, open)
	began := time.Now()
	openCircuit(f)
	opened := time.Now()
	view.away.Store(false)
	if err := eventually(f, "task.list", `{}`); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < open {
		t.Errorf("it was open for %v", took)
	}
	if took := time.Since(opened); took > open+5*time.Second {
		t.Errorf("it was open for %v", took)
	}
	stands(f, "task.list", breaker.Closed)
}

func TestCircuitOpensAgainByATrial(t *testing.T) {
	t.Parallel()
	const open = 300 * time.Millisecond
	f, view := broken(t, open)
	openCircuit(f)
	if err := eventually(f, "task.list", `{}`); !fleettest.InternalError(err, api.PostgresUnavailable) {
		t.Fatalf("the trial answered %v", err)
	}
	reopened := time.Now()
	view.away.Store(false)
	// One failure reopened the circuit, for the whole time.
	if err := eventually(f, "task.list", `{}`); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(reopened); took < open-50*time.Millisecond {
		t.Errorf("it was open for %v the second time", took)
	}
}

// Of many concurrent calls, a half-open circuit lets one pass.
func TestOneTrialAtATime(t *testing.T) {
	t.Parallel()
	f, view := broken(t, 50*time.Millisecond)
	openCircuit(f)
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
		state := f.Method("task.list").Circuit.State()
		return state == breaker.HalfOpen, state
	})
	stands(f, "task.list", breaker.HalfOpen)
	view.away.Store(false)
	view.hangs = make(chan struct{})
	before := view.asked.Load()
	var through, rejected atomic.Int64
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() {
			_, err := f.Do("task.list", `{}`)
			switch {
			case err == nil:
				through.Add(1)
			case fleettest.InternalError(err, api.CircuitBreakerOpen):
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
	stands(f, "task.list", breaker.Closed)
}

// A caller that sends its request so slowly that the method's time is over does not open the
// circuit for others.
func TestSlowCallersOpenNoCircuit(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		slow := api.Request{Method: "task.create", Params: json.RawMessage(`{"text":"x"}`)}
		for range 3 * f.Method("task.create").Breaker.Failures {
			slow.Received = time.Now().Add(-f.Method("task.create").Timeout)
			if result, err := f.Call(t.Context(), slow); !fleettest.InternalError(err, api.RedisUnavailable) {
				t.Fatalf("answered %s, %v", result, err)
			}
		}
		stands(f, "task.create", breaker.Closed)
		if f.Seq() != 0 {
			t.Error("and yet it did something")
		}
	})
}
