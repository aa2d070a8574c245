package events

import (
	"context"
	"fmt"
)

// Page returns up to limit events after the given one. It checks the log as [Reader.Read] does and
// returns the same errors, but it does not wait: the batch is empty if there are no more events.
func (r *Reader) Page(ctx context.Context, after ID, limit int) (Batch, error) {
	batch, _, err := r.poll(ctx, after, limit)
	if err != nil {
		return Batch{}, r.wrap(ctx, after, err)
	}
	return batch, nil
}

// Floor returns the ID of the last event at or before id, zero if there is none. After a
// [*RolledBackError], the floor of its checkpoint is the last event from before the rollback,
// because the clock of Redis does not go back: events that were written since have higher IDs.
func (r *Reader) Floor(ctx context.Context, id ID) (ID, error) {
	floor, err := r.edge(ctx, false, "-", id.String())
	if err != nil {
		return ID{}, fmt.Errorf("last event up to %s: %w", id, err)
	}
	if a, err := r.usable(ctx); floor.IsZero() && a != nil || err != nil {
		if err != nil {
			return ID{}, err
		}
		if floor, err = a.Floor(ctx, id); err != nil {
			return ID{}, fmt.Errorf("last event up to %s: %w", id, err)
		}
		since, err := r.firstArchived(ctx, ID{})
		if err != nil || since.IsZero() || floor.Seq < since.Seq {
			return ID{}, err
		}
	}
	return floor, nil
}

// Following returns the ID of the first event after id, zero if there is none. It does not check
// that id is in the log.
func (r *Reader) Following(ctx context.Context, id ID) (ID, error) {
	if r.config.Archive != nil {
		if next, err := r.firstArchived(ctx, id); err != nil || !next.IsZero() {
			return next, err
		}
	}
	next, err := r.edge(ctx, true, "("+id.String(), "+")
	if err != nil {
		return ID{}, fmt.Errorf("first event after %s: %w", id, err)
	}
	return next, nil
}

// At returns the event with an ID, and whether the log has it.
func (r *Reader) At(ctx context.Context, id ID) (Entry, bool, error) {
	page, err := r.client.XRangeN(ctx, r.space.Events(), id.String(), id.String(), 1).Result()
	if err != nil {
		return Entry{}, false, fmt.Errorf("read event %s: %w", id, err)
	}
	if len(page) > 0 {
		return decodeEntry(page[0]), true, nil
	}
	if r.config.Archive == nil {
		return Entry{}, false, nil
	}
	if next, err := r.firstArchived(ctx, just(id)); err != nil || next != id {
		return Entry{}, false, err
	}
	list, err := r.config.Archive.From(ctx, id.Seq, id.Seq+1, 1)
	if err != nil || len(list) == 0 {
		return Entry{}, false, err
	}
	return list[0], true, nil
}

// just returns the position before an event.
func just(id ID) ID { return ID{MS: id.MS, Seq: id.Seq - 1} }
