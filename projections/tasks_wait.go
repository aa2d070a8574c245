package projections

import (
	"context"
	"sync"
	"time"

	"github.com/claudebench/claudebench/events"
)

// pollEvery is how often a waiter reads the checkpoint's row, because another coordinator may apply
// the events. It is short enough for a prompt task.list, and the query is cheap.
const pollEvery = 15 * time.Millisecond

// waiters wakes the callers of WaitFor when this process has applied more of the log.
type waiters struct {
	mu      sync.Mutex
	applied int64         // the last seq that this process applied itself
	changed chan struct{} // closed when applied moves; nil if there is no waiter
}

// WaitFor waits for at most limit until the view has applied seq. It reports whether it has, and
// returns the view's checkpoint if it has not. The error is Postgres's or the context's.
func (t *Tasks) WaitFor(ctx context.Context, seq int64, limit time.Duration) (reached bool, at events.ID, err error) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		applied, changed := t.progress()
		if applied >= seq {
			return true, events.ID{}, nil
		}
		checkpoint, err := t.Checkpoint(ctx)
		if err != nil {
			return false, events.ID{}, err
		}
		if checkpoint.Seq >= seq {
			return true, checkpoint, nil
		}
		poll := time.NewTimer(pollEvery)
		select {
		case <-changed:
		case <-poll.C:
		case <-deadline.C:
			poll.Stop()
			return false, checkpoint, nil
		case <-ctx.Done():
			poll.Stop()
			return false, checkpoint, ctx.Err()
		}
		poll.Stop()
	}
}

// progress returns what was applied here, and a channel that is closed when that changes.
func (w *waiters) progress() (int64, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.applied, w.changed
}

// reached tells the waiters that this process has applied seq.
func (w *waiters) reached(seq int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applied = seq
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// back resets what was applied, because the projection starts again.
func (w *waiters) back() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applied = 0
}
