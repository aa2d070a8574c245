package span

import (
	"context"
	"iter"
	"log/slog"
	"math"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
)

// InRedis returns the log in Redis. config is that of its reader, and its logger gets the failures of
// a read that follows.
func InRedis(client redis.UniversalClient, config events.ReaderConfig) (Log, error) {
	l := inRedis{logger: config.Logger, foreign: new(atomic.Int64)}
	config.OnForeign = func(events.ForeignEntry) { l.foreign.Add(1) }
	var err error
	l.Reader, err = events.NewReader(client, config)
	return l, err
}

type inRedis struct {
	*events.Reader
	logger  *slog.Logger
	foreign *atomic.Int64
}

// Batches implements Log.
func (l inRedis) Batches(ctx context.Context, s Span) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		w := walk{follow: s.Follow, ends: !s.Follow, logger: l.logger, foreign: l.foreign}
		gap, err := l.start(ctx, s, &w)
		if err != nil {
			yield(Batch{}, err)
			return
		}
		if gap.To > 0 && !yield(Batch{Gaps: []events.Gap{gap}}, nil) {
			return
		}
		w.read = func(ctx context.Context, after events.ID) (events.Batch, error) { return l.Page(ctx, after, pageSize) }
		if s.Follow {
			w.read, w.patient = l.Read, forever
		}
		w.batches(ctx, yield)
	}
}

// start finds the ends of a span, and the events that are gone before the first one kept.
func (l inRedis) start(ctx context.Context, s Span, w *walk) (gone events.Gap, err error) {
	bounds, err := l.Bounds(ctx)
	if err != nil {
		return gone, err
	}
	if w.end = s.To; w.end.IsZero() || bounds.Last.Compare(w.end) < 0 {
		if w.end = bounds.Last; bounds.Seq > bounds.Last.Seq && s.To.IsZero() {
			w.end = events.ID{MS: math.MaxInt64} // the last entry is not an event
		}
	}
	if !s.From.IsZero() {
		if w.at, err = l.Floor(ctx, before(s.From)); err != nil || !w.at.IsZero() {
			return gone, err
		}
	}
	if bounds.Base > 1 && !bounds.First.IsZero() {
		gone = events.Gap{From: 1, To: bounds.Base - 1, Reason: events.GapTrimmed}
		first, _, err := l.At(ctx, bounds.First)
		if err != nil {
			return gone, err
		}
		if first.Envelope.Type == events.TypeSystemFlushed {
			gone.Reason = events.GapFlushed
		}
	}
	return gone, nil
}
