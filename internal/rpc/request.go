package rpc

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/claudebench/claudebench/internal/api"
)

// call is one request of a body, and then its answer.
type call struct {
	method string
	params json.RawMessage
	cause  string
	// id is the id as it was written, nil for a notification.
	id []byte
	// positional: params is an array.
	positional bool
	// fault says why this is no request; a fault is answered even without an id.
	fault *api.Error

	result json.RawMessage
	err    *api.Error
}

// notification: an answer is not wanted, whatever becomes of the call.
func (c *call) notification() bool { return c.id == nil && c.fault == nil }

var (
	null  = []byte("null")
	empty = json.RawMessage("{}")
)

// maxCause is how many bytes a cause may have, the same as an id that a user chooses.
const maxCause = 256

// The members of a request that are known here, as bits, so that a second one of the same name is noticed.
const (
	hasVersion = 1 << iota
	hasMethod
	hasParams
	hasID
	hasMetadata
)

// found is what a scan has found of one request; its spans become slices once the scan is over.
type found struct {
	seen       int
	method     string
	params, id span
	idText     string
	cause      string
	positional bool
	fault      *api.Error
}

// refuse keeps the first fault; the scan goes on, for a parse error further on concerns the whole body.
func (f *found) refuse(format string, args ...any) {
	if f.fault == nil {
		f.fault = invalidRequest(format, args...)
	}
}

// parse reads a body into calls, appended to the slice given. batch says whether the body was an array.
// An error concerns the body as a whole: a parse error, or a limit of the body or of batches.
func parse(body []byte, into []call) (calls []call, batch bool, refused *api.Error) {
	s := newScanner(body)
	if s.err != nil {
		return into, false, s.err
	}
	s.space()
	if s.peek() != '[' {
		calls, ok := s.requests(into)
		if !ok || !s.finish() {
			return into, false, s.err
		}
		return calls, false, nil
	}
	if !s.open() {
		return into, true, s.err
	}
	calls = into
	for first := true; ; first = false {
		more, ok := s.element(first)
		if !ok {
			return into, true, s.err
		}
		if !more {
			break
		}
		if len(calls)-len(into) == MaxCalls {
			return into, true, invalidRequest("a batch has at most %d calls", MaxCalls)
		}
		if calls, ok = s.requests(calls); !ok {
			return into, true, s.err
		}
	}
	if !s.finish() {
		return into, true, s.err
	}
	if len(calls) == len(into) {
		return into, true, invalidRequest("a batch has at least one call")
	}
	return calls, true, nil
}

// requests reads the value of one request and appends its call.
func (s *scanner) requests(calls []call) ([]call, bool) {
	if s.peek() != '{' {
		if !s.value() {
			return calls, false
		}
		return append(calls, call{id: null, fault: invalidRequest("a request must be an object")}), true
	}
	var f found
	// Most batches call one method over and over: it need not be copied each time.
	if len(calls) > 0 {
		f.method = calls[len(calls)-1].method
	}
	if !s.request(&f) {
		return calls, false
	}
	calls = append(calls, call{})
	c := &calls[len(calls)-1]
	if f.seen&hasID != 0 {
		// The slice is right only after finish, and nobody looks at it before.
		c.id = s.at(f.id)
		if f.id == (span{}) {
			c.id = null
		}
		if f.cause == "" {
			f.cause = f.idText
		}
	}
	if f.fault != nil {
		c.fault = f.fault
		return calls, true
	}
	c.method, c.cause, c.positional = f.method, f.cause, f.positional
	if c.params = empty; f.seen&hasParams != 0 {
		c.params = s.at(f.params)
	}
	return calls, true
}

// request reads an object that should be a request.
func (s *scanner) request(f *found) bool {
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		name, more, ok := s.member(first)
		if !ok {
			return false
		}
		if !more {
			break
		}
		which := known(name)
		if f.seen&which != 0 {
			f.refuse("the member %s occurs twice", name)
			if which == hasID {
				f.id = span{}
			}
			which = 0
		}
		f.seen |= which
		s.space()
		switch which {
		case hasVersion:
			ok = s.version(f)
		case hasMethod:
			ok = s.method(f)
		case hasParams:
			kind := s.peek()
			f.positional = kind == '['
			if kind != '{' && kind != '[' {
				f.refuse("params must be an object")
			}
			f.params, ok = s.spanned()
		case hasID:
			ok = s.id(f)
		case hasMetadata:
			ok = s.metadata(f)
		default:
			ok = s.value()
		}
		if !ok {
			return false
		}
	}
	if f.seen&hasVersion == 0 {
		f.refuse(`jsonrpc must be exactly "2.0"`)
	}
	if f.seen&hasMethod == 0 {
		f.refuse("method is missing")
	}
	return true
}

func known(quoted []byte) int {
	if bytes.IndexByte(quoted, '\\') >= 0 {
		// An escaped name is the same name: "\u006dethod" is "method".
		quoted = []byte(`"` + text(quoted) + `"`)
	}
	switch string(quoted) {
	case `"jsonrpc"`:
		return hasVersion
	case `"method"`:
		return hasMethod
	case `"params"`:
		return hasParams
	case `"id"`:
		return hasID
	case `"metadata"`:
		return hasMetadata
	}
	return 0
}

func (s *scanner) version(f *found) bool {
	from, kind := s.pos, s.peek()
	if !s.value() {
		return false
	}
	if kind != '"' || (string(s.body[from:s.pos]) != `"2.0"` && text(s.body[from:s.pos]) != "2.0") {
		f.refuse(`jsonrpc must be exactly "2.0"`)
	}
	return true
}

func (s *scanner) method(f *found) bool {
	from, kind := s.pos, s.peek()
	if !s.value() {
		return false
	}
	if kind != '"' {
		f.refuse("method must be a string")
		return true
	}
	raw := s.body[from:s.pos]
	if string(raw[1:len(raw)-1]) != f.method || bytes.IndexByte(raw, '\\') >= 0 {
		f.method = text(raw)
	}
	return true
}

func (s *scanner) id(f *found) (ok bool) {
	from, kind := s.pos, s.peek()
	if f.id, ok = s.spanned(); !ok {
		return false
	}
	switch kind {
	case '"':
		f.idText = clip(text(s.body[from:s.pos]))
	case 'n':
	case '{', '[', 't', 'f':
		f.id = span{}
		f.refuse("id must be a string, a number or null")
	default:
		f.idText = clip(string(s.body[from:s.pos]))
	}
	return true
}

// clip cuts an id down to what a cause may have, between two characters.
func clip(id string) string {
	if len(id) <= maxCause {
		return id
	}
	end := maxCause
	for end > 0 && !utf8.RuneStart(id[end]) {
		end--
	}
	return id[:end]
}

func (s *scanner) metadata(f *found) bool {
	if s.peek() == 'n' {
		return s.value()
	}
	if s.peek() != '{' {
		f.refuse("metadata must be an object")
		return s.value()
	}
	if !s.open() {
		return false
	}
	seen := false
	for first := true; ; first = false {
		name, more, ok := s.member(first)
		if !ok || !more {
			return ok
		}
		if !named(name, `"correlationId"`) {
			if !s.value() {
				return false
			}
			continue
		}
		if seen {
			f.refuse("the member metadata.correlationId occurs twice")
		}
		seen = true
		if !s.correlation(f) {
			return false
		}
	}
}

// named compares a name as it is written with a name in quotes, escapes apart.
func named(quoted []byte, name string) bool {
	return string(quoted) == name || bytes.IndexByte(quoted, '\\') >= 0 && text(quoted) == name[1:len(name)-1]
}

func (s *scanner) correlation(f *found) bool {
	s.space()
	from, kind := s.pos, s.peek()
	if !s.value() {
		return false
	}
	switch kind {
	case 'n':
		return true
	case '"':
		f.cause = text(s.body[from:s.pos])
	case '{', '[', 't', 'f':
		f.refuse("metadata.correlationId must be a string")
		return true
	default:
		f.cause = string(s.body[from:s.pos])
	}
	if len(f.cause) > maxCause {
		f.refuse("metadata.correlationId has more than %d bytes", maxCause)
	}
	return true
}
