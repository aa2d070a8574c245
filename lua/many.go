package lua

import (
	"context"
	"fmt"
)

// Reply is the outcome of one call of RunMany.
type Reply struct {
	Value any
	Err   error // as Runner.Run returns it
}

// RunMany runs a script once for each list of arguments, in order. Each call is atomic and has its
// own reply, as if it had been made by Run. Calls of other callers can run in between. Each of them
// waits for at most maxBatch of these calls.
func (r *Runner) RunMany(ctx context.Context, script *Script, keys []string, calls [][]any) []Reply {
	replies := make([]Reply, len(calls))
	for from := 0; from < len(calls); from += maxBatch {
		to := min(from+maxBatch, len(calls))
		r.runSome(ctx, script, keys, calls[from:to], replies[from:to])
	}
	return replies
}

// runSome runs at most maxBatch calls in one round trip, and repeats the retriable ones.
func (r *Runner) runSome(ctx context.Context, script *Script, keys []string, calls [][]any, replies []Reply) {
	attempts := newAttempts(ctx)
	left := make([]int, 0, len(calls)) // the calls to be sent, by index
	for i := range calls {
		if err := r.accepts(script, len(calls[i])); err != nil {
			replies[i].Err = err
			continue
		}
		left = append(left, i)
	}
	for len(left) > 0 {
		if err := ctx.Err(); err != nil {
			for _, i := range left {
				replies[i].Err = fmt.Errorf("run %s: %w: %w", script.Name, ErrUnavailable, err)
			}
			return
		}
		sent := make([]*pending, len(left))
		for n, i := range left {
			sent[n] = &pending{script: script, keys: keys, args: calls[i], joined: n > 0, done: make(chan struct{})}
		}
		r.enqueue(sent...)
		failed := left[:0]
		var last *error
		for n, c := range sent {
			i := left[n]
			replies[i].Value, replies[i].Err = r.await(ctx, c)
			if retriable(script, replies[i].Err) {
				failed, last = append(failed, i), &replies[i].Err
			}
		}
		if last == nil || !attempts.again(script, last) {
			return
		}
		left = failed
	}
}
