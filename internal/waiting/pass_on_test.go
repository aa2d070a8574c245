package waiting_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/internal/waiting"
	"github.com/claudebench/claudebench/lua"
)

// newScripted is newBench for calls whose attempts run no script, and so do not make others write
// wake-ups.
func newScripted(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.Put([]any{"HSET", b.Keys.Waiting(), "*", time.Now().Add(time.Hour).UnixMilli()})
	return b
}

// scripted is a call whose attempts the test answers.
type scripted struct {
	t        *testing.T
	attempts chan chan outcome
	ended    chan error
}

type outcome struct {
	reply waiting.Reply
	err   error
}

// call starts a call of a worker.
func call(t *testing.T, h *waiting.Hub, worker string) *scripted {
	t.Helper()
	s := &scripted{t, make(chan chan outcome), make(chan error, 1)}
	go func() {
		_, err := h.Claim(t.Context(), worker, time.Now().Add(time.Minute), false, func(ctx context.Context) (waiting.Reply, error) {
			answer := make(chan outcome)
			select {
			case s.attempts <- answer:
			case <-ctx.Done():
				return waiting.Reply{}, ctx.Err()
			}
			o := <-answer
			return o.reply, o.err
		})
		s.ended <- err
	}()
	return s
}

// attempt waits until the call attempts.
func (s *scripted) attempt() chan outcome {
	s.t.Helper()
	select {
	case answer := <-s.attempts:
		return answer
	case <-time.After(fleettest.Patience):
		s.t.Fatal("the call does not attempt")
		return nil
	}
}

func found(roles string, sets ...string) outcome {
	return outcome{reply: waiting.Reply{Roles: roles, TTL: time.Minute, Sets: sets, Final: len(sets) > 0}}
}

const (
	rolesA  = `["a"]`
	rolesAB = `["a","b"]`
)

// idle starts a call that has found nothing and waits.
func idle(t *testing.T, h *waiting.Hub, worker, roles string) *scripted {
	t.Helper()
	before := h.Idle()
	s := call(t, h, worker)
	s.attempt() <- found(roles)
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return h.Idle() == before+1, "the call does not wait" })
	return s
}

func createFor(b *bench, role string) {
	b.Create("x", `,"metadata":{"roles":["`+role+`"]}`)
}

// A task may be created after the script of an attempt has run and before its reply is there.
func TestAWakeupDuringAnAttempt(t *testing.T) {
	t.Parallel()
	b := newScripted(t)
	h := b.hub(t)
	s := call(t, h, "w")
	first := s.attempt()
	createFor(b, "a")
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return h.Pending() == 1, "the wake-up has not arrived" })
	first <- found(rolesA)
	s.attempt() <- found(rolesA, rolesA)
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
}

// A call passes its wake-up on if it does not claim that task.
func TestWakeupsArePassedOn(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]outcome{
		"it claims another task": found(rolesAB, `["b"]`),
		"it fails":               {err: errors.New("outcome unknown")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newScripted(t)
			h := b.hub(t)
			first := idle(t, h, "first", rolesAB)
			second := idle(t, h, "second", rolesA)
			createFor(b, "a")
			first.attempt() <- o
			second.attempt() <- found(rolesA, rolesA)
			if err := <-second.ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// A wake-up that arrived for an attempt goes to another call if that attempt claims a task: the task
// may be an earlier one.
func TestAPendingWakeupOutlivesAClaim(t *testing.T) {
	t.Parallel()
	b := newScripted(t)
	h := b.hub(t)
	first, second := call(t, h, "first"), call(t, h, "second")
	one, other := first.attempt(), second.attempt()
	createFor(b, "a")
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return h.Pending() == 1, "the wake-up has not arrived" })
	other <- found(rolesA)
	select {
	case answer := <-second.attempts: // it was second's, and goes to first
		answer <- found(rolesA, rolesA)
		one <- found(rolesA, rolesA)
	default:
		one <- found(rolesA, rolesA)
		second.attempt() <- found(rolesA, rolesA)
	}
	if err := errors.Join(<-first.ended, <-second.ended); err != nil {
		t.Error(err)
	}
}

// A task is for the workers that have its roles.
func TestOnlyWorkersWithTheRolesWake(t *testing.T) {
	t.Parallel()
	b := newScripted(t)
	h := b.hub(t)
	idle(t, h, "first", rolesA)
	second := idle(t, h, "second", rolesAB)
	createFor(b, "b")
	second.attempt() <- found(rolesAB, `["b"]`)
	if err := <-second.ended; err != nil {
		t.Error(err)
	}
}

// A worker may lose a role while it attempts. Its attempt then has not looked for the task.
func TestAWakeupOutlivesTheRolesOfAnAttempt(t *testing.T) {
	t.Parallel()
	b := newScripted(t)
	h := b.hub(t)
	first := idle(t, h, "first", rolesA)
	second := idle(t, h, "second", rolesA)
	createFor(b, "a")
	first.attempt() <- found(`["b"]`)
	second.attempt() <- found(rolesA, rolesA)
	if err := <-second.ended; err != nil {
		t.Error(err)
	}
}

// A call that is refused while Redis is away, or while the circuit breaker is open, waits on, and so
// do the calls behind it. The task is found once attempts pass again.
func TestRefusedAttemptsWaitOn(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{
		"Redis is away": lua.ErrUnavailable, "the circuit is open": api.Internal(api.CircuitBreakerOpen),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newScripted(t)
			h := b.hub(t)
			b.Register("first", rolesA, "")
			b.Register("second", rolesA, "")
			calls := []*scripted{idle(t, h, "first", rolesA), idle(t, h, "second", rolesA)}
			createFor(b, "a")
			for _, s := range calls { // at each tick another one, as long as they are refused
				s.attempt() <- outcome{err: refusal}
				testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return h.Idle() == 2, "the call does not wait" })
			}
			calls[0].attempt() <- found(rolesA, rolesA)
			if err := <-calls[0].ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// ticks is Scripts whose keep_waiting returns when the test lets it.
type ticks struct {
	lua.Scripts
	held chan chan struct{} // nil until the test holds ticks
}

func (s *ticks) Run(ctx context.Context, script *lua.Script, args ...any) (any, error) {
	reply, err := s.Scripts.Run(ctx, script, args...)
	if script.Name == "keep_waiting" && err == nil {
		goOn := make(chan struct{})
		select {
		case s.held <- goOn:
			<-goOn
		case <-ctx.Done():
		}
	}
	return reply, err
}

// A wake-up that arrives during a tick does not look like a Redis that has lost its latest writes,
// which would make all calls look for tasks.
func TestAWakeupDuringATickIsNoLoss(t *testing.T) {
	t.Parallel()
	b := newScripted(t)
	s := &ticks{b.runner(t).On(b.Keys.Log()), make(chan chan struct{})}
	h := b.hubOn(t, s)
	tick := func() chan struct{} {
		select {
		case goOn := <-s.held:
			return goOn
		case <-time.After(fleettest.Patience):
			t.Fatal("there is no tick")
			return nil
		}
	}
	go func() { close(<-s.held) }() // the first one, which the calls wait for
	waits := idle(t, h, "w", rolesA)
	idle(t, h, "other", `["c"]`)
	goOn := tick()
	createFor(b, "a")
	waits.attempt() <- found(rolesA)
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return h.Idle() == 2, "the call does not wait" })
	close(goOn)
	for range 2 {
		goOn := tick()
		if h.Idle() != 2 {
			t.Error("calls look for tasks")
		}
		close(goOn)
	}
	go func() { // until the end of the Hub
		for {
			select {
			case goOn := <-s.held:
				close(goOn)
			case <-t.Context().Done():
				return
			}
		}
	}()
}

// A call with an idempotency key attempts once more when its time is over. It then returns what
// another call with this key has claimed meanwhile.
func TestTheLastAttempt(t *testing.T) {
	t.Parallel()
	b := newScripted(t)
	h := b.hub(t)
	for _, last := range []bool{true, false} {
		attempts := 0
		reply, err := h.Claim(t.Context(), "w", time.Now().Add(200*time.Millisecond), last, func(context.Context) (waiting.Reply, error) {
			attempts++
			if attempts == 1 {
				return found(rolesA).reply, nil
			}
			return waiting.Reply{Final: true}, nil
		})
		if err != nil || reply.Final != last || attempts > 2 {
			t.Errorf("%t: %+v, %v after %d attempts", last, reply, err, attempts)
		}
	}
	if h.Waiting() != 0 {
		t.Errorf("%d calls wait", h.Waiting())
	}
}
