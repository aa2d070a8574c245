package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/fold"
)

// tail folds the log up to a requested seq. It can be called again as the log grows.
type tail struct {
	reader *events.Reader
	fold   *fold.Fold
	sums   *eventSums // nil without Postgres
	next   func() (events.Entry, error, bool)
	stop   func()
	held   *events.Entry               // read, but after the requested seq
	step   func(context.Context) error // runs after each event
}

// to folds up to seq. It returns false if the log ends before.
func (t *tail) to(ctx context.Context, seq int64) (bool, error) {
	fresh := false
	for t.fold.Seq() < seq {
		entry, err := t.pull(ctx, &fresh)
		if err != nil {
			return false, err
		}
		if entry == nil {
			return false, nil
		}
		if entry.ID.Seq > seq {
			t.held = entry
			return t.fold.Seq() == seq, nil
		}
		t.apply(entry)
		if err := t.step(ctx); err != nil {
			return false, err
		}
	}
	return true, nil
}

// peek reads the next event and keeps it for later, so that the reader reports foreign entries
// before it.
func (t *tail) peek(ctx context.Context) error {
	for fresh := false; ; {
		entry, err := t.pull(ctx, &fresh)
		if err != nil || entry == nil {
			return err
		}
		if entry.ID != t.fold.Last() {
			t.held = entry
			return nil
		}
	}
}

func (t *tail) apply(entry *events.Entry) {
	switch {
	case entry.ID == t.fold.Last(): // read again to continue after it
	case entry.Err != nil:
		t.fold.Unreadable(entry.ID, entry.Err)
	default:
		t.fold.Apply(entry.Envelope)
		if t.sums != nil {
			t.sums.add(&entry.Envelope)
		}
	}
}

// pull returns the next entry, or nil at the log's end. It returns nil only after a read that began
// in the current call of to or peek. fresh records that read.
func (t *tail) pull(ctx context.Context, fresh *bool) (*events.Entry, error) {
	if entry := t.held; entry != nil {
		t.held = nil
		return entry, nil
	}
	for {
		if t.next == nil {
			if *fresh {
				return nil, nil
			}
			*fresh = true
			t.next, t.stop = iter.Pull2(t.reader.Range(ctx, t.fold.Last(), events.ID{}))
		}
		entry, err, ok := t.next()
		if !ok {
			t.close()
			continue
		}
		var gap *events.GapError
		if errors.As(err, &gap) {
			continue // the fold reports it
		}
		if err != nil {
			t.close()
			return nil, fmt.Errorf("fold the log: %w", err)
		}
		return &entry, nil
	}
}

func (t *tail) close() {
	if t.stop != nil {
		t.stop()
	}
	t.next, t.stop = nil, nil
}
