package mcp

import (
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// plain returns a copy of the schema of a result that all clients can read. Only strict is stricter,
// because clients do not hand the schemas of results to providers. A schema without rules is encoded as
// `true`. JSON Schema allows that, but the TypeScript SDK does not accept it as the schema of a
// property and would reject the whole list of tools. toTools replaces the names of methods by those
// of tools.
func plain(s *jsonschema.Schema, toTools *strings.Replacer) *jsonschema.Schema {
	s = s.CloneSchemas()
	describe(s, toTools)
	return s
}

// describe adds a description to schemas without rules, so that they are encoded as objects.
func describe(s *jsonschema.Schema, toTools *strings.Replacer) {
	s.Description = toTools.Replace(s.Description)
	if s.Type == "" && s.Types == nil && s.Description == "" && s.Ref == "" && s.Enum == nil && s.Const == nil && s.Properties == nil {
		s.Description = "any JSON"
	}
	for _, p := range s.Properties {
		describe(p, toTools)
	}
	if s.Items != nil {
		describe(s.Items, toTools)
	}
}
