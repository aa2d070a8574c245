package projections

import (
	"context"
	"sync"
	"time"

	"github.com/claudebench/claudebench/events"
)

const (
	// batchesKept bounds the memory of a sharedReader to some megabytes.
	batchesKept = 4
	// farBehind is how many events behind the others a projection no longer finds what they read.
	farBehind = batchesKept * batchSize
	// batchesFresh is how long a batch is reused. It is what a separate reader would have read a
	// moment ago; if the log was rolled back since, the next read finds out.
	batchesFresh = time.Second
)

// sharedReader lets the projections of a coordinator share reads of the log: they follow it at the
// same pace, and each batch is fetched and decoded once. One that is far behind the others, because it
// is built anew, reads by itself, so that it does not push out what they share. Projections must not
// change a batch.
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

// Read returns the batch after an event. It shares a reading that is in progress or has just ended.
func (s *sharedReader) Read(ctx context.Context, after events.ID) (events.Batch, error) {
	for {
		r, mine := s.join(after)
		if mine {
			r.batch, r.err = s.reader.Read(ctx, after)
			r.at = time.Now()
			if events.IsBroken(r.err) {
				s.forgetAll() // older readings are of a log that no longer exists
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
		// The other reader was stopped, or Redis is unavailable: read again.
		s.forget(r)
	}
}

// join returns a reading that can be shared, or begins one. That of a projection far behind is not kept.
func (s *sharedReader) join(after events.ID) (r reading, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ahead := false
	for _, r := range s.recent {
		if r.after == after && !r.stale() {
			return r, false
		}
		ahead = ahead || r.after.Seq-after.Seq > farBehind
	}
	r = reading{after: after, done: make(chan struct{}), outcome: &outcome{}}
	if ahead {
		return r, true
	}
	if len(s.recent) == batchesKept {
		s.recent = append(s.recent[:0], s.recent[1:]...)
	}
	s.recent = append(s.recent, r)
	return r, true
}

// stale reports whether a reading has ended and failed, or is too old.
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

// forget removes a reading, so that no caller joins it again.
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
