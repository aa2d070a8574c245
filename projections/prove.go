package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/claudebench/claudebench/events"
)

// ErrIncompleteLog is wrapped by the error of a rebuild that was refused because the log cannot
// restore what the rebuild would delete. Nothing was deleted.
var ErrIncompleteLog = errors.New("the log is incomplete; the data built from it is kept")

// prove reads the whole log and returns an error if a fold of it would not restore everything. The
// log must have no gap up to the last seq given, and hold only events that this program knows. It
// must begin with the first event ever or with a flush, unless the projection keeps what a trimmed
// log cannot restore.
//
// tell is called for each event; nil for nobody.
func prove(ctx context.Context, reader *events.Reader, p Projection, tell func(*events.Entry)) (events.Bounds, error) {
	keeper, keeps := p.(interface{ keepsTrimmed() bool })
	keeps = keeps && keeper.keepsTrimmed()
	bounds, err := reader.Bounds(ctx)
	if err != nil {
		return bounds, err
	}
	next := bounds.Base
	for entry, err := range reader.Range(ctx, events.ID{}, events.ID{}) {
		switch {
		case events.IsBroken(err):
			return bounds, fmt.Errorf("%w: %w", ErrIncompleteLog, err)
		case err != nil:
			return bounds, err
		case !keeps && entry.ID.Seq == next && next == bounds.Base && next > 1 && entry.Envelope.Type != events.TypeSystemFlushed:
			return bounds, fmt.Errorf("%w: its first event is %s, which does not have seq 1 and is not system.flushed", ErrIncompleteLog, entry.ID)
		}
		if tell != nil {
			tell(&entry)
		}
		if entry.Err == nil {
			if err := entry.Envelope.Known(); err != nil {
				return bounds, fmt.Errorf("the log contains an event that this program does not know; the data built from it is kept: %w", err)
			}
		}
		next = entry.ID.Seq + 1
	}
	if next <= bounds.Seq {
		return bounds, fmt.Errorf("%w: it ends before seq %d, but the last event had seq %d", ErrIncompleteLog, next, bounds.Seq)
	}
	return bounds, nil
}
