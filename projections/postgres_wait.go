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
	applied events.ID     // the last event that this process applied itself
	changed chan struct{} // closed when applied moves; nil if there is no waiter
	waiting int           // calls of WaitFor
}

// wanted reports whether somebody waits for the view.
func (w *waiters) wanted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting > 0
}

func (w *waiters) wait(more int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting += more
}

// WaitFor waits for at most limit until the projection has applied an event. Another process or a crash of
// Postgres may still move it back. The At of a page says how far it is. The error is Postgres's or
// the context's.
func (s *postgresStore) WaitFor(ctx context.Context, event events.ID, limit time.Duration) error {
	s.wait(1)
	defer s.wait(-1)
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		applied, changed := s.progress()
		if applied.Covers(event) {
			return nil
		}
		checkpoint, err := s.Checkpoint(ctx)
		if err != nil {
			return err
		}
		if checkpoint.Covers(event) {
			return nil
		}
		poll := time.NewTimer(pollEvery)
		select {
		case <-changed:
		case <-poll.C:
		case <-deadline.C:
			poll.Stop()
			return nil
		case <-ctx.Done():
			poll.Stop()
			return ctx.Err()
		}
		poll.Stop()
	}
}

// progress returns what was applied here, and a channel that is closed when that changes.
func (w *waiters) progress() (events.ID, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.applied, w.changed
}

// reached tells the waiters that this process has applied an event.
func (w *waiters) reached(event events.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applied = event
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// back resets what was applied, because the projection starts again, or the view has moved back.
func (w *waiters) back() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applied = events.ID{}
}
