package jsontext

import "bytes"

// OneLine returns JSON text as one line. Another program may have written it with white space;
// elsewhere JSON has no line breaks.
func OneLine(text []byte) []byte {
	if bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0 {
		return text
	}
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, text)
}
