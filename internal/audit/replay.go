package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/position"
)

// ReplayOptions say which part of the log Replay prints. Redis is required.
type ReplayOptions struct {
	Redis     redis.UniversalClient
	Namespace string
	// Archive has the events that are no longer in Redis. Nil means that they are gone.
	Archive events.Archive
	// From and To are inclusive bounds, as package position describes them. "" means no bound.
	From, To string
	// Types is a list for events.ParseFilter: `task.*,instance.failed`. "" means all.
	Types string
}

// Replayed counts what Replay read.
type Replayed struct {
	Printed int64 // events printed
	Other   int64 // events of other types
	Foreign int64 // entries of the log that are not events, which were skipped
}

// Replay prints the log as JSON Lines: one envelope a line, exactly as stored. It holds one batch
// at a time in memory. If the log has a gap, it prints the events before it and returns an
// *events.GapError. An invalid From or To is an error that wraps position.ErrInvalid.
func Replay(ctx context.Context, w io.Writer, o ReplayOptions) (Replayed, error) {
	var done Replayed
	first, err := position.Parse(o.From)
	if err != nil {
		return done, fmt.Errorf("--from %w", err)
	}
	last, err := position.Parse(o.To)
	if err != nil {
		return done, fmt.Errorf("--to %w", err)
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
	from, to, err := position.Span(ctx, reader, first, last)
	if errors.Is(err, position.ErrAfter) {
		return done, nil
	}
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
