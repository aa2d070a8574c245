package audit

import (
	"encoding/json"
	"strings"
)

// members goes through the members of a JSON object in their order, until yield says no. A name that
// comes twice is given twice: which of them counts is for the caller to say, as it is for the commands.
func members(object string, yield func(name string, value json.RawMessage) bool) {
	if object == "" {
		return
	}
	d := json.NewDecoder(strings.NewReader(object))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return
		}
		if text, ok := name.(string); !ok || !yield(text, value) {
			return
		}
	}
}
