package commands

import (
	"bytes"
	"encoding/json"
	"iter"
)

// members goes through the members of a JSON object, in order, each name decoded and each value as the
// bytes it came in. The object must be valid and compact JSON.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := 1; i < len(object) && object[i] == '"'; {
			name := value(object[i:])
			i += len(name) + 1
			v := value(object[i:])
			i += len(v) + 1
			if !yield(unquote(name), v) {
				return
			}
		}
	}
}

// value returns the JSON value that compact JSON text begins with.
func value(text []byte) []byte {
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

// unquote decodes a valid JSON string.
func unquote(text []byte) string {
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text[1 : len(text)-1])
	}
	var s string
	_ = json.Unmarshal(text, &s) // it is valid
	return s
}

// merge puts the members of changes over those of object and leaves the others as they are, byte for
// byte and in their order. Either may be empty. Of members of one name the last counts.
func merge(object, changes []byte) []byte {
	if len(object) == 0 {
		return changes
	}
	over := map[string][]byte{}
	var order []string
	for name, v := range members(changes) {
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
		out = append(append(append(out, quote(name)...), ':'), v...)
	}
	written := map[string]bool{}
	for name, v := range members(object) {
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

// quote gives a string as JSON without the escapes for HTML.
func quote(s string) []byte {
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
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// decodeNumbers decodes JSON and keeps numbers as they are written.
func decodeNumbers(text []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(to)
}
