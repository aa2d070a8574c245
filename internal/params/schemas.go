package params

import (
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
)

// MaxIDBytes is the maximum length of an ID or a role in bytes.
const MaxIDBytes = 256

// NoControls is a pattern for text without control characters. It is valid in both ECMA 262 and
// RE2.
const NoControls = `^[^\x00-\x1f\x7f-\x9f]*$`

func name() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type: "string", MinLength: new(1), MaxLength: new(MaxIDBytes), Pattern: NoControls,
	}
}

// typeSchemas are the schemas of the types above.
var typeSchemas = map[reflect.Type]*jsonschema.Schema{
	reflect.TypeFor[api.ID]():     name(),
	reflect.TypeFor[api.Role]():   name(),
	reflect.TypeFor[api.TaskID](): name(),
	reflect.TypeFor[api.Object](): {Types: []string{"null", "object"}},
	reflect.TypeFor[api.Value]():  {},
}
