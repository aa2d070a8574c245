package rpc

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// call is one request of a body, and later its response.
type call struct {
	method string
	params json.RawMessage
	cause  string
	// id is the id as it was written. It is nil for a notification.
	id []byte
	// positional is set if params is an array that is not empty.
	positional bool
	// fault is set if this is not a valid request. A fault gets a response even without an id.
	fault *api.Error

	result json.RawMessage
	err    *api.Error
}

// notification reports whether no response is wanted, whatever the outcome of the call.
func (c *call) notification() bool { return c.id == nil && c.fault == nil }

var (
	null  = []byte("null")
	empty = json.RawMessage("{}")
)

// Known members of a request, as bits, to detect duplicates.
const (
	hasVersion = 1 << iota
	hasMethod
	hasParams
	hasID
	hasMetadata
)

// reader parses requests while it scans the body.
type reader struct{ *jsontext.Scanner }

// found is what a scan has found of one request. Its spans become slices at the end of the scan.
type found struct {
	seen       int
	method     string
	params, id jsontext.Span
	idText     string
	cause      string
	positional bool
	noParams   bool // params is null or an empty array
	fault      *api.Error
}

// refuse records the first fault. The scan continues, because a later parse error concerns the
// whole body.
func (f *found) refuse(format string, args ...any) {
	if f.fault == nil {
		f.fault = api.InvalidRequest(format, args...)
	}
}

// parse parses a body and appends its calls to into. batch reports whether the body is an array.
// refused is set if the whole body is rejected: for a parse error, or for a limit of bodies or
// batches.
func parse(body []byte, into []call) (calls []call, batch bool, refused *api.Error) {
	s := reader{jsontext.NewScanner(body)}
	if s.Err != nil {
		return into, false, httpapi.Unreadable(s.Err)
	}
	s.Space()
	if s.Peek() != '[' {
		calls, ok := s.requests(into)
		if !ok || !s.Finish() {
			return into, false, httpapi.Unreadable(s.Err)
		}
		return calls, false, nil
	}
	if !s.Open() {
		return into, true, httpapi.Unreadable(s.Err)
	}
	calls = into
	for first := true; ; first = false {
		more, ok := s.Element(first)
		if !ok {
			return into, true, httpapi.Unreadable(s.Err)
		}
		if !more {
			break
		}
		if len(calls)-len(into) == MaxCalls {
			return into, true, api.InvalidRequest("a batch must contain at most %d calls", MaxCalls)
		}
		if calls, ok = s.requests(calls); !ok {
			return into, true, httpapi.Unreadable(s.Err)
		}
	}
	if !s.Finish() {
		return into, true, httpapi.Unreadable(s.Err)
	}
	if len(calls) == len(into) {
		return into, true, api.InvalidRequest("a batch must contain at least one call")
	}
	return calls, true, nil
}

// requests parses one request and appends its call.
func (s reader) requests(calls []call) ([]call, bool) {
	if s.Peek() != '{' {
		if !s.Value() {
			return calls, false
		}
		return append(calls, call{id: null, fault: api.InvalidRequest("a request must be an object")}), true
	}
	var f found
	// Most batches call one method repeatedly. Its name need not be copied each time.
	if len(calls) > 0 {
		f.method = calls[len(calls)-1].method
	}
	if !s.request(&f) {
		return calls, false
	}
	calls = append(calls, call{})
	c := &calls[len(calls)-1]
	if f.seen&hasID != 0 {
		// The slice has its final content only after Finish. Nobody reads it before.
		c.id = s.At(f.id)
		if f.id == (jsontext.Span{}) {
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
	if c.params = empty; f.seen&hasParams != 0 && !f.noParams {
		c.params = s.At(f.params)
	}
	return calls, true
}

// request parses an object that should be a request.
func (s reader) request(f *found) bool {
	if !s.Open() {
		return false
	}
	for first := true; ; first = false {
		name, more, ok := s.Member(first)
		if !ok {
			return false
		}
		if !more {
			break
		}
		which := known(name)
		if f.seen&which != 0 {
			f.refuse("the member %s is repeated", name)
			if which == hasID {
				f.id = jsontext.Span{}
			}
			which = 0
		}
		f.seen |= which
		s.Space()
		switch which {
		case hasVersion:
			ok = s.version(f)
		case hasMethod:
			ok = s.method(f)
		case hasParams:
			kind := s.Peek()
			if kind != '{' && kind != '[' && kind != 'n' {
				f.refuse("params must be an object")
			}
			f.params, ok = s.Spanned()
			f.positional = kind == '[' && f.params.Len() > len("[]")
			f.noParams = kind == 'n' || kind == '[' && !f.positional
		case hasID:
			ok = s.id(f)
		case hasMetadata:
			ok = s.metadata(f)
		default:
			ok = s.Value()
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
		quoted = []byte(`"` + jsontext.Unquote(quoted) + `"`)
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

func (s reader) version(f *found) bool {
	from, kind := s.Pos, s.Peek()
	if !s.Value() {
		return false
	}
	if kind != '"' || (string(s.Body[from:s.Pos]) != `"2.0"` && jsontext.Unquote(s.Body[from:s.Pos]) != "2.0") {
		f.refuse(`jsonrpc must be exactly "2.0"`)
	}
	return true
}

func (s reader) method(f *found) bool {
	from, kind := s.Pos, s.Peek()
	if !s.Value() {
		return false
	}
	if kind != '"' {
		f.refuse("method must be a string")
		return true
	}
	raw := s.Body[from:s.Pos]
	if string(raw[1:len(raw)-1]) != f.method || bytes.IndexByte(raw, '\\') >= 0 {
		f.method = jsontext.Unquote(raw)
	}
	return true
}

func (s reader) id(f *found) (ok bool) {
	from, kind := s.Pos, s.Peek()
	if f.id, ok = s.Spanned(); !ok {
		return false
	}
	switch kind {
	case '"':
		// The id becomes the cause of events, which SQL may read, and SQL cannot read U+0000.
		f.idText = clip(strings.ReplaceAll(jsontext.Unquote(s.Body[from:s.Pos]), "\x00", "\ufffd"))
	case 'n':
	case '{', '[', 't', 'f':
		f.id = jsontext.Span{}
		f.refuse("id must be a string, a number or null")
	default:
		f.idText = clip(string(s.Body[from:s.Pos]))
	}
	return true
}

// clip shortens an id to the maximum length of a cause, without splitting a character.
func clip(id string) string {
	if len(id) <= httpapi.MaxCause {
		return id
	}
	end := httpapi.MaxCause
	for end > 0 && !utf8.RuneStart(id[end]) {
		end--
	}
	return id[:end]
}

func (s reader) metadata(f *found) bool {
	if s.Peek() == 'n' {
		return s.Value()
	}
	if s.Peek() != '{' {
		f.refuse("metadata must be an object")
		return s.Value()
	}
	if !s.Open() {
		return false
	}
	seen := false
	for first := true; ; first = false {
		name, more, ok := s.Member(first)
		if !ok || !more {
			return ok
		}
		if !named(name, `"correlationId"`) {
			if !s.Value() {
				return false
			}
			continue
		}
		if seen {
			f.refuse("the member metadata.correlationId is repeated")
		}
		seen = true
		if !s.correlation(f) {
			return false
		}
	}
}

// named compares a name as it is written with a quoted name. It decodes escapes.
func named(quoted []byte, name string) bool {
	return string(quoted) == name || bytes.IndexByte(quoted, '\\') >= 0 && jsontext.Unquote(quoted) == name[1:len(name)-1]
}

func (s reader) correlation(f *found) bool {
	s.Space()
	from, kind := s.Pos, s.Peek()
	if !s.Value() {
		return false
	}
	switch kind {
	case 'n':
		return true
	case '"':
		if jsontext.HasUnreadable(s.Body[from:s.Pos]) {
			f.refuse("metadata.correlationId must not contain U+0000 or an unpaired surrogate")
		}
		f.cause = jsontext.Unquote(s.Body[from:s.Pos])
	case '{', '[', 't', 'f':
		f.refuse("metadata.correlationId must be a string")
		return true
	default:
		f.cause = string(s.Body[from:s.Pos])
	}
	if len(f.cause) > httpapi.MaxCause {
		f.refuse("metadata.correlationId must be at most %d bytes long", httpapi.MaxCause)
	}
	return true
}
