package eventsource

import (
	"strconv"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/stream"
)

// This file writes the fields of the stream. No value may contain a line break, because it would
// begin a new field.

// appendID appends a position. The position before every event is 0.
func appendID(out []byte, id events.ID) []byte {
	if id.IsZero() {
		return append(out, '0')
	}
	return append(out, id.String()...)
}

// Position returns a position as text, which NewQuery accepts.
func Position(id events.ID) string { return string(appendID(nil, id)) }

// appendPreface appends the beginning of a stream.
func appendPreface(out []byte, at events.ID) []byte {
	out = append(out, ": claudebench\nretry: 1000\nid: "...)
	return append(appendID(out, at), "\n\n"...)
}

// appendHeartbeat appends a comment, and the position. An id without data dispatches no event.
func appendHeartbeat(out []byte, at events.ID) []byte {
	out = append(out, ": heartbeat\nid: "...)
	return append(appendID(out, at), "\n\n"...)
}

// appendEvent appends an event of the log.
func appendEvent(out []byte, e *events.Entry, data []byte) []byte {
	out = append(out, "id: "...)
	out = appendID(out, e.ID)
	out = append(out, "\nevent: "...)
	out = append(out, unbroken(string(e.Envelope.Type))...)
	out = append(out, "\ndata: "...)
	out = append(out, data...)
	return append(out, "\n\n"...)
}

// appendGap appends a gap.
func appendGap(out []byte, g *stream.Gap) []byte {
	out = append(out, "id: "...)
	out = appendID(out, g.Resume)
	out = append(out, "\nevent: gap\ndata: "...)
	out = AppendGap(out, g)
	return append(out, "\n\n"...)
}

// AppendGap appends a gap as JSON.
func AppendGap(out []byte, g *stream.Gap) []byte {
	out = append(out, `{"from":`...)
	out = strconv.AppendInt(out, g.From, 10)
	out = append(out, `,"to":`...)
	out = strconv.AppendInt(out, g.To, 10)
	out = append(out, `,"reason":"`...)
	out = append(out, g.Reason...)
	if g.Reason == stream.RolledBack {
		out = append(out, `","last":"`...)
		out = appendID(out, g.Last)
	}
	return append(out, `"}`...)
}

// appendEnd appends the end of a stream.
func appendEnd(out []byte, end *stream.EndError) []byte {
	out = append(out, "event: end\ndata: "...)
	out = AppendEnd(out, end)
	return append(out, "\n\n"...)
}

// AppendEnd appends the end of a stream as JSON.
func AppendEnd(out []byte, end *stream.EndError) []byte {
	out = append(out, `{"reason":"`...)
	out = append(out, end.Cause...)
	out = append(out, `","after":"`...)
	out = appendID(out, end.After)
	return append(out, `"}`...)
}

// unbroken returns a name without line breaks. Types of events have none unless another program
// wrote them.
func unbroken(name string) string {
	if !strings.ContainsAny(name, "\r\n\x00") {
		return name
	}
	return strings.NewReplacer("\r", "\ufffd", "\n", "\ufffd", "\x00", "\ufffd").Replace(name)
}
