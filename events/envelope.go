package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// TimeLayout is how payloads write a moment: ISO 8601 with milliseconds, UTC.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// Envelope is an event as it stands in the log.
type Envelope struct {
	ID        ID              // the entry's ID
	Seq       int64           // ID.Seq
	Type      Type            // what happened
	V         int             // the payload's version, from 1
	Timestamp int64           // ID.MS: when it happened, ms by Redis's clock
	Actor     string          // who acted
	Cause     *string         // the request or event that led to it, nil if none
	Trace     *string         // a W3C traceparent: the command's span, else what came in; nil if neither
	Payload   json.RawMessage // a JSON object; see Decoded and PayloadAs
}

// Time is Timestamp as a time, in UTC.
func (e Envelope) Time() time.Time { return time.UnixMilli(e.Timestamp).UTC() }

// Encode returns the envelope as one line of JSON, members in the log's order. Nothing in strings
// is escaped for HTML: what users brought is left as it is. It fails if the payload is not JSON.
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

// MarshalJSON returns what Encode gives. json.Marshal escapes its output for HTML whatever a
// marshaller does; where bytes matter, call Encode, or use an Encoder with SetEscapeHTML(false).
func (e Envelope) MarshalJSON() ([]byte, error) { return e.Encode() }

// UnmarshalJSON is [Decode] on a copy of data.
func (e *Envelope) UnmarshalJSON(data []byte) error {
	decoded, err := Decode(bytes.Clone(data))
	if err != nil {
		return err
	}
	*e = decoded
	return nil
}

// EncodePayload returns p as compact JSON, nothing escaped for HTML.
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
