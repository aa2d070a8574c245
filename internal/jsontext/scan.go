package jsontext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may lie inside each other, the outermost counted.
const MaxDepth = 64

// ScanError says why text is not accepted as JSON.
type ScanError struct {
	// TooDeep reports that it is JSON, as far as it was read, with more than MaxDepth levels.
	TooDeep bool
	// Why is a sentence with the byte offset.
	Why string
}

// Error is the sentence.
func (e *ScanError) Error() string { return e.Why }

func syntaxError(format string, args ...any) *ScanError {
	return &ScanError{Why: fmt.Sprintf(format, args...)}
}

// Scanner reads JSON (RFC 8259, nothing more lenient) from left to right, once. While it goes it
// moves what it has read to the left over the white space it has passed, so that at the end every
// value lies compacted in the same buffer. Bytes are moved only when white space is met or the scan
// ends, so those of the token just read are still where they were.
type Scanner struct {
	Body  []byte
	Pos   int // the next byte to read
	run   int // where the bytes begin that are read but not yet moved
	gone  int // how many bytes of white space were passed: a byte read at i ends up at i-gone
	depth int // arrays and objects that are open
	Err   *ScanError
}

// Span is a stretch of the body as it will be when the scan is over.
type Span struct{ from, to int }

// Len is its length in bytes.
func (s Span) Len() int { return s.to - s.from }

// NewScanner returns a scanner at the beginning of a text. Its Err is set when the text is not
// valid UTF-8.
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

// Finish closes the last gap and answers whether nothing but white space was left.
func (s *Scanner) Finish() bool {
	s.Space()
	if s.Pos < len(s.Body) {
		return s.unexpected("the end of the body")
	}
	s.move()
	return true
}

// out is where the next byte to be read ends up.
func (s *Scanner) out() int { return s.Pos - s.gone }

// At returns the bytes of a span; they are right once finish has been called. No append to them
// reaches their neighbours.
func (s *Scanner) At(p Span) []byte { return s.Body[p.from:p.to:p.to] }

func (s *Scanner) move() {
	if s.gone > 0 {
		copy(s.Body[s.run-s.gone:], s.Body[s.run:s.Pos])
	}
	s.run = s.Pos
}

// Space passes white space.
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

// Value reads one value of any kind and the white space before it.
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

// Peek is the next byte, 0 at the end; a 0 in the body is no token either.
func (s *Scanner) Peek() byte {
	if s.Pos < len(s.Body) {
		return s.Body[s.Pos]
	}
	return 0
}

// Spanned is Value, and where it ends up.
func (s *Scanner) Spanned() (Span, bool) {
	s.Space()
	from := s.out()
	ok := s.Value()
	return Span{from, s.out()}, ok
}

// Open steps into an array or object, whose bracket is the next byte.
func (s *Scanner) Open() bool {
	if s.depth == MaxDepth {
		s.Err = &ScanError{TooDeep: true, Why: fmt.Sprintf("arrays and objects lie more than %d levels deep inside each other (byte offset %d)", MaxDepth, s.Pos)}
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

// Member reads on to the value of an object's next member and gives the member's name as it is
// written, with its quotes; more is false when the object ended instead. The name is to be used
// before anything else is read.
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
		// The white space that is passed here moves bytes to the left of the name's end, over the
		// name.
		name = bytes.Clone(name)
		s.Space()
		if s.Peek() != ':' {
			return nil, false, s.unexpected("':' after a member's name")
		}
	}
	s.Pos++
	return name, true, true
}

// Element reads on to an array's next element; more is false when the array ended instead.
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

// plain has the bytes that stand for themselves in a string.
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
				return s.fail("a faulty escape in a string")
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

// digits reads one digit or more.
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
// without the white space between tokens. It works in the text's own memory.
func Compact(text []byte) (json.RawMessage, *ScanError) {
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
