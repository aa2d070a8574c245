// Package cloudevents writes events of the log in the JSON format of CloudEvents 1.0
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md).
// internal/eventsource and `claudebench replay` use it, so both write the same.
package cloudevents

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// typePrefix is the prefix of the types of CloudEvents. The specification asks for a reverse DNS
// name of the organization that defines the type.
const typePrefix = "io.github.claudebench."

// Source returns the source of the CloudEvents of a namespace.
func Source(namespace string) string {
	if namespace == "" {
		namespace = "default"
	}
	return "/claudebench/" + namespace
}

// Encode returns an event as one line of JSON.
func Encode(e *events.Entry, source string) []byte {
	env := &e.Envelope
	var b bytes.Buffer
	b.Grow(len(e.Raw) + 384)
	b.WriteByte('{')
	attribute := func(name, value string) {
		if value == "" {
			return
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:", name)
		b.Write(jsontext.Quote(allowed(value)))
	}
	attribute("specversion", "1.0")
	attribute("id", e.ID.String())
	attribute("source", source)
	attribute("type", typePrefix+string(env.Type))
	attribute("time", env.Time().Format(events.TimeLayout))
	attribute("subject", env.Subjects().First())
	attribute("datacontenttype", "application/json")
	attribute("sequence", fmt.Sprintf("%019d", env.Seq)) // sorts as a string
	attribute("correlationid", value(env.Cause))
	attribute("traceparent", value(env.Trace))
	attribute("actor", env.Actor)
	fmt.Fprintf(&b, `,"payloadversion":%d,"data":`, env.V)
	b.Write(jsontext.OneLine(env.Payload))
	b.WriteByte('}')
	return b.Bytes()
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// allowed replaces the characters that a CloudEvents String must not have.
func allowed(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
