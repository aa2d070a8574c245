// Package jsontext reads and writes JSON as text, so that values from users are kept byte for byte.
// encoding/json would change the spelling of numbers, the escapes and the order of members.
package jsontext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Members returns an iterator over the members of a JSON object in order: the decoded name and the
// bytes of the value. The text must be valid, compact JSON. If it is not an object, there are no
// members.
func Members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if len(object) == 0 || object[0] != '{' {
			return
		}
		for i := 1; i < len(object) && object[i] == '"'; {
			name := Value(object[i:])
			i += len(name) + 1
			v := Value(object[i:])
			i += len(v) + 1
			if !yield(Unquote(name), v) {
				return
			}
		}
	}
}

// Texts returns the JSON texts of members of an object, null for each that is missing. Of several
// members with one name the last one counts. The object must be as for Members.
func Texts(object []byte, names ...string) []string {
	texts := make([]string, len(names))
	for i := range texts {
		texts[i] = "null"
	}
	for name, value := range Members(object) {
		if i := slices.Index(names, name); i >= 0 {
			texts[i] = string(value)
		}
	}
	return texts
}

// Elements returns an iterator over the bytes of the elements of a JSON array in order. The text
// must be valid, compact JSON. If it is not an array, there are no elements.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if len(array) == 0 || array[0] != '[' {
			return
		}
		for i := 1; array[i] != ']'; {
			v := Value(array[i:])
			if i += len(v); array[i] == ',' {
				i++
			}
			if !yield(v) {
				return
			}
		}
	}
}

// Value returns the first JSON value in compact JSON text.
func Value(text []byte) []byte {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return text[:i+1]
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return text[:i]
			}
			if depth--; depth == 0 {
				return text[:i+1]
			}
		case ',', ':':
			if depth == 0 {
				return text[:i]
			}
		}
	}
	return text
}

// Unquote decodes a valid JSON string. text includes the quotes.
func Unquote(text []byte) string {
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text[1 : len(text)-1])
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		// The scanner accepts only what encoding/json accepts. A fuzz test compares the two.
		panic(fmt.Sprintf("jsontext: a valid string does not decode: %v", err))
	}
	return s
}

// Merge returns object with the members of changes added or replaced. The other members keep their
// bytes and their order. Either object may be empty. Of several members with one name the last one
// counts.
func Merge(object, changes []byte) []byte {
	if len(object) == 0 {
		return changes
	}
	over := map[string][]byte{}
	var order []string
	for name, v := range Members(changes) {
		if _, again := over[name]; !again {
			order = append(order, name)
		}
		over[name] = v
	}
	out := []byte{'{'}
	add := func(name string, v []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, Quote(name)...), ':'), v...)
	}
	written := map[string]bool{}
	for name, v := range Members(object) {
		changed, ok := over[name]
		switch {
		case !ok:
			add(name, v)
		case !written[name]:
			add(name, changed)
			written[name] = true
		}
	}
	for _, name := range order {
		if !written[name] {
			add(name, over[name])
		}
	}
	return append(out, '}')
}

// Quote returns a string as JSON without escaping for HTML.
func Quote(s string) []byte {
	plain := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return append(append(append(make([]byte, 0, len(s)+2), '"'), s...), '"')
	}
	text, _ := Marshal(s) // encoding a string never fails
	return text
}

// QuoteAsLua returns a string as JSON, spelled as the scripts spell it (lua/lib/json).
func QuoteAsLua(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			if c < ' ' || c == 0x7f {
				b.WriteString(`\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
				continue
			}
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// DecodeNumbers decodes JSON and keeps numbers as they are written.
func DecodeNumbers(text []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(to)
}

// Strings decodes a valid JSON array of strings. It returns none for null.
func Strings(v []byte) []string {
	var list []string
	for item := range Elements(v) {
		list = append(list, Unquote(item))
	}
	return list
}

// Array encodes strings as a JSON array.
func Array[S ~string](list []S) string {
	b := []byte{'['}
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, Quote(string(s))...)
	}
	return string(append(b, ']'))
}

// Canonical returns the same text for values that differ only in the order of members and in the
// escaping of characters. Numbers are equal if they are written alike.
func Canonical(v []byte) ([]byte, error) {
	var decoded any
	if err := DecodeNumbers(v, &decoded); err != nil {
		return nil, err
	}
	return Marshal(decoded)
}
