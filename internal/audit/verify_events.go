package audit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/projections"
)

// eventsPerChunk is how many seqs a chunk has.
const eventsPerChunk = 1000

// eventChunk sums up some events that follow each other: their number and the sum of their hashes.
type eventChunk struct {
	from, to events.ID // of the log; zero if it has none of them
	count    int64
	sum      uint64
}

// eventSums sums up the events of the log as the index of events stores them, in chunks of a fixed
// range of seq. The log is read only once, and of a million events some kilobytes are kept. A chunk
// whose rows sum up to something else is read again.
type eventSums struct {
	seed   maphash.Seed
	chunks map[int64]*eventChunk // by seq / eventsPerChunk
}

func newEventSums() *eventSums {
	return &eventSums{seed: maphash.MakeSeed(), chunks: map[int64]*eventChunk{}}
}

// add adds an event of the log.
func (s *eventSums) add(e *events.Envelope) {
	row := projections.EventRowOf(e)
	c := s.chunks[e.Seq/eventsPerChunk]
	if c == nil {
		c = &eventChunk{from: e.ID}
		s.chunks[e.Seq/eventsPerChunk] = c
	}
	c.to = e.ID
	c.add(s.seed, &row)
}

func (c *eventChunk) add(seed maphash.Seed, row *projections.EventRow) {
	c.count++
	c.sum += maphash.Comparable(seed, comparableRow(row))
}

// storedEvent is a row whose values can be compared.
type storedEvent struct {
	Seq, MS, Task, V             string
	Type, Instance, Other, Actor string
	Cause, Trace                 string
	HasCause, HasTrace           bool
	Payload                      string
}

func comparableRow(r *projections.EventRow) storedEvent {
	return storedEvent{
		Seq: decimal(r.Seq), MS: decimal(r.MS), Task: count(r.Task), V: decimal(int64(r.V)), Type: r.Type,
		Instance: deref(r.Instance), Other: deref(r.Other), Actor: r.Actor, Cause: deref(r.Cause), Trace: deref(r.Trace),
		HasCause: r.Cause != nil, HasTrace: r.Trace != nil, Payload: r.Payload,
	}
}

// events compares the index of events with the log, up to the position that it has applied.
func (v *verifier) events(ctx context.Context) error {
	if v.Options.Postgres == nil {
		return nil // rows has said so
	}
	at, has, err := v.indexPosition(ctx)
	if err != nil || !has {
		return err
	}
	if err := v.to(ctx, at.Seq); err != nil {
		return err
	}
	if at.Seq == v.fold.Seq() && at != v.fold.Last() {
		v.report.violation("projection events has its checkpoint at %s, but the log has %s at that position", at, v.fold.Last())
	}
	suspects, err := v.suspectChunks(ctx, at.Seq)
	if err == nil {
		err = v.recheck(ctx, suspects, at.Seq)
	}
	if errors.Is(err, projections.ErrCheckpointMoved) {
		return errRebuilt
	}
	v.report.Index = err == nil
	return err
}

// indexPosition returns the position up to which the index can be compared; has is false if it cannot
// be compared at all. A coordinator that keeps the index must have applied what was folded.
func (v *verifier) indexPosition(ctx context.Context) (at events.ID, has bool, err error) {
	at, log, has, err := v.Options.Postgres.EventsCheckpoint(ctx)
	switch {
	case err != nil:
		return at, false, err
	case !has:
		v.report.note("The event index was not compared: this database has none.")
		return at, false, nil
	case log != "" && log != v.identity:
		v.foreignLog("the event index in Postgres", "events --take-over", log)
		return at, false, nil
	case at.Seq >= v.fold.Seq():
		return at, true, nil
	}
	kept, err := v.Redis.Exists(ctx, v.keys.Lease("events")).Result()
	if err != nil {
		return at, false, fmt.Errorf("find who keeps the event index: %w", err)
	}
	if kept == 0 {
		v.report.note("No coordinator keeps the event index. It was compared only up to seq %d.", at.Seq)
		return at, true, nil
	}
	has, err = v.await(ctx, "events", func() (int64, bool, error) {
		at, _, _, err = v.Options.Postgres.EventsCheckpoint(ctx)
		return at.Seq, at.Seq >= v.fold.Seq(), err
	})
	return at, has, err
}

// suspectChunks returns the chunks whose rows do not sum up to those of the log, and the last one if
// the log goes on in it.
func (v *verifier) suspectChunks(ctx context.Context, upTo int64) ([]int64, error) {
	sums := v.tail.sums
	stored := map[int64]*eventChunk{}
	err := v.Options.Postgres.ReadEventRows(ctx, 0, upTo, func(row *projections.EventRow) error {
		v.report.EventRows++
		if v.olderEvent(row.Seq) {
			return nil
		}
		c := stored[row.Seq/eventsPerChunk]
		if c == nil {
			c = &eventChunk{}
			stored[row.Seq/eventsPerChunk] = c
		}
		c.add(sums.seed, row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	suspects := map[int64]bool{}
	for n, c := range sums.chunks {
		if s := stored[n]; c.from.Seq <= upTo && (s == nil || s.count != c.count || s.sum != c.sum) {
			suspects[n] = true
		}
	}
	for n := range stored {
		if sums.chunks[n] == nil {
			suspects[n] = true
		}
	}
	return slices.Sorted(maps.Keys(suspects)), nil
}

// olderEvent reports whether a row is older than the log, and may be there: its event was trimmed, or
// a flush left it in Postgres.
func (v *verifier) olderEvent(seq int64) bool {
	return seq < v.fold.Base() && seq > v.fold.FlushedViews()
}

// recheck compares the rows of some chunks with the log one by one.
func (v *verifier) recheck(ctx context.Context, chunks []int64, upTo int64) error {
	for _, n := range chunks {
		log := map[int64]projections.EventRow{}
		if c := v.tail.sums.chunks[n]; c != nil {
			for entry, err := range v.tail.reader.Range(ctx, c.from, c.to) {
				var gap *events.GapError
				switch {
				case errors.As(err, &gap), err == nil && (entry.Err != nil || entry.ID.Seq > upTo):
				case err != nil:
					return fmt.Errorf("read the log again: %w", err)
				default:
					log[entry.ID.Seq] = projections.EventRowOf(&entry.Envelope)
				}
			}
		}
		bounds, err := v.tail.reader.Bounds(ctx)
		if err != nil {
			return err
		}
		first, last := n*eventsPerChunk, min((n+1)*eventsPerChunk-1, upTo)
		if err := v.Options.Postgres.ReadEventRows(ctx, first, last, func(row *projections.EventRow) error {
			want, there := log[row.Seq]
			trimmed := row.Seq >= v.fold.Base() && row.Seq < bounds.Base // since it was folded
			delete(log, row.Seq)
			switch {
			case there:
				v.eventRow(&want, row)
			case !v.olderEvent(row.Seq) && !trimmed:
				v.report.violation("Postgres row of event %d: it exists, but the log does not contain this event", row.Seq)
			}
			return nil
		}); err != nil {
			return err
		}
		for _, seq := range slices.Sorted(maps.Keys(log)) {
			v.report.violation("Postgres row of event %d: it is missing, but the log contains %s", seq, log[seq].Type)
		}
	}
	return nil
}

// eventRow compares a row with the event of the log.
func (v *verifier) eventRow(log, stored *projections.EventRow) {
	want, got := comparableRow(log), comparableRow(stored)
	differs := func(field, log, stored string) {
		v.differs(fmt.Sprintf("Postgres row of event %s", want.Seq), field, log, stored)
	}
	differs("ms", want.MS, got.MS)
	differs("task", want.Task, got.Task)
	differs("v", want.V, got.V)
	differs("type", want.Type, got.Type)
	differs("instance", want.Instance, got.Instance)
	differs("other", want.Other, got.Other)
	differs("actor", want.Actor, got.Actor)
	differs("cause", want.Cause, got.Cause)
	differs("trace", want.Trace, got.Trace)
	differs("payload", want.Payload, got.Payload)
}
