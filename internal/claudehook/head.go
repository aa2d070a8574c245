package claudehook

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// headMembers are the members that Head returns: who asks for what.
var headMembers = []string{"session_id", "prompt_id", "agent_id", "agent_type", "hook_event_name", "tool_name", "tool_use_id"}

// Head returns a hook, compact JSON, with the names that the beginning of a body contains. It is for
// bodies that are too long or too deep to be read: Claude Code writes the names before the tool's
// input. It returns nil if the beginning is not that of an object.
func Head(beginning []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(beginning))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	head := []byte{'{'}
	for {
		name, err := d.Token()
		member, ok := name.(string)
		if err != nil || !ok {
			break
		}
		value, err := d.Token()
		if err != nil {
			break
		}
		if text, ok := value.(string); ok && slices.Contains(headMembers, member) {
			if len(head) > 1 {
				head = append(head, ',')
			}
			head = append(append(append(head, jsontext.Quote(member)...), ':'), jsontext.Quote(text)...)
		}
		if _, nested := value.(json.Delim); nested && !skip(d) {
			break
		}
	}
	return append(head, '}')
}

// skip reads to the end of the array or object that has just begun. It reports whether there is one.
func skip(d *json.Decoder) bool {
	for depth := 1; depth > 0; {
		token, err := d.Token()
		if err != nil {
			return false
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return true
}
