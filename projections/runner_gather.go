package projections

import (
	"context"
	"time"

	"github.com/claudebench/claudebench/events"
)

const (
	// busy is how many events a batch has at least if the log is busy: 2,000 a second at the pace
	// of linger.
	busy = 40
	// freshness bounds how long a gathering reader holds events back.
	freshness = 200 * time.Millisecond
	// maxGathered and maxGatheredBytes bound the memory of a gathered batch.
	maxGathered      = 20_000
	maxGatheredBytes = 8 << 20
)

// gatherer reads larger batches while the log is busy, for a projection whose write costs more than
// its fold: a task that is created, claimed and completed within one batch is one write. On a quiet
// log it returns what there is.
type gatherer struct {
	reader events.BatchReader
	wanted func() bool // somebody waits for the projection; nil if nobody ever does
}

// Read returns the batch after an event. After a busy batch it reads on until the log is quiet,
// somebody waits, or a bound is reached.
func (g gatherer) Read(ctx context.Context, after events.ID) (events.Batch, error) {
	first, err := g.reader.Read(ctx, after)
	if err != nil || len(first.Entries) < busy {
		return first, err
	}
	parts, count, bytes := []events.Batch{first}, len(first.Entries), size(first)
	for until := time.Now().Add(freshness); count < maxGathered && bytes < maxGatheredBytes; {
		wait := min(time.Until(until), 2*linger)
		if wait <= 0 || g.wanted != nil && g.wanted() {
			break
		}
		next, err := g.readWithin(ctx, wait, parts[len(parts)-1].Last())
		if err != nil || next.Skipped > 0 {
			break // the log is quiet, or the next Read finds what is wrong
		}
		parts, count, bytes = append(parts, next), count+len(next.Entries), bytes+size(next)
	}
	return gathered(parts), ctx.Err()
}

// gathered returns the batches as one. Its events are not decoded again.
func gathered(parts []events.Batch) events.Batch {
	whole := events.Join(parts)
	if len(parts) > 1 {
		whole.Once(func() any {
			facts := make([]fact, 0, len(whole.Entries))
			for _, part := range parts {
				facts = append(facts, factsOf(part)...)
			}
			return facts
		})
	}
	return whole
}

func (g gatherer) readWithin(ctx context.Context, wait time.Duration, after events.ID) (events.Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return g.reader.Read(ctx, after)
}

// size returns how many bytes the events of a batch have.
func size(b events.Batch) int {
	n := 0
	for i := range b.Entries {
		n += len(b.Entries[i].Raw)
	}
	return n
}
