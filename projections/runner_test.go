package projections_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/projections"
)

// start runs a bundle's projections until the test ends or stop is called.
func (b *bundle) start(t testing.TB, holder string) (r *projections.Runner, stop func()) {
	t.Helper()
	r, err := projections.NewRunner(projections.RunnerConfig{
		Client: b.client, Scripts: b.scripts, Keys: b.space, Projections: b.all, Holder: holder, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return r, stop
}

// many adds n tasks that are created, claimed and completed.
func many(h *history, n int) {
	for range n {
		h.create("some text of a usual length", 50, `{"source":"bench","line":17}`)
	}
	for _, id := range h.ids[len(h.ids)-n:] {
		h.claim(id, "w1")
	}
	h.now += 1000
	for _, id := range h.ids[len(h.ids)-n:] {
		h.finish(id, `{"ok":true}`, "")
	}
}

// status waits until check accepts a projection's status.
func status(t testing.TB, r *projections.Runner, name string, check func(projections.Status) bool) projections.Status {
	t.Helper()
	var found projections.Status
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		for _, s := range r.Status(t.Context()) {
			if s.Name == name && check(s) {
				found = s
				return true, ""
			}
		}
		return false, fmt.Sprintf("the status is %+v", r.Status(t.Context()))
	})
	return found
}

func TestRunnerFollowsTheLog(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	h, _, _, _ := day()
	b.publish(t, h.events...)
	r, stop := b.start(t, "one")
	b.caughtUp(t, h.seq)
	before := h.seq
	many(h, 50)
	b.publish(t, h.events[before:]...)
	b.caughtUp(t, h.seq)
	if diff := cmp.Diff(h.state(), b.state(t)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	for _, p := range b.all {
		s := status(t, r, p.Name(), func(s projections.Status) bool { return s.Applied == h.seq })
		if s.Lag != 0 || !s.Holder || s.Error != "" || s.Checkpoint.Seq != h.seq {
			t.Errorf("the status of a projection at the log's end is %+v", s)
		}
	}
	stop()
	for _, p := range b.all {
		if n := b.client.Exists(t.Context(), b.space.Lease(p.Name())).Val(); n != 0 {
			t.Errorf("the lease of %s was not given back", p.Name())
		}
	}
}

// Redis learns from the holder of the lease how far the projections in Postgres are, and keeps it.
func TestPositionsOutsideRedisAreNoted(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	h, _, _, _ := day()
	b.publish(t, h.events...)
	_, stop := b.start(t, "one")
	b.caughtUp(t, h.seq)
	noted := func() map[string]string { return b.client.HGetAll(t.Context(), b.space.Positions()).Val() }
	last := h.events[len(h.events)-1].ID.String()
	want := map[string]string{"tasks": last, "events": last}
	testenv.Eventually(t, 20*time.Second, func() (bool, string) { return maps.Equal(noted(), want), fmt.Sprint(noted()) })
	stop()
	if got := noted(); !maps.Equal(got, want) {
		t.Errorf("after the stop: %v", got)
	}
}

func TestRebuildGivesTheSame(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{true, false} {
		b := newBundle(t)
		h, _, _, _ := day()
		many(h, 1000)
		b.publish(t, h.events...)
		r, stop := b.start(t, "one")
		b.caughtUp(t, h.seq)
		if !running {
			stop()
		}
		before := b.views(t)
		for _, p := range b.all {
			if err := r.Rebuild(t.Context(), p.Name()); err != nil {
				t.Fatal(err)
			}
		}
		b.caughtUp(t, h.seq)
		if diff := cmp.Diff(before, b.views(t)); diff != "" {
			t.Errorf("rebuilt with the runner running %v (-before +after):\n%s", running, diff)
		}
	}
	b := newBundle(t)
	r, _ := b.start(t, "one")
	if err := r.Rebuild(t.Context(), "nothing"); err == nil {
		t.Error("a projection that is not there was rebuilt")
	}
}

// A reset by another process is noticed although the log is quiet.
func TestResetUnderAQuietRunner(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	h, _, _, _ := day()
	b.publish(t, h.events...)
	b.start(t, "one")
	b.caughtUp(t, h.seq)
	before := b.views(t)
	for _, p := range b.all {
		if err := p.Reset(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	b.caughtUp(t, h.seq)
	if diff := cmp.Diff(before, b.views(t)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestAnotherTakesOverWhenTheHolderDies(t *testing.T) {
	t.Parallel()
	database, namespace := testenv.Postgres(t), testenv.Namespace(t)
	opts, err := redis.ParseURL(testenv.Redis(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	doomed := redis.NewClient(opts)
	first := bundleOn(t, doomed, database, namespace)
	second := bundleOn(t, testenv.Client(t), database, namespace)
	h, _, _, _ := day()
	second.publish(t, h.events...)
	r1, stop := first.start(t, "first")
	for _, p := range first.all {
		status(t, r1, p.Name(), func(s projections.Status) bool { return s.Holder })
	}
	r2, _ := second.start(t, "second")
	second.caughtUp(t, h.seq)
	for _, s := range r2.Status(t.Context()) {
		if s.Holder || s.Applied != 0 {
			t.Errorf("two hold the lease of %s", s.Name)
		}
	}

	// Without its connection to Redis it can neither renew nor release the leases, as if the
	// process was killed.
	if err := doomed.Close(); err != nil {
		t.Fatal(err)
	}
	died := time.Now()
	before := h.seq
	many(h, 20)
	second.publish(t, h.events[before:]...)
	second.caughtUp(t, h.seq)
	if took := time.Since(died); took > 5*time.Second {
		t.Errorf("taken over after %s", took)
	}
	for _, p := range second.all {
		status(t, r2, p.Name(), func(s projections.Status) bool { return s.Holder && s.Lag == 0 })
	}
	stop()
	if diff := cmp.Diff(h.state(), second.state(t)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

// If two runners both believe that they hold the lease, each event counts once.
func TestTwoAtOnceCountOnce(t *testing.T) {
	t.Parallel()
	database, namespace := testenv.Postgres(t), testenv.Namespace(t)
	one := bundleOn(t, testenv.Client(t), database, namespace)
	two := bundleOn(t, testenv.Client(t), database, namespace)
	one.start(t, "the same")
	two.start(t, "the same")
	h := newHistory()
	h.register("w1", "worker")
	one.publish(t, h.events...)
	for range 20 {
		before := h.seq
		many(h, 100)
		one.publish(t, h.events[before:]...)
	}
	one.caughtUp(t, h.seq)
	if diff := cmp.Diff(h.state(), one.state(t)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(h.wantedRows(), one.plainRows(t)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	want(t, "global", one.metrics(t, "global"), map[string]string{"tasksCompleted": "2000", "eventsProcessed": fmt.Sprint(h.seq)})
}

func TestAFlushUnderTheRunner(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	h, _, _, _ := day()
	b.publish(t, h.events...)
	r, _ := b.start(t, "one")
	b.caughtUp(t, h.seq)
	for _, key := range b.keys(t, "*") {
		if key == b.space.State() || key == b.space.Log() {
			continue
		}
		if err := b.client.Del(t.Context(), key).Err(); err != nil {
			t.Fatal(err)
		}
	}
	before := h.seq
	h.flush(true)
	h.create("after", 50, "null")
	if err := b.client.HSet(t.Context(), b.space.Log(), "base", before+1).Err(); err != nil {
		t.Fatal(err)
	}
	b.publish(t, h.events[before:]...)
	b.caughtUp(t, h.seq)
	if diff := cmp.Diff(h.state(), b.state(t)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	want(t, "global", b.metrics(t, "global"), map[string]string{"eventsProcessed": "2", "tasksCreated": "1"})
	for _, s := range r.Status(t.Context()) {
		if s.Rebuilds != 0 {
			t.Errorf("%s took the flush for a loss", s.Name)
		}
	}
}

func TestAnEventThatCannotBeFoldedIsShown(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	h, _, _, _ := day()
	b.publish(t, h.events...)
	r, _ := b.start(t, "one")
	b.caughtUp(t, h.seq)
	at := h.events[h.seq-1].ID
	h.create("from the future", 50, "null")
	last := h.events[h.seq-1]
	last.V = 3
	b.publish(t, last)
	s := status(t, r, "tasks", func(s projections.Status) bool { return s.Error != "" })
	if s.Checkpoint != at || s.Lag != 1 || !strings.Contains(s.Error, "unknown event version 3") || s.FailingSince.IsZero() {
		t.Errorf("the status is %+v", s)
	}
}

func TestAGapIsShown(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	h, _, _, _ := day()
	b.publish(t, h.events...)
	r, _ := b.start(t, "one")
	b.caughtUp(t, h.seq)
	at := h.events[h.seq-1].ID
	h.create("lost", 50, "null")
	h.create("not lost", 50, "null")
	b.publish(t, h.events[h.seq-1])
	for _, p := range b.all {
		s := status(t, r, p.Name(), func(s projections.Status) bool { return s.Error != "" })
		if s.Checkpoint != at || !strings.Contains(s.Error, "gap in the log") {
			t.Errorf("the status is %+v", s)
		}
	}
}

// The embedded Redis, which `up` falls back to, runs the same scripts.
func TestOnTheEmbeddedRedis(t *testing.T) {
	t.Parallel()
	b := bundleOn(t, testenv.EmbeddedClient(t), testenv.Postgres(t), "")
	h, _, _, _ := day()
	many(h, 100)
	b.publish(t, h.events...)
	r, _ := b.start(t, "one")
	b.caughtUp(t, h.seq)
	before := b.views(t)
	for _, p := range b.all {
		if err := p.Apply(t.Context(), oneBatch(h.events)); !errors.Is(err, projections.ErrCheckpointMoved) {
			t.Errorf("%s says %v to a batch that it has, want ErrCheckpointMoved", p.Name(), err)
		}
		if err := r.Rebuild(t.Context(), p.Name()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, b.views(t)); diff != "" {
		t.Errorf("rebuilt (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(h.state(), b.state(t)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}
