package jsontext

import (
	"bytes"
	"strconv"
	"unicode/utf16"
)

// replacement replaces an escape that SQL cannot read. It stands for U+FFFD and has the same
// length.
const replacement = `\ufffd`

// escapeLen is the length of an escape by code unit, for example \u0000.
const escapeLen = len(replacement)

// HasUnreadable reports whether JSON text contains an escape that Postgres cannot decode: U+0000,
// or half of a surrogate pair. Postgres stores such text in a json column, but then every query
// that reads a member out of it fails (SQLSTATE 22P05). The text must be valid JSON.
func HasUnreadable(text []byte) bool { return nextUnreadable(text, 0) >= 0 }

// Readable returns JSON text with U+FFFD instead of each escape that Postgres cannot decode, and
// reports whether there was one. Otherwise it returns text itself. The text must be valid JSON.
func Readable(text []byte) (readable []byte, replaced bool) {
	at := nextUnreadable(text, 0)
	if at < 0 {
		return text, false
	}
	readable = bytes.Clone(text)
	for ; at >= 0; at = nextUnreadable(readable, at+escapeLen) {
		copy(readable[at:], replacement)
	}
	return readable, true
}

// nextUnreadable returns the offset of the first unreadable escape at or after from, or -1.
func nextUnreadable(text []byte, from int) int {
	for i := from; i < len(text); {
		next := bytes.IndexByte(text[i:], '\\')
		if next < 0 {
			return -1
		}
		i += next
		unit, ok := codeUnit(text[i:])
		switch {
		case !ok:
			i += 2 // another escape; its second character may be a backslash
		case unit == 0:
			return i
		case !utf16.IsSurrogate(unit):
			i += escapeLen
		default:
			low, ok := codeUnit(text[i+escapeLen:])
			if !ok || utf16.DecodeRune(unit, low) == '\ufffd' {
				return i
			}
			i += 2 * escapeLen
		}
	}
	return -1
}

// codeUnit returns the code unit of the escape \uXXXX at the start of text.
func codeUnit(text []byte) (unit rune, ok bool) {
	if len(text) < escapeLen || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:escapeLen]), 16, 16)
	return rune(n), err == nil
}
