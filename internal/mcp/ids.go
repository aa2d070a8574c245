package mcp

import (
	"strconv"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// inexactID returns an error for a body with an id that would not come back unchanged. The SDK
// (v1.8.0) stores ids as float64 and returns them as int64: 1764111234567890123 becomes another
// number, 1.5 becomes 1, and the client waits for ever. The error carries the id as it was sent, so
// that the client gets it. For an array of messages, which is rejected as a whole, the id is null.
// The body is compact JSON.
func inexactID(body []byte) (id []byte, failed *api.Error) {
	if len(body) > 0 && body[0] == '[' {
		for message := range jsontext.Elements(body) {
			if _, failed := inexactID(message); failed != nil {
				return []byte("null"), failed
			}
		}
		return nil, nil
	}
	for name, v := range jsontext.Members(body) {
		if name == "id" && !comesBack(v) {
			return v, api.InvalidRequest("id must be a string without U+0000 and unpaired surrogates, or an integer from -%d to %[1]d without "+
				"fraction and exponent, because other ids would be returned differently than they were sent", int64(jsontext.MaxInteger))
		}
	}
	return nil, nil
}

// comesBack reports whether the SDK returns the same id. The SDK rejects ids that are neither
// strings nor numbers.
func comesBack(id []byte) bool {
	switch c := id[0]; {
	case c == '"':
		return !jsontext.HasUnreadable(id)
	case c == '-' || '0' <= c && c <= '9':
		n, ok := jsontext.Integer(id)
		return ok && -jsontext.MaxInteger <= n && n <= jsontext.MaxInteger && strconv.FormatInt(n, 10) == string(id)
	}
	return true
}
