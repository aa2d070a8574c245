package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// TimeLayout is the layout of times in payloads: ISO 8601 with milliseconds, in UTC.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// Envelope is an event as the log stores it.
type Envelope struct {
	ID        ID      // the entry's ID
	Seq       int64   // ID.Seq
	Type      Type    // what happened
	V         int     // the payload's version, from 1
	Timestamp int64   // ID.MS: when it happened by Redis's clock, ms
	Actor     string  // who acted
	Cause     *string // the request or event that caused it; nil if none
	// W3C traceparent of the command's span, or the incoming one without a span; nil if neither
	Trace   *string
	Payload json.RawMessage // a JSON object; see Decoded and PayloadAs
}

// Time returns Timestamp as a time in UTC.
func (e Envelope) Time() time.Time { return time.UnixMilli(e.Timestamp).UTC() }

// Encode returns the envelope as one line of JSON, with the members in the log's order. It does not
// escape strings for HTML, so users' data stays unchanged. It fails if the payload is not JSON.
func (e Envelope) Encode() ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(e.Payload) + 192)
	b.WriteString(`{"id":"`)
	b.Write(e.ID.append(b.AvailableBuffer()))
	b.WriteString(`","seq":`)
	b.Write(strconv.AppendInt(b.AvailableBuffer(), e.Seq, 10))
	b.WriteString(`,"type":`)
	writeString(&b, string(e.Type))
	b.WriteString(`,"v":`)
	b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(e.V), 10))
	b.WriteString(`,"timestamp":`)
	b.Write(strconv.AppendInt(b.AvailableBuffer(), e.Timestamp, 10))
	b.WriteString(`,"actor":`)
	writeString(&b, e.Actor)
	b.WriteString(`,"cause":`)
	writeNullable(&b, e.Cause)
	b.WriteString(`,"trace":`)
	writeNullable(&b, e.Trace)
	b.WriteString(`,"payload":`)
	if err := json.Compact(&b, e.Payload); err != nil {
		return nil, fmt.Errorf("encode event %s: payload: %w", e.ID, err)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// MarshalJSON returns the result of Encode. json.Marshal then escapes it for HTML in any case. If
// the exact bytes matter, call Encode, or use an Encoder with SetEscapeHTML(false).
func (e Envelope) MarshalJSON() ([]byte, error) { return e.Encode() }

// UnmarshalJSON calls [Decode] with a copy of data.
func (e *Envelope) UnmarshalJSON(data []byte) error {
	decoded, err := Decode(bytes.Clone(data))
	if err != nil {
		return err
	}
	*e = decoded
	return nil
}

// EncodePayload returns p as compact JSON without HTML escapes.
func EncodePayload(p any) (json.RawMessage, error) {
	text, err := jsontext.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode payload %T: %w", p, err)
	}
	return text, nil
}

func writeString(b *bytes.Buffer, s string) { b.Write(jsontext.Quote(s)) }

func writeNullable(b *bytes.Buffer, s *string) {
	if s == nil {
		b.WriteString("null")
		return
	}
	writeString(b, *s)
}
