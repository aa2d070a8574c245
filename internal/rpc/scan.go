package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/claudebench/claudebench/internal/api"
)

// scanner reads JSON (RFC 8259, nothing more lenient) from left to right, once. While it goes it moves what it
// has read to the left over the white space it has passed, so that at the end every value lies compacted in the same buffer.
// Bytes are moved only when white space is met or the scan ends, so those of the token just read are still where they were.
type scanner struct {
	body  []byte
	pos   int // the next byte to read
	run   int // where the bytes begin that are read but not yet moved
	gone  int // how many bytes of white space were passed: a byte read at i ends up at i-gone
	depth int // arrays and objects that are open
	err   *api.Error
}

// span is a stretch of the body as it will be when the scan is over.
type span struct{ from, to int }

func newScanner(body []byte) *scanner {
	s := &scanner{body: body}
	if !utf8.Valid(body) {
		at := 0
		for at < len(body) {
			r, size := utf8.DecodeRune(body[at:])
			if r == utf8.RuneError && size <= 1 {
				break
			}
			at += size
		}
		s.err = parseError("the body is not valid UTF-8 at byte offset %d", at)
	}
	return s
}

// finish closes the last gap and answers whether nothing but white space was left.
func (s *scanner) finish() bool {
	s.space()
	if s.pos < len(s.body) {
		return s.unexpected("the end of the body")
	}
	s.move()
	return true
}

// out is where the next byte to be read ends up.
func (s *scanner) out() int { return s.pos - s.gone }

// at gives the bytes of a span; they are right once finish has been called. No append to them reaches their neighbours.
func (s *scanner) at(p span) []byte { return s.body[p.from:p.to:p.to] }

func (s *scanner) move() {
	if s.gone > 0 {
		copy(s.body[s.run-s.gone:], s.body[s.run:s.pos])
	}
	s.run = s.pos
}

func (s *scanner) space() {
	if s.pos >= len(s.body) || s.body[s.pos] > ' ' {
		return
	}
	from := s.pos
	to := from
	for to < len(s.body) && (s.body[to] == ' ' || s.body[to] == '\n' || s.body[to] == '\r' || s.body[to] == '\t') {
		to++
	}
	if to == from {
		return
	}
	s.move()
	s.pos, s.run = to, to
	s.gone += to - from
}

// value reads one value of any kind and the white space before it.
func (s *scanner) value() bool {
	s.space()
	switch s.peek() {
	case '"':
		return s.str()
	case '{':
		return s.object()
	case '[':
		return s.array()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.number()
	}
	return s.unexpected("a value")
}

// peek is the next byte, 0 at the end; a 0 in the body is no token either.
func (s *scanner) peek() byte {
	if s.pos < len(s.body) {
		return s.body[s.pos]
	}
	return 0
}

// spanned is value, and where it ends up.
func (s *scanner) spanned() (span, bool) {
	s.space()
	from := s.out()
	ok := s.value()
	return span{from, s.out()}, ok
}

// open steps into an array or object, whose bracket is the next byte.
func (s *scanner) open() bool {
	if s.depth == MaxDepth {
		s.err = invalidRequest("arrays and objects lie more than %d levels deep inside each other (byte offset %d)", MaxDepth, s.pos)
		return false
	}
	s.depth++
	s.pos++
	return true
}

func (s *scanner) object() bool {
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		if _, more, ok := s.member(first); !ok || !more {
			return ok
		}
		if !s.value() {
			return false
		}
	}
}

func (s *scanner) array() bool {
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		if more, ok := s.element(first); !ok || !more {
			return ok
		}
		if !s.value() {
			return false
		}
	}
}

// member reads on to the value of an object's next member and gives the member's name as it is written, with
// its quotes; more is false when the object ended instead. The name is to be used before anything else is read.
func (s *scanner) member(first bool) (name []byte, more, ok bool) {
	if more, ok = s.separator(first, '}'); !more {
		return nil, false, ok
	}
	if s.peek() != '"' {
		return nil, false, s.unexpected("a member's name in quotes")
	}
	from := s.pos
	if !s.str() {
		return nil, false, false
	}
	name = s.body[from:s.pos]
	if s.peek() != ':' {
		// The white space that is passed here moves bytes to the left of the name's end, over the name.
		name = bytes.Clone(name)
		s.space()
		if s.peek() != ':' {
			return nil, false, s.unexpected("':' after a member's name")
		}
	}
	s.pos++
	return name, true, true
}

// element reads on to an array's next element; more is false when the array ended instead.
func (s *scanner) element(first bool) (more, ok bool) { return s.separator(first, ']') }

func (s *scanner) separator(first bool, end byte) (more, ok bool) {
	s.space()
	switch c := s.peek(); {
	case c == end:
		s.depth--
		s.pos++
		return false, true
	case first:
		return true, true
	case c == ',':
		s.pos++
		s.space()
		return true, true
	case end == '}':
		return false, s.unexpected("',' or '}'")
	}
	return false, s.unexpected("',' or ']'")
}

// plain has the bytes that stand for themselves in a string.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

func (s *scanner) str() bool {
	body, i := s.body, s.pos+1
	for i < len(body) {
		c := body[i]
		if plain[c] {
			i++
			continue
		}
		switch c {
		case '"':
			s.pos = i + 1
			return true
		case '\\':
			n := escape(body[i+1:])
			if n == 0 {
				s.pos = i
				return s.fail("a faulty escape in a string")
			}
			i += 1 + n
		default:
			s.pos = i
			return s.fail("a control character in a string, where it must be escaped,")
		}
	}
	s.pos = len(body)
	return s.fail("the body ends inside a string")
}

// escape is the length of the escape at the start of b, behind its backslash; 0 when it is none.
func escape(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(b) < 5 {
			return 0
		}
		for _, c := range b[1:5] {
			if !isHex(c) && (c < 'A' || c > 'F') {
				return 0
			}
		}
		return 5
	}
	return 0
}

func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return false
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		return s.digits()
	}
	return true
}

// digits reads one digit or more.
func (s *scanner) digits() bool {
	from := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > from || s.unexpected("a digit")
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.body[s.pos:], []byte(w)) {
		return s.unexpected("a value")
	}
	s.pos += len(w)
	return true
}

func (s *scanner) unexpected(wanted string) bool {
	if s.pos >= len(s.body) {
		return s.fail("the body ends where " + wanted + " was expected")
	}
	r, _ := utf8.DecodeRune(s.body[s.pos:])
	return s.fail(fmt.Sprintf("expected %s, found %q", wanted, r))
}

func (s *scanner) fail(what string) bool {
	s.err = parseError("%s at byte offset %d", what, s.pos)
	return false
}

// text decodes a string that str has accepted, given with its quotes.
func text(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var decoded string
	if err := json.Unmarshal(quoted, &decoded); err != nil {
		// str accepts only what encoding/json accepts: the fuzz test holds the two together.
		panic(fmt.Sprintf("rpc: a string that was scanned does not decode: %v", err))
	}
	return decoded
}

func parseError(format string, args ...any) *api.Error {
	return &api.Error{Code: api.CodeParse, Message: "Parse error", Data: fmt.Sprintf(format, args...)}
}

func invalidRequest(format string, args ...any) *api.Error {
	return &api.Error{Code: api.CodeInvalidRequest, Message: "Invalid Request", Data: fmt.Sprintf(format, args...)}
}
