package trim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/internal/trim"
)

// run runs a loop until the test ends or stop is called.
func (f *fixture) run(p trim.Policy) (l *trim.Loop, stop func()) {
	f.t.Helper()
	l, err := trim.NewLoop(f.Client, f.space, p, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	f.t.Cleanup(stop)
	return l, stop
}

// Of two coordinators one trims, and says what holds back.
func TestOneTrims(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 5000)
	f.do("XGROUP", "CREATE", f.space.Events(), "g", f.ids[1999].String())
	policy := trim.Policy{Events: 1000}
	one, stop := f.run(policy)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		s := one.Status()
		return s.HeldBack == 2000, fmt.Sprintf("%+v", s)
	})
	f.near(2001)
	s := one.Status()
	if s.Removed < 2000-node || s.Err != nil || len(s.Holders) != 1 || s.Holders[0].Name != "events:g" {
		t.Errorf("%+v", s)
	}
	f.do("SET", f.space.Lease("trim"), "another", "PX", 600_000)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		s := one.Status()
		return s.HeldBack == 0 && len(s.Holders) == 0, fmt.Sprintf("%+v", s) // it is for the other to say
	})
	f.do("DEL", f.space.Lease("trim"))
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		return f.Client.Exists(t.Context(), f.space.Lease("trim")).Val() == 1, "nobody takes the lease"
	})
	stop()
	if n := f.Client.Exists(t.Context(), f.space.Lease("trim")).Val(); n != 0 {
		t.Error("the lease was not given back")
	}
	f.do("XGROUP", "DESTROY", f.space.Events(), "g")
	two, _ := f.run(policy)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		s := two.Status()
		return s.Removed > 1000, fmt.Sprintf("%+v", s)
	})
	f.near(4001)
	if none := (*trim.Loop)(nil).Status(); none.Removed != 0 {
		t.Errorf("a coordinator without a retention: %+v", none)
	}
}

// Without an archive the loop says so and keeps trying.
func TestALoopWithoutAnArchive(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3000)
	f.do("HDEL", f.space.Log(), "archive")
	l, _ := f.run(trim.Policy{Events: 1000})
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		s := l.Status()
		return errors.Is(s.Err, trim.ErrNoArchive), fmt.Sprintf("%+v", s)
	})
	f.do("HSET", f.space.Log(), "archive", "a")
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		s := l.Status()
		return s.Err == nil && s.Removed > 0, fmt.Sprintf("%+v", s)
	})
	f.near(2001)
}
