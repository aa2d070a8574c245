package mcpstdio

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// encode returns a value as JSON without escapes for HTML, so that what a model sent stays as it
// is. Its values always encode.
func encode(v any) json.RawMessage {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

func quote(s string) json.RawMessage { return encode(s) }

func number(n int) string { return strconv.Itoa(n) }
