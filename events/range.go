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
	Base        int64 // the first seq still kept, in Redis or the archive; 1 if nothing was ever removed
	Live        int64 // the first seq still kept in Redis
	Seq         int64 // the last seq given, kept or not
}

// Bounds reads the log's ends.
func (r *Reader) Bounds(ctx context.Context) (Bounds, error) {
	_, log, err := r.snapshot(ctx, "-", 1)
	if err != nil {
		return Bounds{}, fmt.Errorf("bounds of the log: %w", err)
	}
	b := Bounds{Base: log.base, Live: log.base, Seq: log.seq}
	if b.First, err = r.edge(ctx, true, "-", "+"); err != nil {
		return Bounds{}, fmt.Errorf("bounds of the log: %w", err)
	}
	if b.Last, err = r.edge(ctx, false, "-", "+"); err != nil {
		return Bounds{}, fmt.Errorf("bounds of the log: %w", err)
	}
	a, err := r.usable(ctx)
	if a == nil || err != nil {
		return b, err
	}
	w := walk{}
	if err := r.rangeFrom(ctx, &w, ID{}); err != nil {
		return Bounds{}, fmt.Errorf("bounds of the archive: %w", err)
	}
	if w.archived < log.base {
		list, err := a.From(ctx, w.archived, log.base, 1)
		if err != nil {
			return Bounds{}, fmt.Errorf("bounds of the archive: %w", err)
		}
		if len(list) > 0 {
			b.First, b.Base = list[0].ID, list[0].ID.Seq
		}
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
	if id, err := r.locateArchived(ctx, seq); err != nil || !id.IsZero() {
		return id, err
	}
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

// locateArchived is Locate for the events that only the archive has.
func (r *Reader) locateArchived(ctx context.Context, seq int64) (ID, error) {
	if r.config.Archive == nil {
		return ID{}, nil
	}
	bounds, err := r.Bounds(ctx)
	if err != nil || bounds.Base >= bounds.Live || seq >= bounds.Live {
		return ID{}, err
	}
	list, err := r.config.Archive.From(ctx, max(seq, bounds.Base), bounds.Live, 1)
	if err != nil || len(list) == 0 {
		return ID{}, err
	}
	return list[0].ID, nil
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
	if r.config.Archive != nil {
		if err := r.rangeFrom(ctx, &w, from); err != nil {
			return err
		}
		_, log, err := r.snapshot(ctx, "+", 1)
		if err != nil {
			return err
		}
		if err := r.fill(ctx, &w, log.base, to, yield); err != nil {
			return err
		}
	}
	for {
		page, err := r.client.XRangeN(ctx, r.space.Events(), start, stop, count).Result()
		if err != nil {
			return fmt.Errorf("XRANGE: %w", err)
		}
		if r.config.Archive != nil {
			if err := r.rangeArchived(ctx, &w, page, to, yield); err != nil {
				return err
			}
		}
		if err := r.yieldPage(ctx, &w, page, yield); err != nil {
			return err
		}
		w.archived = max(w.archived, w.expected)
		if int64(len(page)) < count {
			return nil
		}
		start = "(" + page[len(page)-1].ID
	}
}

// rangeFrom finds where a range begins in the archive.
func (r *Reader) rangeFrom(ctx context.Context, w *walk, from ID) error {
	a, err := r.usable(ctx)
	if a == nil || err != nil {
		return err
	}
	page, log, err := r.snapshot(ctx, "-", 1)
	if err != nil {
		return err
	}
	first := append(decodeAll(page), Entry{})[0]
	begin, err := r.begin(ctx, a, first)
	if err != nil {
		return err
	}
	if from.IsZero() {
		base, err := r.base(ctx, a, log)
		w.archived = max(base.Seq, begin)
		return err
	}
	floor, err := a.Floor(ctx, from)
	if w.archived = floor.Seq; floor != from {
		w.archived++
	}
	w.archived = max(w.archived, begin)
	return err
}

// rangeArchived yields what the archive has before a page. A trim may have removed it from Redis since
// the page before.
func (r *Reader) rangeArchived(ctx context.Context, w *walk, page []redis.XMessage, to ID, yield func(Entry, error) bool) error {
	for _, m := range page {
		e := decodeEntry(m)
		if e.Err != nil && (w.expected == 0 || e.ID.Seq != w.expected) {
			continue // not an event
		}
		if e.ID.Seq <= w.archived {
			return nil
		}
		// Only what Redis no longer has: the archive may have events that a rollback has replaced.
		_, log, err := r.snapshot(ctx, "+", 1)
		if err != nil {
			return err
		}
		return r.fill(ctx, w, min(e.ID.Seq, log.base), to, yield)
	}
	if len(page) > 0 {
		return nil
	}
	_, log, err := r.snapshot(ctx, "+", 1)
	if err != nil {
		return err
	}
	return r.fill(ctx, w, log.base, to, yield)
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
