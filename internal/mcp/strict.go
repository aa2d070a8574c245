package mcp

import (
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// jsonAsText ends the description of a param that accepts values of several types.
const jsonAsText = "Give it as JSON text; other text counts as a string"

// strict returns a copy of the schema of a method's params that every client can hand to its
// model's provider. A client hands over the whole list of tools at once, so one schema that the
// provider rejects makes all tools unusable:
//   - Gemini rejects an array of types ("Proto field is not repeating, cannot start list") and a
//     schema without a type. `["null","array"]` becomes "array".
//   - Gemini and OpenAI reject an array without items ("array schema missing items").
//   - OpenAI rejects an object without properties ("object schema missing properties"), also that
//     of a tool without params.
//   - Clients of Anthropic, like other clients on the SDKs for TypeScript and Python, reject a
//     boolean as the schema of a property, and jsonschema encodes a schema without rules as `true`.
//
// A param of several types, or of any, becomes a string that holds JSON text or plain text.
// arguments reads it back. An anyOf of typed schemas cannot replace it: Gemini on Vertex AI rejects
// an anyOf beside a description ("it must be the only field set"), and the items of its alternative
// "array" would need a type again.
//
// toTools replaces the names of methods in descriptions by those of tools.
func strict(s *jsonschema.Schema, toTools *strings.Replacer) *jsonschema.Schema {
	s = s.CloneSchemas()
	restrict(s, toTools)
	return s
}

func restrict(s *jsonschema.Schema, toTools *strings.Replacer) {
	s.Description = toTools.Replace(s.Description)
	kind, free := typeOf(s)
	s.Type, s.Types = kind, nil
	if free {
		if s.Description == "" {
			s.Description = "any JSON"
		}
		s.Description += ". " + jsonAsText
		s.Properties, s.Items, s.AdditionalProperties, s.Required = nil, nil, nil, nil
	}
	switch {
	case kind == "array" && s.Items == nil:
		s.Items = &jsonschema.Schema{}
	case kind == "object" && s.Properties == nil:
		s.Properties = map[string]*jsonschema.Schema{}
	}
	for _, p := range s.Properties {
		restrict(p, toTools)
	}
	if s.Items != nil {
		restrict(s.Items, toTools)
	}
}

// typeOf returns the type that a param has over MCP. free is set if its schema accepts values of
// several types.
func typeOf(s *jsonschema.Schema) (kind string, free bool) {
	if s.Type != "" {
		return s.Type, false
	}
	types := slices.DeleteFunc(slices.Clone(s.Types), func(t string) bool { return t == "null" })
	if len(types) == 1 {
		return types[0], false
	}
	return "string", true
}
