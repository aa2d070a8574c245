package mcp

import (
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// plain is a copy of a schema that every client reads. One without any rule is written `true`,
// which JSON Schema allows and the TypeScript SDK does not where a property's schema stands: it
// would refuse the whole list of tools. toTools puts the names of tools for those of methods.
func plain(s *jsonschema.Schema, toTools *strings.Replacer) *jsonschema.Schema {
	s = s.CloneSchemas()
	describe(s, toTools)
	return s
}

// describe returns schemas without any rule a description, so that they are objects.
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
