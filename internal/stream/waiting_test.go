package stream

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/logtest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// sleeper is a subscriber in the middle of Next.
type sleeper struct {
	*subscriber
	idle  chan time.Time
	steps chan Step
}

func (s *sleeper) sleep() {
	go func() {
		ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
		defer cancel()
		step, err := s.Next(ctx, s.idle)
		if err != nil {
			s.t.Error(err)
		}
		s.steps <- step
	}()
}

// woken returns the seqs of the step that ends a sleep, and the position after it.
func (s *sleeper) woken() string {
	s.t.Helper()
	select {
	case step := <-s.steps:
		var got []string
		for _, p := range step.Parts {
			for _, e := range p.Entries {
				got = append(got, fmt.Sprint(e.ID.Seq))
			}
		}
		return fmt.Sprint(got, " at ", step.Position.Seq)
	case <-time.After(patience):
		s.t.Fatal("the subscriber was not woken")
		return ""
	}
}

// groups returns the groups of a chain when all subscribers wait.
func groups(t *testing.T, c *chain, members int) (all []*group) {
	t.Helper()
	testenv.Eventually(t, patience, func() (bool, string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		n := 0
		all = nil
		for _, at := range c.waiting {
			for _, g := range at {
				all, n = append(all, g), n+g.members
			}
		}
		return n == members, fmt.Sprint(n, " wait")
	})
	return all
}

// Events wake only those who asked for them. The others move on with the log all the same: they are
// found in the chain when there is something for them, although the chain has forgotten where they
// began to wait.
func TestEventsWakeOnlyWhoAskedForThem(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	h := newHub(t, l, func(o *Options) { o.maxEntries = 20 })
	all := subscribe(t, h, "*", nil)
	sleepers := map[string]*sleeper{}
	for name, change := range map[string]func(*Query){
		"failed":       func(q *Query) { q.Filter, _ = events.ParseFilter("instance.failed,system.*") },
		"failed too":   func(q *Query) { q.Filter, _ = events.ParseFilter("system.*, instance.failed") },
		"task":         func(q *Query) { q.Task = "t-9" },
		"instance":     func(q *Query) { q.Instance = "i-9" },
		"both":         func(q *Query) { q.Task, q.Instance = "t-9", "i-9" },
		"type of task": func(q *Query) { q.Filter, _ = events.ParseFilter("task.deleted"); q.Task = "t-1" },
	} {
		s := &sleeper{subscriber: subscribe(t, h, "*", nil), idle: make(chan time.Time), steps: make(chan Step, 1)}
		change(&s.query)
		s.query.text = s.query.key()
		s.sleep()
		sleepers[name] = s
	}
	chain := all.tail.chain
	before := groups(t, chain, 6)
	if len(before) != 5 {
		t.Errorf("%d groups, want 5: equal queries share one", len(before))
	}
	for n := range 30 {
		l.Add(created, `{"id":"t-1"}`, 3)
		all.wants(seqs(3*n+1, 3*n+3)...)
	}
	for _, g := range groups(t, chain, 6) {
		if !slices.Contains(before, g) {
			t.Errorf("%+v was woken for nothing", *g.query)
		}
	}

	sleepers["failed"].idle <- time.Now()
	if got := sleepers["failed"].woken(); got != "[] at 90" {
		t.Errorf("silence: %s", got)
	}
	sleepers["failed"].sleep()
	groups(t, chain, 6)
	l.Add(created, `{"id":"t-9"}`, 1)
	if got := sleepers["task"].woken(); got != "[91] at 91" {
		t.Errorf("the task: %s", got)
	}
	sleepers["task"].sleep()
	groups(t, chain, 6)
	l.Add(events.TypeInstanceFailed, `{"id":"i-9"}`, 1)
	for _, name := range []string{"failed", "failed too", "instance"} {
		if got := sleepers[name].woken(); got != "[92] at 92" {
			t.Errorf("%s: %s", name, got)
		}
		if sleepers[name].node == nil {
			t.Errorf("%s had to read from Redis", name)
		}
	}
	groups(t, chain, 3)
	// A gap wakes all, and a group that nobody is in is forgotten.
	l.Skip(2)
	l.Add(created, `{"id":"t-2"}`, 1)
	for _, name := range []string{"task", "both", "type of task"} {
		if step := <-sleepers[name].steps; len(step.Parts) != 1 || step.Parts[0].Gap == nil {
			t.Errorf("%s: %+v", name, step)
		}
	}
	if left := groups(t, chain, 0); len(left) > 0 || len(chain.waiting) > 0 {
		t.Errorf("left: %v", left)
	}
}
