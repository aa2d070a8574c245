package projections

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudebench/claudebench/events"
)

// paced is a log that gives one batch of a size each 20 ms, and is quiet when there are no more.
type paced struct {
	sizes []int
	read  int
}

func (p *paced) Read(ctx context.Context, after events.ID) (events.Batch, error) {
	if p.read == len(p.sizes) {
		<-ctx.Done()
		return events.Batch{}, ctx.Err()
	}
	<-time.After(linger)
	b := events.Batch{After: after}
	for n := range p.sizes[p.read] {
		id := events.ID{MS: 1, Seq: after.Seq + int64(n) + 1}
		e := events.Envelope{ID: id, Seq: id.Seq, Type: events.TypeTaskDeleted, V: 1, Payload: fmt.Appendf(nil, `{"id":"t-%d"}`, id.Seq)}
		b.Entries = append(b.Entries, events.Entry{ID: id, Envelope: e, Raw: make([]byte, 1000)})
	}
	p.read++
	return b, nil
}

func many(n, size int) []int {
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

// A busy log is read in wide batches, within the freshness that is promised. A quiet one is not held
// back.
func TestGatherer(t *testing.T) {
	for name, test := range map[string]struct {
		sizes  []int
		wanted bool
		events int
		took   time.Duration
	}{
		"quiet":          {sizes: []int{busy - 1, 100}, events: busy - 1, took: linger},
		"busy":           {sizes: many(100, 100), events: 1100, took: linger + freshness},
		"a burst":        {sizes: []int{100, 100}, events: 200, took: 4 * linger},
		"somebody waits": {sizes: many(100, 100), wanted: true, events: 100, took: linger},
		"many events":    {sizes: many(100, 5000), events: 10_000, took: 2 * linger}, // of 1000 bytes each
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			g := gatherer{reader: &paced{sizes: test.sizes}, wanted: func() bool { return test.wanted }}
			b, err := g.Read(t.Context(), events.ID{MS: 1, Seq: 7})
			if err != nil || len(b.Entries) != test.events || b.After.Seq != 7 || b.Last().Seq != 7+int64(test.events) {
				t.Errorf("%s: %d events from %s to %s, %v; want %d", name, len(b.Entries), b.After, b.Last(), err, test.events)
			}
			if took := time.Since(began); took != test.took {
				t.Errorf("%s: took %s, want %s", name, took, test.took)
			}
			for i, f := range factsOf(b) {
				if f.err != nil || f.Num != b.Entries[i].ID.Seq {
					t.Fatalf("%s: event %s is of task %d, %v", name, b.Entries[i].ID, f.Num, f.err)
				}
			}
		})
	}
}

// broken is a log with an error behind its first batch.
type broken struct{ paced }

func (b *broken) Read(ctx context.Context, after events.ID) (events.Batch, error) {
	if b.read > 0 {
		return events.Batch{}, &events.GapError{Expected: after.Seq + 1}
	}
	return b.paced.Read(ctx, after)
}

// What comes before an error is returned first. The next read returns the error.
func TestGathererBeforeAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gatherer{reader: &broken{paced{sizes: []int{100}}}}
		b, err := g.Read(t.Context(), events.ID{})
		if err != nil || len(b.Entries) != 100 {
			t.Fatalf("%d events, %v", len(b.Entries), err)
		}
		if _, err = g.Read(t.Context(), b.Last()); !errors.As(err, new(*events.GapError)) {
			t.Errorf("then %v", err)
		}
	})
}
