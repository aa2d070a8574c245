package events

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/redis/go-redis/v9"
)

// Bounds are the ends of the log.
type Bounds struct {
	First, Last ID    // the first and the last event kept; zero if there is none
	Base        int64 // the first seq still kept; 1 if nothing was ever removed
	Seq         int64 // the last seq given, kept or not
}

// Bounds reads the log's ends.
func (r *Reader) Bounds(ctx context.Context) (Bounds, error) {
	_, log, err := r.snapshot(ctx, "-", 1)
	if err != nil {
		return Bounds{}, fmt.Errorf("bounds of the log: %w", err)
	}
	b := Bounds{Base: log.base, Seq: log.seq}
	if b.First, err = r.edge(ctx, true, "-", "+"); err != nil {
		return Bounds{}, fmt.Errorf("bounds of the log: %w", err)
	}
	if b.Last, err = r.edge(ctx, false, "-", "+"); err != nil {
		return Bounds{}, fmt.Errorf("bounds of the log: %w", err)
	}
	return b, nil
}

// Last returns the ID of the log's last event, zero if there is none. Reading after it returns only
// new events.
func (r *Reader) Last(ctx context.Context) (ID, error) {
	id, err := r.edge(ctx, false, "-", "+")
	if err != nil {
		return ID{}, fmt.Errorf("last event of the log: %w", err)
	}
	return id, nil
}

// Locate returns the ID of the first event whose seq is at least seq, zero if the log has none. Both
// halves of an ID rise, so it halves the span of time in which the event must be: about forty reads
// of one entry, however long the log is.
func (r *Reader) Locate(ctx context.Context, seq int64) (ID, error) {
	id, err := r.locate(ctx, seq)
	if err != nil {
		return ID{}, fmt.Errorf("find the event with seq %d: %w", seq, err)
	}
	return id, nil
}

func (r *Reader) locate(ctx context.Context, seq int64) (ID, error) {
	first, err := r.edge(ctx, true, "-", "+")
	if err != nil || first.IsZero() || first.Seq >= seq {
		return first, err
	}
	last, err := r.edge(ctx, false, "-", "+")
	if err != nil || last.Seq < seq {
		return ID{}, err
	}
	// The event with the greatest seq below the wanted one has a time of at least low. All events later
	// than high have a higher one.
	low, high := first.MS, last.MS
	for low < high {
		middle := low + (high-low+1)/2
		id, err := r.edge(ctx, true, ID{MS: middle}.String(), "+")
		switch {
		case err != nil:
			return ID{}, err
		case id.IsZero() || id.Seq >= seq:
			high = middle - 1
		default:
			low = id.MS
		}
	}
	return r.edge(ctx, true, ID{MS: low, Seq: seq}.String(), "+")
}

// edge returns the first or the last event of a range. It skips foreign entries.
func (r *Reader) edge(ctx context.Context, first bool, from, to string) (ID, error) {
	for count := int64(1); ; count = int64(r.config.BatchSize) {
		var page []redis.XMessage
		var err error
		if first {
			page, err = r.client.XRangeN(ctx, r.space.Events(), from, to, count).Result()
		} else {
			page, err = r.client.XRevRangeN(ctx, r.space.Events(), to, from, count).Result()
		}
		if err != nil {
			return ID{}, err
		}
		if len(page) == 0 {
			return ID{}, nil
		}
		for _, m := range page {
			if e := decodeEntry(m); e.Err == nil {
				return e.ID, nil
			}
		}
		if first {
			from = "(" + page[len(page)-1].ID
		} else {
			to = "(" + page[len(page)-1].ID
		}
	}
}

// Range returns the events between from and to, both inclusive. A zero ID leaves that end open. For
// a time span, pass {MS: a} and {MS: b, Seq: math.MaxInt64}. It holds one batch at a time in
// memory.
//
// A gap comes as a [*GapError] before the entry behind it, and the caller may continue the
// iteration. Any other error ends the iteration.
func (r *Reader) Range(ctx context.Context, from, to ID) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		err := r.rangeOver(ctx, from, to, yield)
		if err != nil && !errors.Is(err, errStopped) {
			yield(Entry{}, fmt.Errorf("read the log from %s to %s: %w", from, to, err))
		}
	}
}

// errStopped ends a range whose caller stopped iterating.
var errStopped = errors.New("stopped")

func (r *Reader) rangeOver(ctx context.Context, from, to ID, yield func(Entry, error) bool) error {
	start, stop := from.String(), "+"
	if !to.IsZero() {
		stop = to.String()
	}
	count := int64(r.config.BatchSize)
	w := walk{limit: r.config.BatchSize}
	if from.IsZero() {
		_, log, err := r.snapshot(ctx, start, 1)
		if err != nil {
			return err
		}
		w.startAt(log)
	}
	for {
		page, err := r.client.XRangeN(ctx, r.space.Events(), start, stop, count).Result()
		if err != nil {
			return fmt.Errorf("XRANGE: %w", err)
		}
		if err := r.yieldPage(ctx, &w, page, yield); err != nil {
			return err
		}
		if int64(len(page)) < count {
			return nil
		}
		start = "(" + page[len(page)-1].ID
	}
}

// yieldPage yields a page's entries, and an error at a gap.
func (r *Reader) yieldPage(ctx context.Context, w *walk, page []redis.XMessage, yield func(Entry, error) bool) error {
	for len(page) > 0 {
		w.batch.Entries = w.batch.Entries[:0]
		seen := len(w.foreign)
		gap := w.take(page)
		page = page[len(w.batch.Entries)+len(w.foreign)-seen:]
		for _, e := range w.batch.Entries {
			if !yield(e, nil) {
				return errStopped
			}
		}
		if gap == nil {
			break
		}
		// A flush or trim between two pages explains a gap at the page's end.
		_, log, err := r.snapshot(ctx, "+", 1)
		if err != nil {
			return err
		}
		if w.gap > log.base && !yield(Entry{}, gap) {
			return errStopped
		}
		w.expected = w.gap
	}
	r.tellForeign(w.foreign)
	w.foreign = nil
	return nil
}
