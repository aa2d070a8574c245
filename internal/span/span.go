package span

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/claudebench/claudebench/events"
)

// Span is a part of the log.
type Span struct {
	// From and To are its inclusive bounds, for example of position.Span. The zero From is the first event kept. The
	// zero To is the log's last event at the time of the call.
	From, To events.ID
	// Follow goes on with new events until the context ends. To must then be zero.
	Follow bool
	// Types is a list for events.ParseFilter. Task and Instance are those of events.Subjects. A
	// coordinator sends only the events that match all of them. Redis has no index of them, so a log
	// in Redis returns the others too: the caller selects in any case.
	Types, Task, Instance string
}

// Batch is a run of events, and what is missing before them.
type Batch struct {
	// Gaps say which events before the entries are gone, and why.
	Gaps []events.Gap
	// Entries are the events in order. One with Err set is not an event.
	Entries []events.Entry
	// Foreign counts the entries in Redis that are not events and have no place among them.
	Foreign int64
	// Position is behind everything that was looked at.
	Position events.ID
}

// Log is a log that can be read.
type Log interface {
	// Last returns the ID of the last event, zero if there is none.
	Last(ctx context.Context) (events.ID, error)
	// Batches returns the events of a span. It holds one batch at a time. An error ends it: an
	// *events.GapError at events that nothing explains, an *events.RolledBackError, or one of the
	// connection or of ctx.
	Batches(ctx context.Context, s Span) iter.Seq2[Batch, error]
}

const (
	// pageSize is how many events are read at once.
	pageSize = 1000
	// retryEvery is the time between two attempts to read on.
	retryEvery = 500 * time.Millisecond
	// patience is how long a coordinator may be away.
	patience = time.Minute
)

// walk reads batches from a position.
type walk struct {
	read   func(ctx context.Context, after events.ID) (events.Batch, error)
	at     events.ID
	end    events.ID // the last event, or a bound behind it; not used with follow
	follow bool
	// patient is how long a read that has begun may fail.
	patient time.Duration
	// ends is set if read does not wait: an empty batch is the end.
	ends   bool
	logger *slog.Logger
	// foreign counts foreign entries. Nil means that there are none.
	foreign *atomic.Int64
}

// batches yields what is read until the end, and reports whether the caller wants more.
func (w walk) batches(ctx context.Context, yield func(Batch, error) bool) {
	var failing time.Time
	begun := false
	for w.follow || w.at.Compare(w.end) < 0 {
		batch, err := w.read(ctx, w.at)
		switch {
		case ctx.Err() != nil:
			yield(Batch{}, ctx.Err())
			return
		case errors.Is(err, events.ErrEnd):
			return
		case err != nil && w.again(ctx, err, begun, &failing):
			continue
		case err != nil:
			yield(Batch{}, err)
			return
		case !failing.IsZero():
			w.logger.Info("the log can be read again")
			failing = time.Time{}
		}
		begun = true
		if w.ends && len(batch.Entries) == 0 {
			return
		}
		w.at = batch.Last()
		found := Batch{Gaps: batch.Gaps(), Entries: batch.Entries, Position: w.at}
		if !w.follow {
			found.cut(w.end)
		}
		if w.foreign != nil {
			found.Foreign = w.foreign.Swap(0)
		}
		if !yield(found, nil) {
			return
		}
	}
}

// again waits after a failure, and reports whether to read again.
func (w walk) again(ctx context.Context, err error, begun bool, since *time.Time) bool {
	var refused *events.StatusError
	if !begun || events.IsBroken(err) || errors.As(err, &refused) && refused.Permanent() {
		return false
	}
	if since.IsZero() {
		*since = time.Now()
		if w.patient > 0 {
			w.logger.Warn("cannot read the log; retrying", "error", err)
		}
	}
	if time.Since(*since) >= w.patient {
		return false
	}
	timer := time.NewTimer(retryEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// cut removes what is behind the end.
func (b *Batch) cut(end events.ID) {
	for i, e := range b.Entries {
		if e.ID.Compare(end) > 0 {
			b.Entries, b.Position = b.Entries[:i], end
			return
		}
	}
}

// forever is the patience of a read that follows.
const forever = time.Duration(math.MaxInt64)

// before returns the ID before another one, which need not be that of an event.
func before(id events.ID) events.ID {
	switch {
	case id.Seq > 0:
		return events.ID{MS: id.MS, Seq: id.Seq - 1}
	case id.MS > 0:
		return events.ID{MS: id.MS - 1, Seq: math.MaxInt64}
	}
	return events.ID{}
}
