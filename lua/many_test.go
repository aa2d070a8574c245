package lua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/claudebench/claudebench/internal/testenv"
)

func numbered(n int) [][]any {
	calls := make([][]any, n)
	for i := range calls {
		calls[i] = []any{fmt.Sprint(i)}
	}
	return calls
}

// Each call of RunMany has its own reply, also of more calls than one round trip sends.
func TestRunManyGivesEachCallItsReply(t *testing.T) {
	t.Parallel()
	c, key := shared(t), testenv.Namespace(t)
	const calls = 3*maxBatch + 1
	for i, reply := range NewRunner(c).RunMany(within(t, patience), counts(), []string{key}, numbered(calls)) {
		if reply.Err != nil || reply.Value != fmt.Sprint(i) {
			t.Fatalf("call %d: %v, %v", i, reply.Value, reply.Err)
		}
	}
	if n := counter(t, c, key); n != calls {
		t.Errorf("ran %d times", n)
	}
}

// The calls run in their order, also while others send calls of the same script.
func TestRunManyKeepsTheOrder(t *testing.T) {
	t.Parallel()
	c, key := shared(t), testenv.Namespace(t)
	r := NewRunner(c)
	appends := newScript("append", "redis.call('RPUSH', KEYS[1], ARGV[1])\n")
	appends.Args = []string{"value"}
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 20 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := r.Run(within(t, patience), appends, []string{key}, "other"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	const calls = 10*maxBatch + 7
	for i, reply := range r.RunMany(within(t, patience), appends, []string{key}, numbered(calls)) {
		if reply.Err != nil {
			t.Fatalf("call %d: %v", i, reply.Err)
		}
	}
	close(stop)
	others.Wait()
	values, err := c.LRange(within(t, patience), key, 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	values = slices.DeleteFunc(values, func(v string) bool { return v == "other" })
	for i, v := range values {
		if v != fmt.Sprint(i) {
			t.Fatalf("call %s ran as number %d", v, i)
		}
	}
}

// Lost replies leave the outcome of the calls in that round trip unknown, and none is sent again.
func TestRunManyRepliesLost(t *testing.T) {
	t.Parallel()
	server := testenv.Redis(t)
	p := newProxy(t, server.Addr())
	c, direct, key := clientTo(t, p.Addr().String(), server.Password()), shared(t), testenv.Namespace(t)
	r := NewRunner(c)
	if _, err := r.Run(within(t, patience), counts(), []string{key}, 1); err != nil {
		t.Fatal(err)
	}
	p.swallow.Store(true)
	const calls = 50
	for i, reply := range r.RunMany(within(t, patience), counts(), []string{key}, numbered(calls)) {
		if !errors.Is(reply.Err, ErrOutcomeUnknown) {
			t.Errorf("call %d: %v", i, reply.Err)
		}
	}
	p.swallow.Store(false)
	if n := counter(t, direct, key); n != 1+calls {
		t.Errorf("ran %d times, want %d", n, 1+calls)
	}
}

// When the context ends, what was not sent has not run, and the error says so.
func TestRunManyWithAnEndedContext(t *testing.T) {
	t.Parallel()
	c, key := shared(t), testenv.Namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i, reply := range NewRunner(c).RunMany(ctx, counts(), []string{key}, numbered(2*maxBatch)) {
		if !errors.Is(reply.Err, ErrUnavailable) || !errors.Is(reply.Err, context.Canceled) {
			t.Fatalf("call %d: %v", i, reply.Err)
		}
	}
	if n := counter(t, c, key); n != 0 {
		t.Errorf("ran %d times", n)
	}
}
