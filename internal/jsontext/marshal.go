package jsontext

import (
	"bytes"
	"encoding/json"
)

// Marshal is json.Marshal without its escaping for HTML: what users bring comes back as they wrote
// it.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
