// Package position parses the positions in the log that people write: an event's ID, its seq, or a
// time. The commands replay, state, diff and history, and the methods with a param `at`, take the
// same ones. It reads nothing by itself; a position by seq is looked up in the log that the caller
// passes, whose errors are returned as they are.
package position

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/events"
)

// Help describes positions in the help of a command.
const Help = `A position in the log is an event's ID (1700000000000-42), its seq (42), a time
(2026-01-02T03:04:05Z, RFC 3339), or milliseconds since 1970. A number below 100000000000 is
a seq. A time includes all events of its millisecond. 0 is before the first event.`

// MaxLength is the maximum length of a position's text where a call brings it.
const MaxLength = 64

// ErrInvalid is wrapped by the error of Parse.
var ErrInvalid = errors.New("not a position in the log")

// ErrAfter is the error for a position whose event the log does not have yet.
var ErrAfter = errors.New("the log ends before it")

// firstMS is the lowest number that is a time: in 1973, long before any log and after any seq.
const firstMS = 100_000_000_000

// Position is a position in a log. The zero value is open: it is before the first event where a span
// begins, and behind the last one where a span ends.
type Position struct {
	id  events.ID // of an event
	ms  int64     // the time, 0 for none
	seq int64     // 0 for none
	// start is set for the position before the first event.
	start bool
}

// Parse parses a position. "" is the open one. The error wraps ErrInvalid, and says what is valid.
func Parse(text string) (Position, error) {
	if text == "" {
		return Position{}, nil
	}
	if id, err := events.ParseID(text); err == nil {
		return Position{id: id, start: id.IsZero()}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		var at time.Time
		if at, err = time.Parse(time.RFC3339Nano, text); err == nil {
			n = max(at.UnixMilli(), firstMS) // every log is later
		}
	}
	switch {
	case err != nil || n < 0:
		return Position{}, fmt.Errorf("%q: %w; pass an event ID (1700000000000-42), a seq (42), a time (2026-01-02T03:04:05Z) or milliseconds since 1970", text, ErrInvalid)
	case n < firstMS:
		return Position{seq: n, start: n == 0}, nil
	}
	return Position{ms: n}, nil
}

// IsOpen reports whether the position is open.
func (p Position) IsOpen() bool { return p == Position{} }

// Includes reports whether an event is at the position or before it. Every event is, if it is open.
func (p Position) Includes(id events.ID) bool {
	switch {
	case p.start:
		return false
	case p.seq != 0:
		return id.Seq <= p.seq
	case p.ms != 0:
		return id.MS <= p.ms
	}
	return p.IsOpen() || id.Compare(p.id) <= 0
}

// Locator finds an event by its seq. An *events.Reader is one.
type Locator interface {
	// Locate returns the ID of the first event whose seq is at least seq, zero if there is none.
	Locate(ctx context.Context, seq int64) (events.ID, error)
}

// Span returns the inclusive bounds of the events from one position to another, as
// events.Reader.Range takes them. It returns ErrAfter if the log ends before from.
func Span(ctx context.Context, log Locator, from, to Position) (first, last events.ID, err error) {
	switch {
	case from.seq != 0:
		if first, err = log.Locate(ctx, from.seq); err == nil && first.IsZero() {
			err = ErrAfter
		}
	case from.ms != 0:
		first = events.ID{MS: from.ms}
	default:
		first = from.id
	}
	if err != nil {
		return first, last, err
	}
	switch {
	case to.start:
		last = events.ID{MS: 1} // the zero ID would be open
	case to.seq != 0:
		last, err = log.Locate(ctx, to.seq)
		if last.Seq > to.seq { // its event is gone, and the one found is behind it
			last.Seq = to.seq
		}
	case to.ms != 0:
		last = events.ID{MS: to.ms, Seq: math.MaxInt64}
	default:
		last = to.id
	}
	return first, last, err
}
