package events

import (
	"context"
	"fmt"
)

// Archive has the beginning of a log, which Redis may no longer have. The package archive reads one
// from a folder. Its events are ordered by seq; some may be missing.
type Archive interface {
	// Identity returns the identity of the archived log, "" while there is nothing in the archive.
	Identity(ctx context.Context) (string, error)
	// Run returns the first and the last event of the newest events that follow each other without a
	// gap, zero if there is none.
	Run(ctx context.Context) (first, last ID, err error)
	// From returns consecutive entries, beginning with the first one whose seq is at least seq. It
	// returns at most limit, none with the seq before or a higher one, and at least one if there is
	// one.
	From(ctx context.Context, seq, before int64, limit int) ([]Entry, error)
	// Floor returns the ID of the last event at or before id, zero if there is none.
	Floor(ctx context.Context, id ID) (ID, error)
	// Flushed returns the seq of the last system.flushed that it knows, 0 if there is none. It may
	// not know the newest one while the log in Redis begins with it.
	Flushed(ctx context.Context) (int64, error)
}

// usable returns the archive, nil if there is none or it is empty. The error wraps ErrForeignLog if
// it is the archive of another log.
func (r *Reader) usable(ctx context.Context) (Archive, error) {
	a := r.config.Archive
	if a == nil {
		return nil, nil
	}
	r.mu.Lock()
	checked := r.archiveFits
	r.mu.Unlock()
	if checked {
		return a, nil
	}
	archived, err := a.Identity(ctx)
	if err != nil || archived == "" {
		return nil, err
	}
	log, err := r.Identity(ctx)
	if err != nil {
		return nil, err
	}
	if log != archived {
		return nil, fmt.Errorf("the archive is of the log %s, and this Redis has the log %q: %w", archived, log, ErrForeignLog)
	}
	r.mu.Lock()
	r.archiveFits = true
	r.mu.Unlock()
	return a, nil
}

// begin returns the lowest seq that may come from the archive, when the log in Redis begins with an
// entry.
func (r *Reader) begin(ctx context.Context, a Archive, first Entry) (int64, error) {
	if !r.config.SinceFlush {
		return 1, nil
	}
	if first.Envelope.Type == TypeSystemFlushed {
		return first.ID.Seq, nil // the archive may not know this flush yet
	}
	return a.Flushed(ctx)
}

// base returns the first event from which the archive and the log in Redis have no gap; only its seq if
// it is the first one in Redis.
func (r *Reader) base(ctx context.Context, a Archive, log logState) (ID, error) {
	first, last, err := a.Run(ctx)
	if err != nil || first.IsZero() || first.Seq >= log.base || last.Seq+1 < log.base {
		return ID{Seq: log.base}, err
	}
	return first, nil
}

// archived returns the events after one that the archive has and Redis does not; none if Redis has
// the next event, or nobody. page begins with the log's first entry.
func (r *Reader) archived(ctx context.Context, after ID, limit int, page []Entry, log logState) (Batch, error) {
	if after.Seq+1 >= log.base {
		return Batch{}, nil
	}
	a, err := r.usable(ctx)
	if a == nil || err != nil {
		return Batch{}, err
	}
	var first Entry
	if len(page) > 0 {
		first = page[0]
	}
	from, err := r.begin(ctx, a, first)
	if err != nil {
		return Batch{}, err
	}
	if after.IsZero() {
		base, err := r.base(ctx, a, log)
		if err != nil {
			return Batch{}, err
		}
		from = max(from, base.Seq)
	}
	if from = max(from, after.Seq+1); from >= log.base {
		return Batch{}, nil
	}
	list, err := a.From(ctx, from, log.base, limit)
	if err != nil || len(list) == 0 {
		return Batch{}, err
	}
	if from == after.Seq+1 && !after.IsZero() {
		if err := r.continues(ctx, a, after, list[0].ID); err != nil {
			return Batch{}, err
		}
	}
	return Batch{After: after, Entries: list, Skipped: list[0].ID.Seq - after.Seq - 1, derived: new(derived)}, nil
}

// continues returns a RolledBackError if the archive has another event with the seq of the one to
// read after. A position just before the next event is no event.
func (r *Reader) continues(ctx context.Context, a Archive, after, next ID) error {
	anchor, err := a.From(ctx, after.Seq, after.Seq+1, 1)
	if err != nil || len(anchor) == 0 || anchor[0].ID == after || next.Seq == after.Seq+1 && next.MS == after.MS {
		return err
	}
	return r.rolledBack(ctx, after)
}

// firstArchived returns the first event after id that the archive has and Redis does not, zero if
// there is none.
func (r *Reader) firstArchived(ctx context.Context, id ID) (ID, error) {
	a, err := r.usable(ctx)
	if a == nil || err != nil {
		return ID{}, err
	}
	page, log, err := r.snapshot(ctx, "-", 1)
	if err != nil {
		return ID{}, err
	}
	floor, err := a.Floor(ctx, id)
	if err != nil {
		return ID{}, err
	}
	var first Entry
	if len(page) > 0 {
		first = decodeEntry(page[0])
	}
	from, err := r.begin(ctx, a, first)
	if err != nil {
		return ID{}, err
	}
	list, err := a.From(ctx, max(floor.Seq+1, from), log.base, 1)
	if err != nil || len(list) == 0 {
		return ID{}, err
	}
	return list[0].ID, nil
}

// fill yields the events from the archive that come before the first one of a page of Redis.
func (r *Reader) fill(ctx context.Context, w *walk, before int64, to ID, yield func(Entry, error) bool) error {
	a, err := r.usable(ctx)
	if a == nil || err != nil {
		return err
	}
	for w.archived < before {
		list, err := a.From(ctx, w.archived, before, r.config.BatchSize)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			w.archived = before
			break
		}
		for _, e := range list {
			if !to.IsZero() && e.ID.Compare(to) > 0 {
				w.archived = before
				return nil
			}
			w.archived = e.ID.Seq + 1
			w.expected, w.floor = e.ID.Seq+1, 0
			if !yield(e, nil) {
				return errStopped
			}
		}
	}
	return nil
}
