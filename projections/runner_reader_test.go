package projections

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claudebench/claudebench/events"
)

// gated is a log whose reads wait until they are released.
type gated struct {
	reads atomic.Int64
	begun chan struct{}
	gate  chan error
}

func (g *gated) Read(ctx context.Context, after events.ID) (events.Batch, error) {
	g.reads.Add(1)
	g.begun <- struct{}{}
	select {
	case err := <-g.gate:
		if err != nil {
			return events.Batch{}, err
		}
		return events.Batch{After: after, Entries: []events.Entry{{ID: events.ID{MS: after.MS + 1, Seq: after.Seq + 1}}}}, nil
	case <-ctx.Done():
		return events.Batch{}, ctx.Err()
	}
}

func TestProjectionsReadABatchOnce(t *testing.T) {
	t.Parallel()
	log := &gated{begun: make(chan struct{}, 10), gate: make(chan error, 10)}
	s := &sharedReader{reader: log}
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			batch, err := s.Read(t.Context(), events.ID{MS: 5, Seq: 5})
			if err != nil || batch.Last().Seq != 6 {
				t.Errorf("read %v, %v", batch, err)
			}
		})
	}
	<-log.begun
	log.gate <- nil
	readers.Wait()
	if n := log.reads.Load(); n != 1 {
		t.Errorf("three projections at one place read %d times", n)
	}
	log.gate <- nil
	if batch, err := s.Read(t.Context(), events.ID{MS: 6, Seq: 6}); err != nil || batch.Last().Seq != 7 {
		t.Errorf("the next batch: %v, %v", batch, err)
	}
}

func TestAReaderThatStopsOrFailsDoesNotFailTheOthers(t *testing.T) {
	t.Parallel()
	log := &gated{begun: make(chan struct{}, 10), gate: make(chan error, 10)}
	s := &sharedReader{reader: log}
	first, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	readers.Go(func() {
		if _, err := s.Read(first, events.ID{}); !errors.Is(err, context.Canceled) {
			t.Errorf("the reader that was stopped got %v", err)
		}
	})
	<-log.begun
	readers.Go(func() {
		if batch, err := s.Read(t.Context(), events.ID{}); err != nil || batch.Last().Seq != 1 {
			t.Errorf("the other reader got %v, %v", batch, err)
		}
	})
	stop()
	<-log.begun // the other caller reads for itself
	log.gate <- nil
	readers.Wait()

	away := errors.New("away")
	log.gate <- away
	if _, err := s.Read(t.Context(), events.ID{MS: 9, Seq: 9}); !errors.Is(err, away) {
		t.Errorf("an error was given as %v", err)
	}
	log.gate <- nil
	if _, err := s.Read(t.Context(), events.ID{MS: 9, Seq: 9}); err != nil {
		t.Errorf("an error was given again: %v", err)
	}
}

// counted is a log that counts its reads.
type counted struct{ reads int }

func (c *counted) Read(_ context.Context, after events.ID) (events.Batch, error) {
	c.reads++
	return events.Batch{After: after, Entries: make([]events.Entry, 1)}, nil
}

// A projection that is far behind the others reads by itself and pushes out nothing that they share.
// One that is a little behind shares, however full the batches are.
func TestAProjectionFarBehindReadsByItself(t *testing.T) {
	t.Parallel()
	log := &counted{}
	s := &sharedReader{reader: log}
	at := func(seq int64) events.ID { return events.ID{MS: 1, Seq: seq} }
	for _, step := range []struct{ seq, reads int64 }{
		{100_000, 1},
		{100_000, 1}, // shared
		{100_000 - farBehind, 2},
		{100_000 - farBehind, 2}, // near enough to be shared
		{1, 3},
		{2, 4},
		{3, 5},
		{4, 6},
		{5, 7},
		{5, 8},       // not kept
		{100_000, 8}, // still there
	} {
		if _, err := s.Read(t.Context(), at(step.seq)); err != nil {
			t.Fatal(err)
		}
		if int64(log.reads) != step.reads {
			t.Errorf("after the read at %d, the log was read %d times, want %d", step.seq, log.reads, step.reads)
		}
	}
}
