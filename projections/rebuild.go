package projections

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/lease"
)

// RebuildOptions says how to rebuild a projection.
type RebuildOptions struct {
	// DryRun compares only. The live view stays as it is.
	DryRun bool
	// Progress is called from time to time, at least once a batch. Nil for nobody.
	Progress func(RebuildProgress)
}

// RebuildProgress is how far a rebuild is.
type RebuildProgress struct {
	Step    RebuildStep
	Seq, Of int64 // of the event reached and of the last one; 0 in a step that does not read events
}

// RebuildStep is what a rebuild does.
type RebuildStep string

// The steps of a rebuild, in their order.
const (
	RebuildChecks   RebuildStep = "checking the log"
	RebuildFolds    RebuildStep = "folding"
	RebuildCompares RebuildStep = "comparing"
	RebuildReplaces RebuildStep = "replacing"
)

// ErrRebuildLost is wrapped by the error of a rebuild that ended because another program has changed
// what it was working on: a flush, another rebuild, or another log in Redis. The live view is
// unchanged.
var ErrRebuildLost = errors.New("the live view is unchanged")

// Rebuild folds a projection from the log's start into a second place, compares it with the live view,
// and replaces the live view in one step if they differ. Coordinators may run the projection
// meanwhile, in this process or another. If Rebuild does not get to its end, the live view is as it
// was. When it returns, the live view has applied what was in the log when it was called. The error
// wraps ErrIncompleteLog if the log cannot restore what the live view has, and ErrRebuildLost.
func (r *Runner) Rebuild(ctx context.Context, name string) error {
	_, err := r.RebuildWith(ctx, name, RebuildOptions{})
	return err
}

// RebuildWith is Rebuild with options. It returns what it found.
func (r *Runner) RebuildWith(ctx context.Context, name string, o RebuildOptions) (*Rebuilt, error) {
	for _, l := range r.loops {
		if l.projection.Name() != name {
			continue
		}
		rebuilt, err := r.rebuild(ctx, l.projection, o)
		if err != nil {
			return nil, fmt.Errorf("rebuild %s: %w", name, err)
		}
		return rebuilt, nil
	}
	return nil, fmt.Errorf("rebuild %s: unknown projection", name)
}

// secondary is the second place of a projection. As a Projection it folds into that place.
type secondary interface {
	Projection
	// open empties the place. It then copies into it what the live view has from before the log's base,
	// unless the log says that a flush has deleted that.
	open(ctx context.Context, base int64) error
	// compare brings the place exactly to an event that the live view has applied, and compares them.
	compare(ctx context.Context, b *rebuilding) error
	// replace brings the live view to what is in the place, at an event that is not before the one the
	// live view has applied.
	replace(ctx context.Context, b *rebuilding) error
	// drop empties the place.
	drop(ctx context.Context) error
}

// rebuilding is a rebuild that runs.
type rebuilding struct {
	RebuildOptions
	runner *Runner
	reader events.BatchReader
	live   Projection
	place  secondary
	holder string
	before logMark       // when it began
	bounds events.Bounds // when it began
	// emptied reports that the log contains a flush that deleted all rows in Postgres.
	emptied bool
	at      events.ID // what is folded into the place
	found   *Rebuilt
}

const (
	// leaseWait is longer than a lease, so that a rebuild can follow one that was killed.
	leaseWait = lease.TTL + time.Second
	// dropWithin bounds the cleaning up after a rebuild. What is left is deleted by the next one.
	dropWithin = 10 * time.Second
	// maxRounds is how often a rebuild tries to come close to a live view that moves.
	maxRounds = 50
)

func (r *Runner) rebuild(ctx context.Context, p Projection, o RebuildOptions) (_ *Rebuilt, err error) {
	view, ok := p.(interface{ beside() secondary })
	if !ok {
		return nil, errors.New("it cannot be folded in a second place")
	}
	if err := p.Prepare(ctx); err != nil {
		return nil, err
	}
	b := &rebuilding{
		RebuildOptions: o, runner: r, reader: batchesFor(p, r.reader), live: p, place: view.beside(),
		holder: r.cfg.Holder + ":" + rand.Text()[:8], found: &Rebuilt{Name: p.Name()},
	}
	if b.before, err = r.mark(ctx); err != nil {
		return nil, err
	}
	// A flush that keeps Postgres has already completed the rows, and deletes the log next.
	if b.before.flushing {
		return nil, errors.New("a flush is running; try again when it has ended")
	}
	ctx, release, err := b.hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := b.run(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	return b.found, nil
}

func (b *rebuilding) run(ctx context.Context) error {
	var err error
	if b.bounds, err = b.runner.reader.Bounds(ctx); err != nil {
		return err
	}
	if b.bounds, err = prove(ctx, b.runner.reader, b.live, b.saw); err != nil {
		return err
	}
	if err := b.unchanged(ctx); err != nil {
		return err
	}
	if err := b.place.open(ctx, b.bounds.Base); err != nil {
		return err
	}
	defer b.drop(ctx)
	if err := b.approach(ctx); err != nil {
		return err
	}
	b.tell(RebuildCompares, 0)
	if err := b.place.compare(ctx, b); err != nil {
		return err
	}
	if b.DryRun {
		b.count()
		return nil
	}
	if !b.found.Same() {
		b.tell(RebuildReplaces, 0)
		if err := b.place.replace(ctx, b); err != nil {
			return err
		}
		b.found.Replaced = true
	}
	b.count()
	return b.catchUp(ctx)
}

func (b *rebuilding) count() { b.found.Events = max(b.at.Seq-b.bounds.Base+1, 0) }

// saw is called for each event of the log while it is checked.
func (b *rebuilding) saw(e *events.Entry) {
	if e.ID.Seq%batchSize == 0 {
		b.tell(RebuildChecks, e.ID.Seq)
	}
	if e.Err == nil && e.Envelope.Type == events.TypeSystemFlushed {
		flushed, err := events.PayloadAs[events.SystemFlushed](e.Envelope)
		b.emptied = b.emptied || err == nil && flushed.Postgres != nil // the fold reports the error
	}
}

func (b *rebuilding) tell(step RebuildStep, seq int64) {
	if b.Progress != nil {
		b.Progress(RebuildProgress{Step: step, Seq: seq, Of: b.bounds.Last.Seq})
	}
}

// approach folds what the live view has applied, until it moves by less than a batch meanwhile.
func (b *rebuilding) approach(ctx context.Context) error {
	for range maxRounds {
		live, err := b.live.Checkpoint(ctx)
		if err != nil {
			return err
		}
		fits, err := b.within(ctx, live)
		if err != nil || !fits {
			return err
		}
		behind := live.Seq - b.at.Seq
		if err := b.foldTo(ctx, live); err != nil || behind < batchSize {
			return err
		}
	}
	return nil
}

// within reports whether the place can be brought to an event: it is in the log, and not behind the
// place.
func (b *rebuilding) within(ctx context.Context, at events.ID) (bool, error) {
	if at.IsZero() || at.Seq < max(b.at.Seq, b.bounds.Base) {
		return false, nil
	}
	return b.runner.reader.Fits(ctx, at)
}

// foldTo folds into the place up to an event of the log.
func (b *rebuilding) foldTo(ctx context.Context, to events.ID) error {
	return b.foldWith(ctx, to, b.place.Apply)
}

// foldWith folds the events up to one of the log by apply. While it applies a batch, it reads the
// next one.
func (b *rebuilding) foldWith(ctx context.Context, to events.ID, apply func(context.Context, events.Batch) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	type reading struct {
		batch events.Batch
		err   error
	}
	readings := make(chan reading, 1)
	go func() {
		defer close(readings)
		for at := b.at; at.Seq < to.Seq; {
			batch, err := b.reader.Read(ctx, at)
			batch = upTo(batch, to)
			select {
			case readings <- reading{batch, err}:
			case <-ctx.Done():
				return
			}
			if err != nil || len(batch.Entries) == 0 {
				return
			}
			at = batch.Last()
		}
	}()
	defer func() {
		for range readings {
			continue // the reader ends before the caller uses the log again
		}
	}()
	defer end()
	for r := range readings {
		if r.err != nil {
			return r.err
		}
		if len(r.batch.Entries) == 0 {
			break
		}
		if r.batch.Skipped > 0 && (!r.batch.After.IsZero() || r.batch.Entries[0].ID.Seq > b.bounds.Base) {
			return fmt.Errorf("events after %s were removed from the log meanwhile: %w", r.batch.After, ErrRebuildLost)
		}
		if err := apply(ctx, r.batch); err != nil {
			if errors.Is(err, ErrCheckpointMoved) || errors.Is(err, pgx.ErrNoRows) || NotMigrated(err) {
				return fmt.Errorf("another program has changed the second place: %w: %w", ErrRebuildLost, err)
			}
			return err
		}
		b.at = r.batch.Last()
		b.tell(RebuildFolds, b.at.Seq)
	}
	if b.at != to && to.Seq >= b.bounds.Base {
		return fmt.Errorf("the log no longer has the event %s: %w", to, ErrRebuildLost)
	}
	return nil
}

// upTo returns the part of a batch up to an event.
func upTo(batch events.Batch, last events.ID) events.Batch {
	n := len(batch.Entries)
	for n > 0 && batch.Entries[n-1].ID.Seq > last.Seq {
		n--
	}
	batch.Entries = batch.Entries[:n:n]
	return batch
}

// foldToEnd folds everything that is in the log now.
func (b *rebuilding) foldToEnd(ctx context.Context) error {
	last, err := b.runner.reader.Last(ctx)
	if err != nil || last.Seq <= b.at.Seq {
		return err
	}
	return b.foldTo(ctx, last)
}

// catchUp applies to the live view what was in the log when the rebuild began, if no coordinator has.
func (b *rebuilding) catchUp(ctx context.Context) error {
	at, err := b.live.Checkpoint(ctx)
	for err == nil && at.Seq < b.bounds.Last.Seq {
		var batch events.Batch
		if batch, err = b.reader.Read(ctx, at); err != nil {
			break
		}
		err = b.live.Apply(ctx, batch)
		at = batch.Last()
		if errors.Is(err, ErrCheckpointMoved) {
			at, err = b.live.Checkpoint(ctx)
		}
	}
	return err
}

// drop empties the second place, also after an interruption. If it cannot, the next rebuild does it.
func (b *rebuilding) drop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropWithin)
	defer cancel()
	if err := b.place.drop(ctx); err != nil {
		b.runner.cfg.Logger.WarnContext(ctx, "cannot delete the second place of a rebuild; the next rebuild deletes it",
			"projection", b.found.Name, "error", err)
	}
}
