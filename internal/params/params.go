// Package params decodes the params of methods into their Go types, and derives the JSON Schemas of
// params and results from those types. internal/command uses it for every method. It depends on
// nothing that can fail. An error is a sentence for the caller that names the param.
package params

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// Decoder decodes the params of one method into their Go type, by the schema that is derived from
// that type. The schema is the only description of what is accepted. The decoder is compiled from
// it once at startup, because every command uses it and because its errors must be sentences that
// name the param.
type Decoder[P any] struct {
	Schema *jsonschema.Schema
	object *object
}

// SchemaOf derives the schema of a type. refine adds to it what a Go type cannot express.
func SchemaOf[T any](refine func(properties map[string]*jsonschema.Schema)) (*jsonschema.Schema, error) {
	schema, err := jsonschema.For[T](&jsonschema.ForOptions{TypeSchemas: typeSchemas})
	if err != nil {
		return nil, fmt.Errorf("schema of %T: %w", *new(T), err)
	}
	if refine != nil {
		refine(schema.Properties)
	}
	return schema, nil
}

// paramsSchemaOf is SchemaOf for params. An optional param may be omitted but not null.
func paramsSchemaOf[T any](refine func(map[string]*jsonschema.Schema)) (*jsonschema.Schema, error) {
	return SchemaOf[T](func(properties map[string]*jsonschema.Schema) {
		withoutNull(properties)
		if refine != nil {
			refine(properties)
		}
	})
}

func withoutNull(properties map[string]*jsonschema.Schema) {
	for _, p := range properties {
		// A copy, because the list is shared with other schemas of the type.
		p.Types = slices.DeleteFunc(slices.Clone(p.Types), func(t string) bool { return t == "null" })
		if len(p.Types) == 1 {
			p.Type, p.Types = p.Types[0], nil
		}
		withoutNull(p.Properties)
	}
}

// New returns the decoder of a type. refine adds to its schema what a Go type cannot express. Nil
// adds nothing.
func New[P any](refine func(map[string]*jsonschema.Schema)) (*Decoder[P], error) {
	schema, err := paramsSchemaOf[P](refine)
	if err != nil {
		return nil, err
	}
	object, err := compile(schema, reflect.TypeFor[P](), "")
	if err != nil {
		return nil, fmt.Errorf("params %T: %w", *new(P), err)
	}
	return &Decoder[P]{Schema: schema, object: object}, nil
}

// Decode validates params, which must be compact JSON, and decodes them. The result shares their
// memory. also names params that are required besides those of the schema. The error is an
// *api.Error whose data is a sentence.
func (p *Decoder[P]) Decode(raw json.RawMessage, also ...string) (*P, error) {
	out := new(P)
	if isNothing(raw) {
		raw = json.RawMessage("{}")
	}
	if sentence := p.object.decode(raw, reflect.ValueOf(out).Elem(), also...); sentence != "" {
		return nil, api.InvalidParams(sentence)
	}
	return out, nil
}

// Or returns the value of an optional param, or the default if the param is missing.
func Or[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}

// isNothing reports whether params are absent, null or an empty array. Clients send all three to
// methods without params.
func isNothing(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "[]":
		return true
	}
	return false
}

// DecodeItem decodes a JSON object that is part of params. It must be compact. wrong says what is
// wrong with it, as a sentence, or is "".
func (p *Decoder[P]) DecodeItem(compact []byte) (item P, wrong string) {
	wrong = p.object.decode(compact, reflect.ValueOf(&item).Elem())
	return item, wrong
}

// object decodes a JSON object into a struct.
type object struct {
	path     string // "" at the top, else for example "updates."
	fields   map[string]*field
	required []string
}

type field struct {
	path   string
	index  int
	schema *jsonschema.Schema
	nested bool // the value is an object whose members are params themselves
	// into decodes a value and returns what is wrong with it, or "".
	into func(raw []byte, to reflect.Value) string
}

func compile(schema *jsonschema.Schema, t reflect.Type, path string) (*object, error) {
	o := &object{path: path, fields: map[string]*field{}, required: schema.Required}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		property := schema.Properties[name]
		if property == nil {
			return nil, fmt.Errorf("field %s is not in the schema", t.Field(i).Name)
		}
		f := &field{path: path + name, index: i, schema: property, nested: isNested(t.Field(i).Type)}
		var err error
		if f.into, err = decoder(property, t.Field(i).Type, f.path); err != nil {
			return nil, err
		}
		o.fields[name] = f
	}
	return o, nil
}

// unreadable is the error for text that would make the task views unreadable. It is rejected
// everywhere, even in names, because any text may end up in a row.
const unreadable = "must not contain U+0000 or an unpaired surrogate, which SQL cannot read"

func isNested(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
}

func (o *object) decode(raw []byte, to reflect.Value, also ...string) string {
	if raw[0] != '{' {
		if o.path == "" {
			return "params must be an object"
		}
		return "must be an object"
	}
	var seen uint64
	for name, v := range jsontext.Members(raw) {
		f := o.fields[name]
		if f == nil {
			return fmt.Sprintf("unknown parameter '%s'; the parameters are %s", o.path+name, strings.Join(o.names(), ", "))
		}
		if seen&(1<<f.index) != 0 {
			// Readers of JSON disagree on which of the two counts, and so on what was requested.
			return f.path + " parameter is repeated"
		}
		seen |= 1 << f.index
		// A nested object names the one of its own params that is wrong.
		if !f.nested && jsontext.HasUnreadable(v) {
			return f.path + " parameter " + unreadable
		}
		if wrong := f.into(v, to.Field(f.index)); wrong != "" {
			return f.path + " parameter " + wrong
		}
	}
	for _, required := range [][]string{o.required, also} {
		for _, name := range required {
			if f := o.fields[name]; seen&(1<<f.index) == 0 {
				return f.path + " parameter " + missing(f.schema)
			}
		}
	}
	return ""
}

// names returns the names of the params in order.
func (o *object) names() []string {
	if len(o.fields) == 0 {
		return []string{"none"}
	}
	names := make([]string, 0, len(o.fields))
	for _, f := range o.fields {
		names = append(names, f.path)
	}
	slices.Sort(names)
	return names
}

// missing returns the error for a param that is missing. If the schema allows only one value, the
// error is the same as for a wrong value.
func missing(schema *jsonschema.Schema) string {
	if schema.Const == nil {
		return "is required"
	}
	return fmt.Sprintf("must be exactly '%v'", *schema.Const)
}
