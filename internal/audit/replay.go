package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
)

// ReplayOptions say which part of the log Replay prints. Redis is required.
type ReplayOptions struct {
	Redis     redis.UniversalClient
	Namespace string
	// Archive has the events that are no longer in Redis. Nil means that they are gone.
	Archive events.Archive
	// From and To are inclusive bounds: an event's ID, a time (RFC 3339), or ms since 1970. ""
	// means no bound.
	From, To string
	// Types is a list for events.ParseFilter: `task.*,instance.failed`. "" means all.
	Types string
}

// ErrBound is wrapped by the error of Replay for an invalid From or To.
var ErrBound = errors.New("not a position in the log")

// Replayed counts what Replay read.
type Replayed struct {
	Printed int64 // events printed
	Other   int64 // events of other types
	Foreign int64 // entries of the log that are not events, which were skipped
}

// Replay prints the log as JSON Lines: one envelope a line, exactly as stored. It holds one batch
// at a time in memory. If the log has a gap, it prints the events before it and returns an
// *events.GapError.
func Replay(ctx context.Context, w io.Writer, o ReplayOptions) (Replayed, error) {
	var done Replayed
	from, err := bound("--from", o.From, false)
	if err != nil {
		return done, err
	}
	to, err := bound("--to", o.To, true)
	if err != nil {
		return done, err
	}
	if o.Types == "" {
		o.Types = events.All
	}
	filter, err := events.ParseFilter(o.Types)
	if err != nil {
		return done, err
	}
	reader, err := events.NewReader(o.Redis, events.ReaderConfig{
		Namespace: o.Namespace, Archive: o.Archive,
		OnForeign: func(events.ForeignEntry) { done.Foreign++ },
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return done, fmt.Errorf("replay: %w", err)
	}
	out := bufio.NewWriterSize(w, 1<<16)
	for entry, err := range reader.Range(ctx, from, to) {
		switch {
		case err != nil:
			if flushErr := out.Flush(); flushErr != nil {
				return done, fmt.Errorf("replay: %w", flushErr)
			}
			return done, fmt.Errorf("replay: %w", err)
		case entry.Err != nil:
			done.Foreign++
			continue
		case !filter.Match(entry.Envelope.Type):
			done.Other++
			continue
		}
		done.Printed++
		if _, err := out.Write(entry.Raw); err != nil {
			return done, fmt.Errorf("replay: %w", err)
		}
		if err := out.WriteByte('\n'); err != nil {
			return done, fmt.Errorf("replay: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return done, fmt.Errorf("replay: %w", err)
	}
	return done, nil
}

// bound parses From, or with end, To. A time includes all events of its millisecond.
func bound(flag, text string, end bool) (events.ID, error) {
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
		return events.ID{}, fmt.Errorf("%s %q: %w; pass an event ID (1700000000000-42), a time (2026-01-02T03:04:05Z) or milliseconds since 1970", flag, text, ErrBound)
	}
	if end {
		return events.ID{MS: ms, Seq: math.MaxInt64}, nil
	}
	return events.ID{MS: ms}, nil
}
