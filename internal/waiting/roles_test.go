package waiting_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/internal/waiting"
)

// waits starts a call of a worker and returns when it waits. The channel gets the id of its task.
func (b *bench) waits(t *testing.T, h *waiting.Hub, worker, roles string) <-chan string {
	t.Helper()
	b.Register(worker, roles, `,"ttlMs":3600000`)
	before, claimed := h.Idle(), make(chan string, 1)
	go func() {
		id, err := b.claim(t.Context(), h, worker, time.Minute)
		if err != nil {
			id = err.Error()
		}
		claimed <- id
	}()
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return h.Idle() == before+1, "the call does not wait" })
	return claimed
}

func gets(t *testing.T, claimed <-chan string, want string) {
	t.Helper()
	select {
	case id := <-claimed:
		if id != want {
			t.Errorf("claimed %s, want %s", id, want)
		}
	case <-time.After(fleettest.Patience):
		t.Fatalf("nobody has claimed %s", want)
	}
}

func forRole(role string) string { return fmt.Sprintf(`,"metadata":{"roles":[%q]}`, role) }

func (b *bench) wakeups(t *testing.T) int64 {
	t.Helper()
	n, err := b.Client.XLen(t.Context(), b.Keys.Wakeups()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Tasks that no waiting worker may take cause no wake-ups, which each coordinator would read.
func TestOnlyAwaitedTasksAreAnnounced(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.hub(t)
	claimed := b.waits(t, h, "w", `["a","b"]`)
	before := b.wakeups(t)
	for range 3 {
		b.Create("x", forRole("c"))
		b.Create("x", `,"metadata":{"roles":["a","c"]}`)
	}
	if n := b.wakeups(t) - before; n != 0 {
		t.Errorf("%d wake-ups are written", n)
	}
	gets(t, claimed, b.Create("x", forRole("b")))
	gets(t, b.waits(t, h, "v", `["a","b"]`), b.Create("x", ""))
}

// The step that finds no task makes others write wake-ups, and not a later tick.
func TestATaskAfterAnAttemptIsAnnounced(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := &ticks{b.runner(t).On(b.Keys.Log()), make(chan chan struct{})}
	h := b.hubOn(t, s)
	go func() { close(<-s.held) }()
	b.waits(t, h, "other", `["other"]`)
	goOn := <-s.held
	defer close(goOn)
	for role := range 40 { // more than are stored one by one
		role := fmt.Sprint("r", role)
		claimed := b.waits(t, h, "w-"+role, fmt.Sprintf(`["worker",%q]`, role))
		gets(t, claimed, b.Create("x", forRole(role)))
	}
}

// However many different roles wait, their number in Redis is bounded.
func TestManyDifferentRolesWait(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.hub(t)
	const kinds = 40
	claimed := make([]<-chan string, kinds)
	for i := range claimed {
		claimed[i] = b.waits(t, h, fmt.Sprint("w", i), fmt.Sprintf(`["r%d"]`, i))
	}
	long := fmt.Sprintf("%0256d", 0)
	longs := b.waits(t, h, "long", fmt.Sprintf(`[%q]`, long))
	for i, one := range claimed {
		gets(t, one, b.Create("x", forRole(fmt.Sprint("r", i))))
	}
	gets(t, longs, b.Create("x", forRole(long)))
	if stored := b.Hash(b.Keys.Waiting()); len(stored) > 33 {
		t.Errorf("%d roles are stored", len(stored))
	}
}

// If Redis has lost which roles wait, the next tick writes them again, and the calls look for what was
// created meanwhile. Roles for which nobody waits any more are forgotten.
func TestRolesThatAreLost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.hub(t)
	claimed := b.waits(t, h, "w", `["a"]`)
	if err := b.Client.Del(context.Background(), b.Keys.Waiting()).Err(); err != nil {
		t.Fatal(err)
	}
	b.Put([]any{"HSET", b.Keys.Waiting(), `["gone"]`, time.Now().Add(-time.Second).UnixMilli()})
	gets(t, claimed, b.Create("x", forRole("a")))
	claimed = b.waits(t, h, "v", `["a"]`)
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
		stored := b.Hash(b.Keys.Waiting())
		return len(stored) == 1 && stored[`["a"]`] != "", fmt.Sprint(stored)
	})
	before := b.wakeups(t)
	id := b.Create("x", forRole("a"))
	gets(t, claimed, id)
	if n := b.wakeups(t) - before; n != 1 {
		t.Errorf("%d wake-ups are written", n)
	}
}
