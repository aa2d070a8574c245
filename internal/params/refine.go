package params

import "github.com/google/jsonschema-go/jsonschema"

// DefaultPriority is the priority of a task if none is given.
const DefaultPriority = 50

// maxText is the maximum length of a task's text in characters.
const maxText = 500

// noNull is a pattern for text without U+0000.
const noNull = `^[^\x00]*$`

// Text limits a task's text. The pattern shows clients part of what the decoder rejects in every
// param.
func Text(s *jsonschema.Schema) {
	s.MinLength, s.MaxLength, s.Pattern = new(1), new(maxText), noNull
}

// Between limits a number. The bounds are included.
func Between(s *jsonschema.Schema, low, high float64) { s.Minimum, s.Maximum = &low, &high }

// Enum limits a string to some values.
func Enum(s *jsonschema.Schema, values ...string) {
	s.Enum = make([]any, len(values))
	for i, value := range values {
		s.Enum[i] = value
	}
}

// Priority limits a task's priority: 0 to 100.
func Priority(s *jsonschema.Schema) { Between(s, 0, 100) }

// Key limits a key that several tasks have: 1 to 256 bytes without control characters.
func Key(s *jsonschema.Schema) {
	s.MinLength, s.MaxLength, s.Pattern = new(1), new(MaxIDBytes), NoControls
}

// IdempotencyKey limits an idempotency key: 1 to 256 bytes.
func IdempotencyKey(s *jsonschema.Schema) { s.MinLength, s.MaxLength = new(1), new(MaxIDBytes) }

// Metadata describes the members of a task's metadata that the coordinator reads itself.
func Metadata(s *jsonschema.Schema) {
	s.Properties = map[string]*jsonschema.Schema{
		"roles": {Types: []string{"null", "array"}, Description: "the roles that a worker must have", MaxItems: new(MaxRoles), Items: name()},
	}
}
