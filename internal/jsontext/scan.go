package jsontext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// MaxDepth is the maximum nesting of arrays and objects, including the outermost.
const MaxDepth = 64

// Fault is the reason why text is not accepted as JSON.
type Fault struct {
	// TooDeep is set if the text, as far as it was read, is JSON with more than MaxDepth levels.
	TooDeep bool
	// Why is a sentence with the byte offset.
	Why string
}

func syntaxError(format string, args ...any) *Fault {
	return &Fault{Why: fmt.Sprintf(format, args...)}
}

// Scanner reads JSON (strictly RFC 8259) once, from left to right. It removes white space by moving
// bytes to the left, so at the end all values are compact in the same buffer. It moves bytes only
// at white space and at the end of the scan, so the bytes of the token just read are still in their
// original place.
type Scanner struct {
	Body  []byte
	Pos   int // the next byte to read
	run   int // start of the bytes that are read but not yet moved
	gone  int // bytes of white space so far: a byte read at i ends up at i-gone
	depth int // open arrays and objects
	Err   *Fault
}

// Span is a range of the body, with offsets as they are after the scan.
type Span struct{ from, to int }

// Len returns the length of the span in bytes.
func (s Span) Len() int { return s.to - s.from }

// NewScanner returns a scanner at the beginning of a text. It sets Err if the text is not valid
// UTF-8.
func NewScanner(body []byte) *Scanner {
	s := &Scanner{Body: body}
	if !utf8.Valid(body) {
		at := 0
		for at < len(body) {
			r, size := utf8.DecodeRune(body[at:])
			if r == utf8.RuneError && size <= 1 {
				break
			}
			at += size
		}
		s.Err = syntaxError("the body is not valid UTF-8 at byte offset %d", at)
	}
	return s
}

// Finish ends the scan and reports whether only white space was left.
func (s *Scanner) Finish() bool {
	s.Space()
	if s.Pos < len(s.Body) {
		return s.unexpected("the end of the body")
	}
	s.move()
	return true
}

// out returns the final offset of the next byte to read.
func (s *Scanner) out() int { return s.Pos - s.gone }

// At returns the bytes of a span. They are valid only after Finish. Appending to the slice does not
// overwrite the bytes behind it.
func (s *Scanner) At(p Span) []byte { return s.Body[p.from:p.to:p.to] }

func (s *Scanner) move() {
	if s.gone > 0 {
		copy(s.Body[s.run-s.gone:], s.Body[s.run:s.Pos])
	}
	s.run = s.Pos
}

// Space skips white space.
func (s *Scanner) Space() {
	if s.Pos >= len(s.Body) || s.Body[s.Pos] > ' ' {
		return
	}
	from := s.Pos
	to := from
	for to < len(s.Body) && (s.Body[to] == ' ' || s.Body[to] == '\n' || s.Body[to] == '\r' || s.Body[to] == '\t') {
		to++
	}
	if to == from {
		return
	}
	s.move()
	s.Pos, s.run = to, to
	s.gone += to - from
}

// Value reads one value of any kind, and the white space before it.
func (s *Scanner) Value() bool {
	s.Space()
	switch s.Peek() {
	case '"':
		return s.stringToken()
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

// Peek returns the next byte, or 0 at the end. No token begins with 0.
func (s *Scanner) Peek() byte {
	if s.Pos < len(s.Body) {
		return s.Body[s.Pos]
	}
	return 0
}

// Spanned is Value, and also returns the span of the value.
func (s *Scanner) Spanned() (Span, bool) {
	s.Space()
	from := s.out()
	ok := s.Value()
	return Span{from, s.out()}, ok
}

// Open enters an array or object, whose bracket is the next byte.
func (s *Scanner) Open() bool {
	if s.depth == MaxDepth {
		s.Err = &Fault{TooDeep: true, Why: fmt.Sprintf("arrays and objects lie more than %d levels deep inside each other (byte offset %d)", MaxDepth, s.Pos)}
		return false
	}
	s.depth++
	s.Pos++
	return true
}

func (s *Scanner) object() bool {
	if !s.Open() {
		return false
	}
	for first := true; ; first = false {
		if _, more, ok := s.Member(first); !ok || !more {
			return ok
		}
		if !s.Value() {
			return false
		}
	}
}

func (s *Scanner) array() bool {
	if !s.Open() {
		return false
	}
	for first := true; ; first = false {
		if more, ok := s.Element(first); !ok || !more {
			return ok
		}
		if !s.Value() {
			return false
		}
	}
}

// Member moves to the value of an object's next member, and returns the member's name as it is
// written, with its quotes. more is false if the object ended instead. The name is valid until the
// next read.
func (s *Scanner) Member(first bool) (name []byte, more, ok bool) {
	if more, ok = s.separator(first, '}'); !more {
		return nil, false, ok
	}
	if s.Peek() != '"' {
		return nil, false, s.unexpected("a member's name in quotes")
	}
	from := s.Pos
	if !s.stringToken() {
		return nil, false, false
	}
	name = s.Body[from:s.Pos]
	if s.Peek() != ':' {
		// Skipping white space here moves bytes over the end of the name.
		name = bytes.Clone(name)
		s.Space()
		if s.Peek() != ':' {
			return nil, false, s.unexpected("':' after a member's name")
		}
	}
	s.Pos++
	return name, true, true
}

// Element moves to the next element of an array. more is false if the array ended instead.
func (s *Scanner) Element(first bool) (more, ok bool) { return s.separator(first, ']') }

func (s *Scanner) separator(first bool, end byte) (more, ok bool) {
	s.Space()
	switch c := s.Peek(); {
	case c == end:
		s.depth--
		s.Pos++
		return false, true
	case first:
		return true, true
	case c == ',':
		s.Pos++
		s.Space()
		return true, true
	case end == '}':
		return false, s.unexpected("',' or '}'")
	}
	return false, s.unexpected("',' or ']'")
}

// plain contains the bytes that stand for themselves in a string.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

func (s *Scanner) stringToken() bool {
	body, i := s.Body, s.Pos+1
	for i < len(body) {
		c := body[i]
		if plain[c] {
			i++
			continue
		}
		switch c {
		case '"':
			s.Pos = i + 1
			return true
		case '\\':
			n := escape(body[i+1:])
			if n == 0 {
				s.Pos = i
				return s.fail("an invalid escape in a string")
			}
			i += 1 + n
		default:
			s.Pos = i
			return s.fail("a control character in a string, where it must be escaped,")
		}
	}
	s.Pos = len(body)
	return s.fail("the body ends inside a string")
}

// escape returns the length of the escape whose backslash precedes b, without the backslash. It
// returns 0 if it is not valid.
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
			if !isHexDigit(c) {
				return 0
			}
		}
		return 5
	}
	return 0
}

func (s *Scanner) number() bool {
	if s.Peek() == '-' {
		s.Pos++
	}
	if s.Peek() == '0' {
		s.Pos++
	} else if !s.digits() {
		return false
	}
	if s.Peek() == '.' {
		s.Pos++
		if !s.digits() {
			return false
		}
	}
	if c := s.Peek(); c == 'e' || c == 'E' {
		s.Pos++
		if c := s.Peek(); c == '+' || c == '-' {
			s.Pos++
		}
		return s.digits()
	}
	return true
}

// digits reads one or more digits.
func (s *Scanner) digits() bool {
	from := s.Pos
	for c := s.Peek(); c >= '0' && c <= '9'; c = s.Peek() {
		s.Pos++
	}
	return s.Pos > from || s.unexpected("a digit")
}

func (s *Scanner) word(w string) bool {
	if !bytes.HasPrefix(s.Body[s.Pos:], []byte(w)) {
		return s.unexpected("a value")
	}
	s.Pos += len(w)
	return true
}

func (s *Scanner) unexpected(wanted string) bool {
	if s.Pos >= len(s.Body) {
		return s.fail("the body ends where " + wanted + " was expected")
	}
	r, _ := utf8.DecodeRune(s.Body[s.Pos:])
	return s.fail(fmt.Sprintf("expected %s, found %q", wanted, r))
}

func (s *Scanner) fail(what string) bool {
	s.Err = syntaxError("%s at byte offset %d", what, s.Pos)
	return false
}

func isHexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// Compact checks that text is one JSON value in UTF-8, at most MaxDepth levels deep, and returns it
// without the white space between tokens. It overwrites text.
func Compact(text []byte) (json.RawMessage, *Fault) {
	s := NewScanner(text)
	if s.Err != nil {
		return nil, s.Err
	}
	v, ok := s.Spanned()
	if !ok || !s.Finish() {
		return nil, s.Err
	}
	return s.At(v), nil
}
