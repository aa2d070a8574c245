package span

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/events"
)

// ErrBound is wrapped by the error of Parse.
var ErrBound = errors.New("not a position in the log")

// Parse parses a bound of a span: an event's ID, a time (RFC 3339), or ms since 1970. A time includes
// all events of its millisecond; end says that the bound is the last one. "" is the zero ID.
func Parse(text string, end bool) (events.ID, error) {
	if text == "" {
		return events.ID{}, nil
	}
	if id, err := events.ParseID(text); err == nil {
		return id, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		var at time.Time
		at, err = time.Parse(time.RFC3339Nano, text)
		ms = at.UnixMilli()
	}
	if err != nil || ms < 0 {
		return events.ID{}, fmt.Errorf("%.100q: %w; pass an event ID (1700000000000-42), a time (2026-01-02T03:04:05Z) or milliseconds since 1970", text, ErrBound)
	}
	if end {
		return events.ID{MS: ms, Seq: math.MaxInt64}, nil
	}
	return events.ID{MS: ms}, nil
}
