package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// claims claims tasks and starts their handlers until ctx ends, the limit is reached, or the
// coordinator rejects the worker for good.
func (r *run) claims(ctx context.Context) error {
	for taken := 0; r.Limit == 0 || taken < r.Limit; {
		n := r.room(ctx, taken)
		if n == 0 {
			return nil
		}
		ended := r.nextEnd()
		tasks, err := r.claim(ctx, n)
		for range n - len(tasks) {
			r.free <- struct{}{}
		}
		for _, t := range tasks {
			r.start(t)
		}
		taken += len(tasks)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the worker ends as it was told
		case err != nil:
			return fmt.Errorf("claim tasks for the worker %s: %w", r.ID, err)
		case len(tasks) == 0 && r.UntilEmpty:
			if r.idle(ended) {
				return nil
			}
			// A handler that has ended may have made a task claimable, so look again then.
			select {
			case <-ended:
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// room waits until a handler may start, and returns how many may start now. It returns 0 when ctx has
// ended.
func (r *run) room(ctx context.Context, taken int) int {
	select {
	case <-r.free:
	case <-ctx.Done():
		return 0
	}
	n := 1
	for r.Limit == 0 || taken+n < r.Limit {
		select {
		case <-r.free:
			n++
			continue
		default:
		}
		break
	}
	return n
}

// nextEnd returns a channel that is closed when the next handler ends.
func (r *run) nextEnd() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// idle reports whether no handler runs, and none has ended since ended was the next end.
func (r *run) idle(ended <-chan struct{}) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.free) < r.Concurrency {
		return false
	}
	select {
	case <-ended:
		return false
	default:
		return true
	}
}

// pollPause is the minimum time between two claims that find nothing.
const pollPause = 500 * time.Millisecond

// claim claims up to n tasks. It repeats a call whose answer was lost with the same key, so that no
// task is claimed and then forgotten.
func (r *run) claim(ctx context.Context, n int) ([]*Task, error) {
	p := ClaimTaskParams{WorkerID: ID(r.ID), IdempotencyKey: rand.Text()}
	if n > 1 {
		p.MaxTasks = &n
	}
	if !r.UntilEmpty {
		p.WaitMs = new(int(r.Wait.Milliseconds()))
	}
	var result *ClaimTaskResult
	tries, began := 0, time.Now()
	err := r.persist(ctx, "claim", func() error {
		tries++
		return r.registered(ctx, func() (err error) {
			result, err = r.client.ClaimTask(ctx, p)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	if !result.Claimed {
		// A coordinator that stops answers its waiting claims at once.
		if pause := pollPause - time.Since(began); pause > 0 && !r.UntilEmpty {
			sleep(ctx, pause)
		}
		return nil, nil
	}
	if tries > 1 {
		r.lookNow() // it may be the answer to an earlier try, and the tasks may be lost since
	}
	if len(result.Tasks) == 0 {
		return []*Task{result.Task}, nil
	}
	tasks := make([]*Task, len(result.Tasks))
	for i := range result.Tasks {
		tasks[i] = &result.Tasks[i]
	}
	return tasks, nil
}

// start starts the handler of a task.
func (r *run) start(t *Task) {
	l := &lease{Task: t, run: r}
	ctx, cancel := context.WithCancelCause(context.WithValue(r.alive, leaseKey{}, l))
	l.cancel = cancel
	r.mu.Lock()
	r.held[l] = struct{}{}
	r.mu.Unlock()
	r.working.Go(func() {
		defer r.end()
		defer cancel(nil)
		result, err := r.do(ctx, l)
		why := context.Cause(ctx)
		if errors.Is(why, ErrStopped) {
			r.notReported(l, why)
			return // leave gives the task back
		}
		r.mu.Lock()
		delete(r.held, l)
		r.mu.Unlock()
		switch {
		case errors.Is(why, ErrLeaseLost):
			r.notReported(l, why)
		case errors.Is(why, ErrCancelled) && (err != nil || result == nil):
			r.reportCancelled(t)
		case err != nil && errors.Is(why, ErrShutdown):
			r.Logger.InfoContext(ctx, "a task is given back", "task", t.ID, "attempt", t.Attempt, "reason", why)
			r.giveBack(r.alive, l)
		case errors.Is(err, ErrGiveBack):
			r.giveBack(r.alive, l)
		default:
			r.report(t, result, err)
		}
	})
}

func (r *run) notReported(l *lease, why error) {
	r.Logger.Warn("the result of a task is not reported", "task", l.ID, "attempt", l.Attempt, "reason", why)
}

// end makes room for another handler. Both happen under the lock, so that whoever sees a handler as
// running also gets its end.
func (r *run) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.ended)
	r.ended = make(chan struct{})
	r.free <- struct{}{}
}

// do runs the handler. A panic is an error.
func (r *run) do(ctx context.Context, l *lease) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.Logger.ErrorContext(ctx, "the handler panicked", "task", l.ID, "panic", p, "stack", string(debug.Stack()))
			result, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	return r.handle(ctx, l.Task)
}

// heartbeats keeps the instance registered, and looks whether its tasks are still its own, until ctx
// ends.
func (r *run) heartbeats(ctx context.Context) {
	interval := min(r.TTL/beatsPerTTL, maxBeat)
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-r.look:
		case <-timer.C:
		}
		next := interval
		if err := r.beat(ctx, interval); err != nil && ctx.Err() == nil {
			if !failing {
				r.Logger.WarnContext(ctx, "a heartbeat failed; the worker repeats it", "instance", r.ID, "error", err)
			}
			failing, next = true, max(RetryAfter(err), min(interval, maxPause))
		} else {
			failing = false
		}
		timer.Reset(next)
	}
}

// lookNow makes the next heartbeat come now.
func (r *run) lookNow() {
	select {
	case r.look <- struct{}{}:
	default:
	}
}
