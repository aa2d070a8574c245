package projections

import (
	"context"
	"sync"
	"time"

	"github.com/claudebench/claudebench/events"
)

// pollEvery is how often a waiter looks at the checkpoint's row when another coordinator may be the
// one that applies: often enough for task.list to be prompt, and a question that costs little.
const pollEvery = 15 * time.Millisecond

// waiters tells those who wait for the view that this process has applied more of the log.
type waiters struct {
	mu      sync.Mutex
	applied int64         // the last seq that this process applied itself
	changed chan struct{} // closed when applied has moved; nil while nobody waits
}

// WaitFor waits until the view has applied seq, for limit at most, and returns whether it has, else
// the checkpoint where it stands. The error is Postgres's or the context's.
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

// progress is what was applied here, and a channel that is closed when that changes.
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

// back forgets what was applied: the projection starts again.
func (w *waiters) back() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applied = 0
}
