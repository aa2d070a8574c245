package events

import "context"

// GapReason says why a subscriber does not get events.
type GapReason string

// The reasons of gaps.
const (
	GapFlushed   GapReason = "flushed"   // a flush removed them
	GapTrimmed   GapReason = "trimmed"   // the beginning of the log was removed, by its retention or by an operator
	GapMissing   GapReason = "missing"   // the log lacks them, and nothing explains it
	GapMalformed GapReason = "malformed" // the log has an entry with this seq that is not an event
)

// Gap says that a subscriber does not get the events with these seqs, because they are gone. It may
// not have selected them.
type Gap struct {
	From   int64     `json:"from"`
	To     int64     `json:"to"`
	Reason GapReason `json:"reason"`
}

// Gaps returns the gaps between After and the batch's first entry. A batch from the beginning of the
// log has none: it starts with the first event kept.
func (b Batch) Gaps() []Gap {
	switch {
	case b.gaps != nil || b.Skipped == 0 || b.After.IsZero() || len(b.Entries) == 0:
		return b.gaps
	case b.Entries[0].Envelope.Type == TypeSystemFlushed:
		return []Gap{{b.After.Seq + 1, b.Entries[0].ID.Seq - 1, GapFlushed}}
	}
	return []Gap{{b.After.Seq + 1, b.Entries[0].ID.Seq - 1, GapTrimmed}}
}

// told reports a gap until onGap returns nil, or ctx ends. wait waits between two attempts.
func (g Gap) told(ctx context.Context, onGap func(context.Context, Gap) error, failed func(error), wait func(context.Context) error) error {
	for {
		err := onGap(ctx, g)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed(err)
		if err := wait(ctx); err != nil {
			return err
		}
	}
}
