package waiting_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/internal/waiting"
)

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
		_, err := h.Claim(t.Context(), worker, time.Now().Add(time.Minute), func(ctx context.Context) (waiting.Reply, error) {
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
	b := newBench(t)
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
			b := newBench(t)
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
	b := newBench(t)
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
	b := newBench(t)
	h := b.hub(t)
	idle(t, h, "first", rolesA)
	second := idle(t, h, "second", rolesAB)
	createFor(b, "b")
	second.attempt() <- found(rolesAB, `["b"]`)
	if err := <-second.ended; err != nil {
		t.Error(err)
	}
}
