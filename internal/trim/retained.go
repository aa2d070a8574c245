package trim

import (
	"context"
	"fmt"
	"strings"

	"github.com/claudebench/claudebench/events"
)

// retained returns the first event that the policy keeps. It is an event of the log; the zero ID
// if the log has none.
func (t *Trimmer) retained(ctx context.Context, p Policy) (events.ID, error) {
	first, found, err := t.firstFrom(ctx, 0)
	if err != nil || !found {
		return events.ID{}, err
	}
	last, err := t.last(ctx)
	if err != nil {
		return events.ID{}, err
	}
	to := first
	if p.Age > 0 {
		now, err := t.client.Time(ctx).Result()
		if err != nil {
			return to, fmt.Errorf("ask Redis for the time: %w", err)
		}
		young, found, err := t.firstFrom(ctx, now.Add(-p.Age).UnixMilli())
		if err != nil {
			return to, err
		}
		if !found {
			young = last
		}
		to = later(to, young)
	}
	if p.Events > 0 {
		at, err := t.withSeq(ctx, first, last, last.Seq-p.Events+1)
		if err != nil {
			return to, err
		}
		to = later(to, at)
	}
	most, err := t.withSeq(ctx, first, last, last.Seq-Kept+1)
	if err != nil || most.Seq < to.Seq {
		to = most
	}
	return to, err
}

func later(a, b events.ID) events.ID {
	if b.Seq > a.Seq {
		return b
	}
	return a
}

// withSeq returns the ID of the event with a seq, or first if that is later. Times never go back, so
// it searches for the time at which the seq was reached.
func (t *Trimmer) withSeq(ctx context.Context, first, last events.ID, seq int64) (events.ID, error) {
	if seq <= first.Seq {
		return first, nil
	}
	low, high := first.MS, last.MS
	for low < high {
		middle := low + (high-low)/2
		next, found, err := t.firstFrom(ctx, middle+1)
		switch {
		case err != nil:
			return first, err
		case !found || next.Seq > seq:
			high = middle
		default:
			low = next.MS
		}
	}
	return events.ID{MS: low, Seq: seq}, nil
}

// firstFrom returns the first event that is not older than ms. It skips entries that other programs
// have added.
func (t *Trimmer) firstFrom(ctx context.Context, ms int64) (events.ID, bool, error) {
	from := events.ID{MS: ms}.String()
	for n := int64(1); ; n = 100 {
		page, err := t.client.XRangeN(ctx, t.space.Events(), from, "+", n).Result()
		if err != nil {
			return events.ID{}, false, fmt.Errorf("read the log: %w", err)
		}
		for _, m := range page {
			if id, ok := eventID(m.ID, m.Values); ok {
				return id, true, nil
			}
		}
		if int64(len(page)) < n {
			return events.ID{}, false, nil
		}
		from = "(" + page[len(page)-1].ID
	}
}

// last returns the last event of the log, which is not empty.
func (t *Trimmer) last(ctx context.Context) (events.ID, error) {
	from := "+"
	for n := int64(1); ; n = 100 {
		page, err := t.client.XRevRangeN(ctx, t.space.Events(), from, "-", n).Result()
		if err != nil {
			return events.ID{}, fmt.Errorf("read the end of the log: %w", err)
		}
		for _, m := range page {
			if id, ok := eventID(m.ID, m.Values); ok {
				return id, nil
			}
		}
		if int64(len(page)) < n {
			return events.ID{}, fmt.Errorf("read the end of the log: it has no event any more")
		}
		from = "(" + page[len(page)-1].ID
	}
}

// eventID returns the ID of an entry that is an event.
func eventID(entry string, values map[string]any) (events.ID, bool) {
	id, err := events.ParseID(entry)
	data, _ := values["data"].(string)
	return id, err == nil && strings.HasPrefix(data, `{"id":"`+entry+`","seq":`)
}
