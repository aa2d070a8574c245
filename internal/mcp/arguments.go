package mcp

import (
	"encoding/json"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// arguments returns the params of a method for the arguments of its tool, by the schema of the
// params. It undoes what strict schemas and their clients make of values:
//   - null for an optional param means that the param is absent. Models whose schema must require
//     every param send null.
//   - A string for an object or an array is read as JSON text if it holds such a value. Some models
//     encode nested values.
//   - A string for a param of several types is read as JSON text, or is kept if it is not JSON.
//
// Everything else stays as it is, and the method's decoder rejects what is wrong. raw is compact
// JSON or empty, and so is the result.
func arguments(s *jsonschema.Schema, raw json.RawMessage) (json.RawMessage, *api.Error) {
	// The decoder rejects escapes that decode to no character. Decoding one here would hide it.
	if len(raw) == 0 || raw[0] != '{' || jsontext.HasUnreadable(raw) {
		return raw, nil
	}
	var r reader
	read, changed := r.members(s, raw)
	if r.tooDeep == nil && changed {
		// Values from strings add to the depth of what is around them.
		read, r.tooDeep = jsontext.Compact(read)
	}
	if r.tooDeep != nil {
		return nil, api.InvalidParams(r.tooDeep.Why)
	}
	return read, nil
}

// reader reads the arguments of one call.
type reader struct {
	tooDeep *jsontext.Fault // set if a string holds JSON text that is nested too deep
}

// argument returns the value of a param, and whether it differs from v.
func (r *reader) argument(s *jsonschema.Schema, v []byte) (read []byte, changed bool) {
	kind, free := typeOf(s)
	if v[0] == '"' && (free || kind == "object" || kind == "array") {
		inner, fault := jsontext.Compact([]byte(jsontext.Unquote(v)))
		if fault != nil && fault.TooDeep {
			r.tooDeep = fault
		}
		if fault != nil || !free && inner[0] != opening(kind) {
			return v, false
		}
		v, changed = inner, true
	}
	if free {
		return v, changed
	}
	var nested bool
	switch {
	case kind == "object" && v[0] == '{':
		v, nested = r.members(s, v)
	case kind == "array" && v[0] == '[' && s.Items != nil:
		v, nested = r.elements(s.Items, v)
	}
	return v, changed || nested
}

// opening returns the first byte of the JSON text of an object or an array.
func opening(kind string) byte {
	if kind == "object" {
		return '{'
	}
	return '['
}

// members reads the members of an object. An object with a repeated param stays as it is, because
// the decoder rejects it.
func (r *reader) members(s *jsonschema.Schema, object []byte) (read []byte, changed bool) {
	// Null is a value in an object that accepts members of any name, such as metadata.
	closed := s.AdditionalProperties != nil
	seen := make(map[string]bool, len(s.Properties))
	changes := map[string][]byte{} // nil for a member to leave out
	for name, v := range jsontext.Members(object) {
		p := s.Properties[name]
		if p == nil {
			continue
		}
		if seen[name] {
			return object, false
		}
		seen[name] = true
		if closed && string(v) == "null" && !slices.Contains(s.Required, name) {
			changes[name] = nil
		} else if v, differs := r.argument(p, v); differs {
			changes[name] = v
		}
	}
	if len(changes) == 0 {
		return object, false
	}
	read = append(make([]byte, 0, len(object)), '{')
	for name, v := range jsontext.Members(object) {
		if to, differs := changes[name]; differs {
			v = to
		}
		if v == nil {
			continue
		}
		if len(read) > 1 {
			read = append(read, ',')
		}
		read = append(append(append(read, jsontext.Quote(name)...), ':'), v...)
	}
	return append(read, '}'), true
}

// elements reads the elements of an array.
func (r *reader) elements(items *jsonschema.Schema, array []byte) (read []byte, changed bool) {
	begin := 1 // of the element in array
	for v := range jsontext.Elements(array) {
		e, differs := r.argument(items, v)
		if differs && !changed {
			read, changed = append(make([]byte, 0, len(array)), array[:begin]...), true
		}
		if changed {
			read = append(append(read, e...), ',')
		}
		begin += len(v) + 1
	}
	if !changed {
		return array, false
	}
	read[len(read)-1] = ']'
	return read, true
}
