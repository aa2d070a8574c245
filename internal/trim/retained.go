package trim

import (
	"context"
	"fmt"
	"math"

	"github.com/claudebench/claudebench/events"
)

// retained returns the first event that the policy keeps; the zero ID if the log has none.
func (t *Trimmer) retained(ctx context.Context, p Policy) (events.ID, error) {
	last, err := t.log.Last(ctx)
	if err != nil || last.IsZero() {
		return events.ID{}, err
	}
	to, err := t.log.Locate(ctx, 1) // the first event of the log
	if err != nil {
		return to, err
	}
	if p.Age > 0 {
		young, err := t.youngerThan(ctx, p, last)
		if err != nil {
			return to, err
		}
		to = later(to, young)
	}
	if p.Events > 0 {
		at, err := t.log.Locate(ctx, last.Seq-p.Events+1)
		if err != nil {
			return to, err
		}
		to = later(to, at)
	}
	most, err := t.log.Locate(ctx, last.Seq-Kept+1)
	if err != nil || most.Seq < to.Seq {
		to = most
	}
	return to, err
}

// youngerThan returns the first event that is not older than the policy's age, last if all are older.
func (t *Trimmer) youngerThan(ctx context.Context, p Policy, last events.ID) (events.ID, error) {
	now, err := t.client.Time(ctx).Result()
	if err != nil {
		return events.ID{}, fmt.Errorf("ask Redis for the time: %w", err)
	}
	young, err := t.log.Following(ctx, events.ID{MS: max(now.Add(-p.Age).UnixMilli()-1, 0), Seq: math.MaxInt64})
	if err == nil && young.IsZero() {
		young = last
	}
	return young, err
}

func later(a, b events.ID) events.ID {
	if b.Seq > a.Seq {
		return b
	}
	return a
}
