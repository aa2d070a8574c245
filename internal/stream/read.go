package stream

import (
	"context"
	"errors"

	"github.com/claudebench/claudebench/events"
)

// Reason says why a subscriber does not get events.
type Reason string

// The reasons of gaps.
const (
	Flushed    Reason = "flushed"     // system.flush removed them
	Trimmed    Reason = "trimmed"     // an operator trimmed the log
	RolledBack Reason = "rolled_back" // Redis has lost the end of the log
	Missing    Reason = "missing"     // the log lacks them, and nothing explains it
	Malformed  Reason = "malformed"   // the log has an entry with this seq that is not an event
)

// Gap says that a subscriber does not get the events with these seqs. After a rollback it may have
// got events with these seqs that the log no longer has; other events have them now.
type Gap struct {
	From, To int64
	Reason   Reason
	Last     events.ID // of a rollback: the end of the log when it was noticed
	Resume   events.ID // a subscriber that resumes here does not get the gap again
}

// nodes turns the outcome of a read after a position into nodes. An error is one of Redis or of ctx.
func nodes(ctx context.Context, log *events.Reader, at events.ID, batch events.Batch, err error, shared *chain) ([]*node, error) {
	var rolledBack *events.RolledBackError
	var missing *events.GapError
	switch {
	case errors.As(err, &rolledBack):
		return afterRollback(ctx, log, rolledBack, shared)
	case errors.As(err, &missing):
		return afterMissing(ctx, log, at, missing)
	case err != nil:
		return nil, err
	case len(batch.Entries) == 0:
		return nil, nil
	}
	return split(at, batch), nil
}

// split makes nodes of a batch: a gap for what was removed, runs, and gaps for malformed events.
func split(at events.ID, batch events.Batch) []*node {
	var all []*node
	if batch.Skipped > 0 {
		first := batch.Entries[0]
		reason := Trimmed
		if first.Envelope.Type == events.TypeSystemFlushed {
			reason = Flushed
		}
		n := gapNode(at, just(first.ID), Gap{From: at.Seq + 1, To: first.ID.Seq - 1, Reason: reason})
		all, at = append(all, n), n.last
	}
	for rest := batch.Entries; len(rest) > 0; {
		if rest[0].Err != nil {
			id := rest[0].ID
			all, at = append(all, gapNode(at, id, Gap{From: id.Seq, To: id.Seq, Reason: Malformed})), id
			rest = rest[1:]
			continue
		}
		good := 1
		for good < len(rest) && rest[good].Err == nil {
			good++
		}
		n := runNode(at, rest[:good])
		all, at = append(all, n), n.last
		rest = rest[good:]
	}
	return all
}

// just returns the position just before an event. No event has it, but a reader that starts there
// continues with the event.
func just(id events.ID) events.ID { return events.ID{MS: id.MS, Seq: id.Seq - 1} }

func gapNode(before, resume events.ID, gap Gap) *node {
	n := newNode(before, resume)
	gap.Resume = resume
	n.gap = &gap
	return n
}

func runNode(before events.ID, list []events.Entry) *node {
	n := newNode(before, list[len(list)-1].ID)
	n.run.entries = make([]Entry, len(list))
	for i := range list {
		n.run.entries[i].Entry = list[i]
	}
	return n
}

// afterMissing continues behind missing events, at the event that the reader refused.
func afterMissing(ctx context.Context, log *events.Reader, at events.ID, missing *events.GapError) ([]*node, error) {
	entry, there, err := log.At(ctx, missing.At)
	if err != nil || !there || entry.Err != nil {
		return nil, err // it has gone meanwhile: the next read says why
	}
	gap := gapNode(at, just(entry.ID), Gap{From: missing.Expected, To: max(missing.Expected, missing.Got-1), Reason: Missing})
	return []*node{gap, runNode(gap.last, []events.Entry{entry})}, nil
}

// maxSteps limits the search for the end of what was common before a rollback.
const maxSteps = 10_000

// afterRollback continues behind the last event that the log had before it lost the checkpoint.
func afterRollback(ctx context.Context, log *events.Reader, e *events.RolledBackError, shared *chain) ([]*node, error) {
	at := e.Checkpoint
	common, err := log.Floor(ctx, at)
	if err != nil {
		return nil, err
	}
	if common == at {
		return nil, nil // there after all: another server replied
	}
	next, err := log.Following(ctx, at)
	if err != nil {
		return nil, err
	}
	if just(next) == at && common.Seq < at.Seq {
		// This is no event that was lost, but the position behind a gap.
		entry, there, err := log.At(ctx, next)
		if err != nil || !there || entry.Err != nil {
			return nil, err
		}
		return []*node{runNode(at, []events.Entry{entry})}, nil
	}
	// Clocks of two servers may differ, so events that were written since may be older than the
	// checkpoint. Who has seen the events before it knows better.
	for i := 0; shared != nil && i < maxSteps && !common.IsZero() && common.Compare(shared.first()) > 0 && !shared.knows(common); i++ {
		if common, err = log.Floor(ctx, just(common)); err != nil {
			return nil, err
		}
	}
	from := common.Seq + 1
	return []*node{gapNode(at, common, Gap{From: min(from, at.Seq), To: at.Seq, Reason: RolledBack, Last: e.LastInLog})}, nil
}
