package lua

import (
	"context"
	"errors"
	"fmt"
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

// Each call of RunMany has its own reply, in order, also of more calls than wait at a time.
func TestRunManyGivesEachCallItsReply(t *testing.T) {
	t.Parallel()
	c, key := shared(t), testenv.Namespace(t)
	const calls = 3*manyAtOnce + 1
	for i, reply := range NewRunner(c).RunMany(within(t, patience), counts(), []string{key}, numbered(calls)) {
		if reply.Err != nil || reply.Value != fmt.Sprint(i) {
			t.Fatalf("call %d: %v, %v", i, reply.Value, reply.Err)
		}
	}
	if n := counter(t, c, key); n != calls {
		t.Errorf("ran %d times", n)
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
	for i, reply := range NewRunner(c).RunMany(ctx, counts(), []string{key}, numbered(2*manyAtOnce)) {
		if !errors.Is(reply.Err, ErrUnavailable) || !errors.Is(reply.Err, context.Canceled) {
			t.Fatalf("call %d: %v", i, reply.Err)
		}
	}
	if n := counter(t, c, key); n != 0 {
		t.Errorf("ran %d times", n)
	}
}
