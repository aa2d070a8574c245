package events

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// scan reads an envelope spelled exactly as the log spells it: one line, the members in order,
// nothing between them. For anything else, well formed or not, ok is false. encoding/json reads
// alike whatever scan accepts.
func scan(data []byte) (e Envelope, ok bool) {
	s := scanner{rest: data, ok: true}
	s.literal(`{"id":`)
	e.ID = s.id()
	s.literal(`,"seq":`)
	e.Seq = s.count()
	s.literal(`,"type":`)
	e.Type = s.typ()
	s.literal(`,"v":`)
	e.V = int(s.count())
	s.literal(`,"timestamp":`)
	e.Timestamp = s.count()
	s.literal(`,"actor":`)
	e.Actor = s.text()
	s.literal(`,"cause":`)
	e.Cause = s.nullable()
	s.literal(`,"trace":`)
	e.Trace = s.nullable()
	s.literal(`,"payload":`)
	e.Payload = s.payload()
	return e, s.ok
}

// scanner walks over rest. After an unexpected byte, ok is false and every further step does
// nothing.
type scanner struct {
	rest []byte
	ok   bool
}

func (s *scanner) literal(want string) {
	if !s.ok || len(s.rest) < len(want) || string(s.rest[:len(want)]) != want {
		s.ok = false
		return
	}
	s.rest = s.rest[len(want):]
}

func (s *scanner) count() int64 {
	end := 0
	for end < len(s.rest) && s.rest[end] >= '0' && s.rest[end] <= '9' {
		end++
	}
	n, ok := parseCount(s.rest[:end])
	if !s.ok || !ok {
		s.ok = false
		return 0
	}
	s.rest = s.rest[end:]
	return n
}

// quoted returns the bytes of a string up to its closing quote, still escaped. plain is false if
// there is an escape or a non-ASCII byte.
func (s *scanner) quoted() (raw []byte, plain bool) {
	if !s.ok || len(s.rest) == 0 || s.rest[0] != '"' {
		s.ok = false
		return nil, false
	}
	plain = true
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			raw = s.rest[1:i]
			s.rest = s.rest[i+1:]
			return raw, plain
		case c == '\\':
			plain = false
			i++
		case c < 0x20:
			s.ok = false
			return nil, false
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	s.ok = false
	return nil, false
}

func (s *scanner) id() (id ID) {
	raw, plain := s.quoted()
	dash := bytes.IndexByte(raw, '-')
	if !plain || dash < 0 {
		s.ok = false
		return ID{}
	}
	var ok bool
	if id.MS, ok = parseCount(raw[:dash]); !ok {
		s.ok = false
	}
	if id.Seq, ok = parseCount(raw[dash+1:]); !ok {
		s.ok = false
	}
	return id
}

func (s *scanner) typ() Type {
	raw, plain := s.quoted()
	if !plain {
		s.ok = false
		return ""
	}
	// A known type needs no copy of its name.
	if d, ok := definitions[Type(raw)]; ok {
		return d.typ
	}
	return Type(raw)
}

func (s *scanner) text() string {
	raw, plain := s.quoted()
	if !s.ok || plain {
		return string(raw)
	}
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw)
	}
	var text string
	quoted := append(append(append(make([]byte, 0, len(raw)+2), '"'), raw...), '"')
	if json.Unmarshal(quoted, &text) != nil {
		s.ok = false
	}
	return text
}

func (s *scanner) nullable() *string {
	if s.ok && len(s.rest) > 0 && s.rest[0] == 'n' {
		s.literal("null")
		return nil
	}
	text := s.text()
	if !s.ok {
		return nil
	}
	return &text
}

// asBefore makes package jsontext accept what encoding/json accepts.
var asBefore = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// payload takes everything except the envelope's closing brace.
func (s *scanner) payload() json.RawMessage {
	last := len(s.rest) - 1
	if !s.ok || last < 2 || s.rest[0] != '{' || s.rest[last] != '}' || s.rest[last-1] != '}' {
		s.ok = false
		return nil
	}
	payload := s.rest[:last:last]
	// Valid JSON proves that this is only the payload: with another member behind it, the bytes
	// would not be a single value.
	if !jsontext.Value(payload).IsValid(asBefore...) {
		s.ok = false
		return nil
	}
	return json.RawMessage(payload)
}
