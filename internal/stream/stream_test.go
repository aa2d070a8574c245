package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/logtest"
	"github.com/claudebench/claudebench/internal/testenv"
)

var quiet = slog.New(slog.DiscardHandler)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func newHub(t *testing.T, l *logtest.Log, change func(*Options)) *Hub {
	t.Helper()
	o := Options{Client: l.Client, Namespace: l.Namespace, Logger: quiet}
	if change != nil {
		change(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// subscriber is a subscription of a test, and what it got.
type subscriber struct {
	*Subscription
	t   *testing.T
	got []string
}

func subscribe(t *testing.T, h *Hub, types string, after *events.ID) *subscriber {
	t.Helper()
	c, err := h.Connect(SSE, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	filter, err := events.ParseFilter(types)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Subscribe(t.Context(), Query{Filter: filter, After: after})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); c.Close() })
	return &subscriber{Subscription: s, t: t}
}

// next notes what the next step has.
func (s *subscriber) next() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	step, err := s.Next(ctx, nil)
	if err != nil {
		s.t.Fatalf("after %v: %v", s.got, err)
	}
	for _, p := range step.Parts {
		if p.Gap != nil {
			s.got = append(s.got, fmt.Sprintf("%s %d-%d", p.Gap.Reason, p.Gap.From, p.Gap.To))
		}
		for _, e := range p.Entries {
			s.got = append(s.got, fmt.Sprint(e.ID.Seq))
		}
	}
}

// wants reads until the subscriber has got as much as is wanted.
func (s *subscriber) wants(want ...string) {
	s.t.Helper()
	for len(s.got) < len(want) {
		s.next()
	}
	if !slices.Equal(s.got, want) {
		s.t.Fatalf("got %v, want %v", s.got, want)
	}
	s.got = nil
}

// seqs returns the seqs from one to another.
func seqs(from, to int) []string {
	var list []string
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprint(i))
	}
	return list
}

const created = events.TypeTaskCreated

func TestWhereAStreamStarts(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	h := newHub(t, l, nil)
	empty := subscribe(t, h, "*", nil)
	all := subscribe(t, h, "*", &events.ID{})
	ids := l.Add(created, `{"id":"t-1"}`, 40)
	empty.wants(seqs(1, 40)...)
	all.wants(seqs(1, 40)...)
	late := subscribe(t, h, "*", nil)
	middle := subscribe(t, h, "*", &ids[9])
	start := subscribe(t, h, "*", &events.ID{})
	other := newHub(t, l, nil) // whose chain has none of these events
	elsewhere := subscribe(t, other, "*", &ids[9])
	l.Add(created, `{"id":"t-2"}`, 5)
	empty.wants(seqs(41, 45)...)
	late.wants(seqs(41, 45)...)
	middle.wants(seqs(11, 45)...)
	elsewhere.wants(seqs(11, 45)...)
	start.wants(seqs(1, 45)...)
	if late.Position().Seq != 45 || start.Position().Seq != 45 {
		t.Errorf("positions %s and %s", late.Position(), start.Position())
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	h := newHub(t, l, nil)
	open := func(q Query) *subscriber {
		c, _ := h.Connect(WebSocket, nil, nil)
		s, err := c.Subscribe(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close(); c.Close() })
		return &subscriber{Subscription: s, t: t}
	}
	all, _ := events.ParseFilter("*")
	claims, _ := events.ParseFilter("task.claimed,leader.*")
	for _, after := range []*events.ID{nil, {}} { // from the chain, and from Redis
		task, instance, both, types := open(Query{Filter: all, Task: "t-1", After: after}), open(Query{Filter: all, Instance: "w", After: after}),
			open(Query{Filter: claims, Task: "t-1", Instance: "w", After: after}), open(Query{Filter: claims, After: after})
		none := open(Query{Filter: claims, Task: "t-9", After: after})
		if after == nil {
			l.Add(created, `{"id":"t-1"}`, 1)
			l.Add(created, `{"id":"t-2"}`, 1)
			l.Add(events.TypeTaskClaimed, `{"taskId":"t-1","workerId":"w"}`, 1)
			l.Add(events.TypeTaskClaimed, `{"taskId":"t-2","workerId":"w"}`, 1)
			l.Add(events.TypeTaskClaimed, `{"taskId":"t-1","workerId":"v","previousAssignment":"w"}`, 1)
			l.Add(events.TypeLeaderElected, `{"id":"w","previous":"v"}`, 1)
			l.Add(events.TypeTaskCompleted, `{"id":"t-1","workerId":"w"}`, 1)
		}
		task.wants("1", "3", "5", "7")
		instance.wants("3", "4", "5", "6", "7")
		both.wants("3", "5")
		types.wants("3", "4", "5", "6")
		// Without an event, the position moves on.
		testenv.Eventually(t, patience, func() (bool, string) {
			idle := make(chan time.Time, 1)
			idle <- time.Time{}
			step, err := none.Next(t.Context(), idle)
			return err == nil && step.Position.Seq == 7, fmt.Sprintf("%+v, %v", step, err)
		})
	}
}

// A subscriber that does not keep up with the chain reads from Redis, and comes back to the chain
// without a loss.
func TestSlowSubscriberFallsBackToRedis(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	h := newHub(t, l, func(o *Options) { o.maxEntries = 20 })
	quick, slow := subscribe(t, h, "*", nil), subscribe(t, h, "*", nil)
	next := 1
	for range 10 {
		for range 30 {
			l.Add(created, `{"id":"t"}`, 3)
			quick.wants(seqs(next, next+2)...)
			next += 3
		}
		if n := len(quick.tail.chain.window); n > 21 {
			t.Fatalf("the chain has %d nodes", n)
		}
		slow.wants(seqs(next-90, next-1)...)
		if slow.node == nil {
			slow.join(true)
		}
		if slow.node == nil {
			t.Fatal("it is not back in the chain")
		}
	}
}

// Who was live and falls too far behind is told where to resume. Who reads old events is not ended.
func TestTooSlow(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	h := newHub(t, l, func(o *Options) { o.maxEntries, o.maxBehind = 20, 50 })
	quick, slow, old := subscribe(t, h, "*", nil), subscribe(t, h, "*", nil), subscribe(t, h, "*", &events.ID{})
	old.Subscription.node, old.live = nil, false // as if its events were long gone from the chain
	for n := 1; n <= 100; n += 5 {
		l.Add(created, `{"id":"t"}`, 5)
		quick.wants(seqs(n, n+4)...)
	}
	old.wants(seqs(1, 100)...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := slow.Next(ctx, nil)
	var end *EndError
	if !errors.As(err, &end) || end.Cause != Slow || !end.After.IsZero() {
		t.Fatalf("got %v", err)
	}
	if n := h.Counts().Ended["slow"]; n != 1 {
		t.Errorf("%d streams are counted as slow", n)
	}
}

func TestChainIsBounded(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	h := newHub(t, l, func(o *Options) { o.maxBytes = 200_000 })
	s, stalled := subscribe(t, h, "*", nil), subscribe(t, h, "*", nil)
	l.Add(created, `{"id":"t"}`, 1)
	s.wants("1")
	stalled.wants("1")
	text := fmt.Sprintf(`{"id":"t","text":"%s"}`, strings.Repeat("x", 10_000))
	for n := 2; n < 102; n++ {
		l.Add(created, text, 1)
		s.wants(fmt.Sprint(n))
		if c := s.tail.chain; c.bytes > 200_000 || len(c.window) > 11 {
			t.Fatalf("the chain has %d bytes in %d nodes", c.bytes, len(c.window))
		}
	}
	if n := stalled.node; !n.evicted.Load() || n.next.Load() != nil {
		t.Error("a stalled subscriber holds on to the chain")
	}
	stalled.wants(seqs(2, 101)...)
}

// The tail reads the log only while there are subscriptions, and once for all of them.
func TestOneTail(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	l := logtest.On(t, testenv.ClientOf(t, server))
	l.Add(created, `{"id":"t"}`, 1)
	h := newHub(t, l, nil)
	var all []*subscriber
	for range 200 {
		all = append(all, subscribe(t, h, "*", nil))
	}
	for n := 2; n <= 21; n++ {
		l.Add(created, `{"id":"t"}`, 1)
		for _, s := range all {
			s.wants(fmt.Sprint(n))
		}
	}
	stats, err := l.Client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	var reads int
	_, line, _ := strings.Cut(stats, "cmdstat_xrange:calls=")
	_, _ = fmt.Sscanf(line, "%d", &reads)
	if reads < 20 || reads > 60 {
		t.Errorf("%d reads of the log for 20 events and 200 subscribers", reads)
	}
	if n := h.Counts().Subscribers["sse"]; n != 200 {
		t.Errorf("%d subscribers are counted", n)
	}
}

func TestRedisIsAway(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
	l := logtest.On(t, testenv.ClientOf(t, server))
	h := newHub(t, l, nil)
	live := subscribe(t, h, "*", nil)
	old := subscribe(t, h, "*", nil)
	old.Subscription.node = nil // as if it had fallen out of the chain
	l.Add(created, `{"id":"t"}`, 3)
	live.wants("1", "2", "3")
	for round := range 2 {
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		c, _ := h.Connect(SSE, nil, nil)
		if _, err := c.Subscribe(t.Context(), Query{}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a new subscription: %v", err)
		}
		c.Close()
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if round == 1 {
			l.Add(created, `{"id":"t"}`, 2)
			live.wants("4", "5")
		}
	}
	old.wants(seqs(1, 5)...)
}

// Stop ends streams that wait, and those that come later.
func TestStopAndTokens(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	h := newHub(t, l, nil)
	valid, interrupted := true, 0
	c, err := h.Connect(SSE, func() bool { return valid }, func() { interrupted++ })
	if err != nil {
		t.Fatal(err)
	}
	gone, err := c.Subscribe(t.Context(), Query{})
	if err != nil {
		t.Fatal(err)
	}
	stays := subscribe(t, h, "*", nil)
	h.Recheck()
	if c.Cause() != "" {
		t.Fatal("a valid token ends the stream")
	}
	valid = false
	h.Recheck()
	h.Recheck()
	var end *EndError
	if _, err := gone.Next(t.Context(), nil); !errors.As(err, &end) || end.Cause != Token || interrupted != 1 {
		t.Errorf("got %v, interrupted %d times", err, interrupted)
	}
	gone.Close()
	c.Close()
	if c, err = h.Connect(SSE, func() bool { return false }, nil); err != nil || c.Cause() != Token {
		t.Errorf("an invalid token: %v", err)
	}
	c.Close()

	ended := make(chan error)
	go func() {
		_, err := stays.Next(t.Context(), nil)
		ended <- err
	}()
	h.Stop()
	if err := <-ended; !errors.As(err, &end) || end.Cause != Stopping {
		t.Errorf("got %v", err)
	}
	if _, err := h.Connect(SSE, nil, nil); !errors.Is(err, ErrStopping) {
		t.Errorf("a later client: %v", err)
	}
	if n := h.Counts().Ended; n["token"] != 2 || n["stopping"] != 1 || n["slow"] != 0 {
		t.Errorf("counted %v", n)
	}
}
