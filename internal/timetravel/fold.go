package timetravel

import (
	"context"
	"errors"
	"fmt"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fold"
	"github.com/claudebench/claudebench/internal/position"
)

// ErrTooLarge is the error if the fold would hold more memory than MaxBytes.
var ErrTooLarge = errors.New("the fold of the log takes too much memory")

// ErrBefore is wrapped by the error for a position before the log's beginning.
var ErrBefore = errors.New("the log begins later")

// Source is a log that can be folded. An *events.Reader is one.
type Source interface {
	Log
	Bounds(ctx context.Context) (events.Bounds, error)
}

// Options say what is folded.
type Options struct {
	Log Source
	// Limit is how many entries each list has at most. It must be positive.
	Limit int
	// MaxBytes is about how much memory the fold may hold; 0 is no bound.
	MaxBytes int64
	// Progress is called from time to time with the seq of the last event folded. It may be nil.
	Progress func(seq int64)
}

// maxNotes is how many notes an answer has.
const maxNotes = 10

// traveller folds the log up to a moment.
type traveller struct {
	Options
	fold   *fold.Fold
	bounds events.Bounds
	wrong  int64 // violations
	last   events.ID
}

func begin(ctx context.Context, o Options) (*traveller, error) {
	bounds, err := o.Log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	t := &traveller{Options: o, bounds: bounds}
	t.fold = fold.New(bounds.Base, func(string) { t.wrong++ })
	return t, nil
}

// reaches returns an error for a position before the first event of a log that has lost its beginning.
func (t *traveller) reaches(at position.Position) error {
	if t.bounds.Base <= 1 || t.bounds.First.IsZero() || at.Includes(t.bounds.First) {
		return nil
	}
	return fmt.Errorf("%w, with %s: events before seq %d were flushed or trimmed", ErrBefore, t.bounds.First, t.bounds.First.Seq)
}

// to folds the events up to each position in turn. Between them it calls reached, and before each
// event after the first position, before.
func (t *traveller) to(ctx context.Context, stops []position.Position, reached func(), before func(*events.Envelope)) error {
	arrived := 0
	for entry, err := range t.Log.Range(ctx, events.ID{}, events.ID{}) {
		var gap *events.GapError
		switch {
		case errors.As(err, &gap):
			continue // the fold reports it
		case err != nil:
			return err
		}
		for arrived < len(stops) && !stops[arrived].Includes(entry.ID) {
			if arrived++; arrived < len(stops) {
				reached()
			}
		}
		if arrived == len(stops) {
			return ctx.Err()
		}
		t.last = entry.ID
		if entry.Err != nil {
			t.fold.Unreadable(entry.ID, entry.Err)
			continue
		}
		if arrived > 0 {
			before(&entry.Envelope)
		}
		t.fold.Apply(entry.Envelope)
		if err := t.pause(ctx); err != nil {
			return err
		}
	}
	for arrived++; arrived < len(stops); arrived++ {
		reached()
	}
	return ctx.Err()
}

// pause looks at the memory from time to time.
func (t *traveller) pause(ctx context.Context) error {
	if t.fold.Events()%1000 != 0 {
		return nil
	}
	if t.Progress != nil {
		t.Progress(t.last.Seq)
	}
	if t.MaxBytes > 0 && t.fold.Bytes() > t.MaxBytes {
		return fmt.Errorf("%w: at seq %d it holds about %d MiB", ErrTooLarge, t.last.Seq, t.fold.Bytes()>>20)
	}
	return ctx.Err()
}

func (t *traveller) moment() api.PastMoment {
	if t.last.IsZero() {
		return api.PastMoment{}
	}
	return api.PastMoment{ID: t.last.String(), Seq: t.last.Seq, Time: fold.ISO(t.last.MS)}
}

// told returns the notes about the log.
func (t *traveller) told() []string {
	var notes []string
	if !t.last.IsZero() && !t.fold.Whole() {
		notes = append(notes, fmt.Sprintf("the log begins with seq %d: of tasks and instances that are older, only those are known that a later event names", t.fold.Base()))
	}
	for _, gap := range t.fold.Gaps() {
		if len(notes) == maxNotes-1 {
			break
		}
		notes = append(notes, fmt.Sprintf("the events with seq %d to %d are missing", gap.From, gap.To))
	}
	if t.wrong > 0 {
		notes = append(notes, fmt.Sprintf("%d violations in the log up to there; 'claudebench verify' lists them", t.wrong))
	}
	return notes
}
