package projections

import (
	"context"
	"sync"
	"time"

	"github.com/claudebench/claudebench/events"
)

const (
	// batchesKept bounds the memory of a sharedReader: some megabytes.
	batchesKept = 4
	// batchesFresh is how long a batch is given again. What was read is what a reader of its own
	// would have read a moment ago; a log that was rolled back since shows at the next read.
	batchesFresh = time.Second
)

// sharedReader lets the projections of a coordinator read the log together: they follow it side by
// side, and each batch is fetched and decoded once. Batches are not changed by who gets them.
type sharedReader struct {
	reader events.BatchReader

	mu     sync.Mutex
	recent []reading // the newest last
}

// reading is a batch, or one that is being read until done is closed.
type reading struct {
	after events.ID
	done  chan struct{}
	*outcome
}

type outcome struct {
	batch events.Batch
	err   error
	at    time.Time // when it was read
}

// Read returns the batch behind an event, from who else reads it or has just read it.
func (s *sharedReader) Read(ctx context.Context, after events.ID) (events.Batch, error) {
	for {
		r, mine := s.join(after)
		if mine {
			r.batch, r.err = s.reader.Read(ctx, after)
			r.at = time.Now()
			if events.IsBroken(r.err) {
				s.forgetAll() // what was read before is of a log that is not there any more
			}
			close(r.done)
			return r.batch, r.err
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return events.Batch{}, ctx.Err()
		}
		if r.err == nil {
			return r.batch, nil
		}
		// Whoever read it was stopped, or Redis is away: this one asks for itself.
		s.forget(r)
	}
}

// join finds a reading that will do, or begins one.
func (s *sharedReader) join(after events.ID) (r reading, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.recent {
		if r.after == after && !r.stale() {
			return r, false
		}
	}
	r = reading{after: after, done: make(chan struct{}), outcome: &outcome{}}
	if len(s.recent) == batchesKept {
		s.recent = append(s.recent[:0], s.recent[1:]...)
	}
	s.recent = append(s.recent, r)
	return r, true
}

// stale tells a reading that is over and failed, or was too long ago.
func (r reading) stale() bool {
	select {
	case <-r.done:
		return r.err != nil || time.Since(r.at) > batchesFresh
	default:
		return false
	}
}

func (s *sharedReader) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent = nil
}

// forget drops a reading, so that nobody joins it again.
func (s *sharedReader) forget(old reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.recent {
		if r.outcome == old.outcome {
			s.recent = append(s.recent[:i], s.recent[i+1:]...)
			return
		}
	}
}
