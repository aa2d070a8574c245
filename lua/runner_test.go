package lua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// patience is how long a test waits for a condition.
const patience = 20 * time.Second

// anyArgs is a header for scripts that take any number of arguments.
const anyArgs = "-- KEYS[1] log\n-- ARGV[1…] values\n-- Returns any\n-- Errors  none\n-- Emits   nothing\n"

// script loads a script from a source without a header.
func script(source string) *Script {
	return mustLoad(fstest.MapFS{"test.lua": {Data: []byte(anyArgs + source)}})["test"]
}

// counts returns a script that increments the counter KEYS[1] and returns ARGV[1].
func counts() *Script { return script("redis.call('INCR', KEYS[1])\nreturn ARGV[1]\n") }

// clientTo returns a client like the server's, which retries nothing by itself.
func clientTo(t testing.TB, addr, password string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{
		Addr: addr, Password: password, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true, DialTimeout: time.Second,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func shared(t testing.TB) *redis.Client {
	t.Helper()
	r := testenv.Redis(t)
	return clientTo(t, r.Addr(), r.Password())
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func counter(t testing.TB, c *redis.Client, key string) int {
	t.Helper()
	n, err := c.Get(t.Context(), key).Int()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	return n
}

func TestRunGivesEachCallItsReply(t *testing.T) {
	t.Parallel()
	c, key := shared(t), testenv.Namespace(t)
	r, s := NewRunner(c), counts()
	const calls = 2000
	var g errgroup.Group
	for i := range calls {
		g.Go(func() error {
			want := fmt.Sprint(i)
			got, err := r.Run(within(t, patience), s, []string{key}, want)
			if err == nil && got != want {
				err = fmt.Errorf("call %s was given %v", want, got)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := counter(t, c, key); n != calls {
		t.Errorf("ran %d times", n)
	}
}

// trips reports the length of each pipeline, then holds the pipeline until commands is closed.
type trips struct{ pipelines, commands chan int }

func (*trips) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.pipelines <- len(cmds)
		<-h.commands
		return next(ctx, cmds)
	}
}

// Calls that are made while others are in flight share a round trip, up to maxBatch of them.
func TestRunCoalesces(t *testing.T) {
	t.Parallel()
	c, key := shared(t), testenv.Namespace(t)
	s := counts()
	r := NewRunner(c)
	if _, err := r.Run(within(t, patience), s, []string{key}, 0); err != nil { // loads the script, and ends the doubt
		t.Fatal(err)
	}
	hook := &trips{pipelines: make(chan int, 100), commands: make(chan int)}
	c.AddHook(hook)
	var g errgroup.Group
	run := func() error {
		_, err := r.Run(within(t, patience), s, []string{key}, "x")
		return err
	}
	g.Go(run)
	first := <-hook.pipelines
	g.Go(run)
	second := <-hook.pipelines // now maxInFlight round trips are in flight
	for range 200 {
		g.Go(run)
	}
	testenv.Eventually(t, patience, func() (bool, string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.waiting) == 200, fmt.Sprintf("%d are waiting", len(r.waiting))
	})
	close(hook.commands)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	rest := []int{<-hook.pipelines, <-hook.pipelines}
	slices.Sort(rest)
	if first != 1 || second != 1 || !slices.Equal(rest, []int{72, 128}) || len(hook.pipelines) != 0 {
		t.Errorf("round trips of %d, %d, %v calls", first, second, rest)
	}
}

// A script that Redis no longer knows is loaded again. Wherever in a pipeline Redis lost the
// script, a call that ran does not run again.
func TestRunAfterScriptFlush(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	c := clientTo(t, server.Addr(), server.Password())
	r, a, b := NewRunner(c), counts(), script("redis.call('INCR', KEYS[1])\nreturn 'b' .. ARGV[1]\n")
	const calls = 1000
	ctx, stop := context.WithCancel(t.Context())
	flushed := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := c.ScriptFlush(context.WithoutCancel(ctx)).Err(); err != nil {
				flushed <- err
				return
			}
		}
		flushed <- nil
	}()
	var g errgroup.Group
	for i := range calls {
		g.Go(func() error {
			s, want := a, fmt.Sprint(i)
			if i%2 == 0 {
				s, want = b, "b"+want
			}
			got, err := r.Run(within(t, patience), s, []string{"n"}, i)
			if err == nil && got != want {
				err = fmt.Errorf("call %s was given %v", want, got)
			}
			return err
		})
	}
	err := g.Wait()
	stop()
	if err := errors.Join(err, <-flushed); err != nil {
		t.Fatal(err)
	}
	if n := counter(t, c, "n"); n != calls {
		t.Errorf("ran %d times, want %d", n, calls)
	}
}

func TestRunTellsAScriptsErrors(t *testing.T) {
	t.Parallel()
	r, key := NewRunner(shared(t)), testenv.Namespace(t)
	_, err := r.Run(within(t, patience), script(`return redis.error_reply('CONFLICT {"reason":"X","more":"a b"}')`), []string{key})
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != "CONFLICT" || refused.Detail != `{"reason":"X","more":"a b"}` {
		t.Errorf("a script's error: %v", err)
	}
	for _, source := range []string{
		"return redis.call('INCR')", "this is no Lua", "return redis.error_reply('JUST words')", "error({err='x'})", "return nothing.at.all",
	} {
		_, err := r.Run(within(t, patience), script(source), []string{key})
		if err == nil || errors.As(err, &refused) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("%s: %v, want a fault of ours", source, err)
		}
	}
	if reply, err := r.Run(within(t, patience), script("return nil"), []string{key}); reply != nil || err != nil {
		t.Errorf("nothing: %v, %v", reply, err)
	}
	// A fault in one call does not affect the others of the same round trip.
	bad, good := script("return redis.call('INCR')"), counts()
	var g errgroup.Group
	for i := range 200 {
		g.Go(func() error {
			if i%2 == 0 {
				_, _ = r.Run(within(t, patience), bad, []string{key})
				return nil
			}
			_, err := r.Run(within(t, patience), good, []string{key}, 1)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestRunWithAnEndedContext(t *testing.T) {
	t.Parallel()
	c, key := shared(t), testenv.Namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := NewRunner(c).Run(ctx, counts(), []string{key}, 1)
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("answered %v", err)
	}
	if n := counter(t, c, key); n != 0 {
		t.Errorf("ran %d times", n)
	}
}

func TestRunNamesTheScript(t *testing.T) {
	t.Parallel()
	_, err := NewRunner(shared(t)).Run(within(t, patience), Named("get_task"), []string{"cb:{" + testenv.Namespace(t) + "}:log"}, "", "", 0, "t-1", 0)
	if err == nil || !strings.Contains(err.Error(), "get_task") {
		t.Errorf("answered %v", err)
	}
}
