package audit

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/span"
)

// ReplayOptions say which events Replay prints, and how. Log and Render are required.
type ReplayOptions struct {
	Log  span.Log
	Span span.Span
	// Actor is the actor of the events: all of it, or a token's name for all its instances. Cause is
	// what caused them. "" means all.
	Actor, Cause string
	// Render appends an event to a text, with the end of its line.
	Render func(text []byte, e *events.Entry) []byte
	// OnGap is called for events that are gone.
	OnGap func(events.Gap)
	// Progress, if it is set, is called after each batch with its position.
	Progress func(at events.ID)
}

// Replayed counts what Replay read.
type Replayed struct {
	Printed int64 // events printed
	Other   int64 // events that were not selected; a coordinator sends few of them
	Foreign int64 // entries of the log that are not events, which were skipped
}

// Replay prints events of the log. It holds one batch at a time in memory, and writes each batch
// before it reads the next. If the log has a gap that nothing explains, it prints the events before
// it and returns an *events.GapError.
func Replay(ctx context.Context, w io.Writer, o ReplayOptions) (Replayed, error) {
	var done Replayed
	if o.Span.Types == "" {
		o.Span.Types = events.All
	}
	filter, err := events.ParseFilter(o.Span.Types)
	if err != nil {
		return done, err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	var text []byte
	for batch, err := range o.Log.Batches(ctx, o.Span) {
		if err != nil {
			return done, fmt.Errorf("replay: %w", err)
		}
		done.Foreign += batch.Foreign
		for _, gap := range batch.Gaps {
			if gap.Reason == events.GapMalformed {
				done.Foreign += gap.To - gap.From + 1
			} else if o.OnGap != nil {
				o.OnGap(gap)
			}
		}
		for i := range batch.Entries {
			e := &batch.Entries[i]
			switch {
			case e.Err != nil:
				done.Foreign++
				continue
			case !filter.Match(e.Envelope.Type) || !o.selects(&e.Envelope):
				done.Other++
				continue
			}
			done.Printed++
			text = o.Render(text[:0], e)
			if _, err := out.Write(text); err != nil {
				return done, fmt.Errorf("replay: %w", err)
			}
		}
		if err := out.Flush(); err != nil {
			return done, fmt.Errorf("replay: %w", err)
		}
		if o.Progress != nil {
			o.Progress(batch.Position)
		}
	}
	return done, nil
}

// selects reports whether an event is one of those to print, apart from its type.
func (o *ReplayOptions) selects(e *events.Envelope) bool {
	if o.Actor != "" && e.Actor != o.Actor && !strings.HasPrefix(e.Actor, o.Actor+"/") {
		return false
	}
	if o.Cause != "" && (e.Cause == nil || *e.Cause != o.Cause) {
		return false
	}
	if o.Span.Task == "" && o.Span.Instance == "" {
		return true
	}
	about := e.Subjects()
	return (o.Span.Task == "" || about.Task == o.Span.Task) && (o.Span.Instance == "" || about.Concerns(o.Span.Instance))
}
