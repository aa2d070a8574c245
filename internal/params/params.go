// Package params decodes the params of methods into their Go types, and derives the JSON Schemas of
// params and results from those types. internal/command uses it for every method. It depends on
// nothing that can fail; what it refuses is an error for the caller, a sentence that names the
// param.
package params

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// Decoder decodes the params of one method into their Go type, by the schema derived from that
// type. The schema is the only description of what is accepted; the decoder is made from it once,
// at the start, since every command passes through it, and since its refusals are sentences that
// name the param.
type Decoder[P any] struct {
	Schema *jsonschema.Schema
	object *object
}

// SchemaOf derives the schema of a type, and lets refine add what a Go type cannot say.
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

// paramsSchemaOf is schemaOf for params: one that is not given is left out, never null.
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
		// A copy, because the list is shared with the other schemas of the type.
		p.Types = slices.DeleteFunc(slices.Clone(p.Types), func(t string) bool { return t == "null" })
		if len(p.Types) == 1 {
			p.Type, p.Types = p.Types[0], nil
		}
		withoutNull(p.Properties)
	}
}

// New returns the decoder of a type. refine adds to its schema what a Go type cannot say; nil adds
// nothing.
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

// Decode checks params and decodes them; the error is an *Error with a sentence.
func (p *Decoder[P]) Decode(raw json.RawMessage) (*P, error) {
	out := new(P)
	if isNothing(raw) {
		raw = json.RawMessage("{}")
	}
	var compact bytes.Buffer // members needs it so, and the log has one line an event
	compact.Grow(len(raw))
	if json.Compact(&compact, raw) != nil {
		return nil, api.InvalidParams("params must be JSON")
	}
	if sentence := p.object.decode(compact.Bytes(), reflect.ValueOf(out).Elem()); sentence != "" {
		return nil, api.InvalidParams(sentence)
	}
	return out, nil
}

// isNothing reports whether params are left out, null or an empty array. Clients of methods without
// params send all three.
func isNothing(raw json.RawMessage) bool {
	switch raw = bytes.TrimSpace(raw); string(raw) {
	case "", "null":
		return true
	}
	inner, ok := bytes.CutPrefix(raw, []byte("["))
	return ok && string(bytes.TrimLeft(inner, " \t\r\n")) == "]"
}

// DecodeItem decodes a JSON object that is a part of params, and must be compact. wrong is a
// sentence that says what is wrong with it, "" when nothing is.
func (p *Decoder[P]) DecodeItem(compact []byte) (item P, wrong string) {
	wrong = p.object.decode(compact, reflect.ValueOf(&item).Elem())
	return item, wrong
}

// object decodes a JSON object into a struct.
type object struct {
	path     string // "" at the top, else "updates."
	fields   map[string]*field
	required []string
}

type field struct {
	path   string
	index  int
	schema *jsonschema.Schema
	nested bool // the value is an object whose members are params themselves
	// into decodes a value and returns what is wrong with it, "" when nothing is.
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

// unreadable is what is wrong with a param that would make the task views unreadable. It is refused
// wherever it stands, in names too, since any text may come to lie in a row.
const unreadable = "must not contain U+0000 or an unpaired surrogate, which SQL cannot read"

func isNested(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
}

func (o *object) decode(raw []byte, to reflect.Value) string {
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
			return fmt.Sprintf("unknown parameter '%s': there are %s", o.path+name, strings.Join(o.names(), ", "))
		}
		if seen&(1<<f.index) != 0 {
			// Readers of JSON differ on which of the two counts, and so on what was asked for.
			return f.path + " parameter is given twice"
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
	for _, name := range o.required {
		if f := o.fields[name]; seen&(1<<f.index) == 0 {
			return f.path + " parameter " + missing(f.schema)
		}
	}
	return ""
}

// names lists the params there are, in order.
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

// missing says what is wrong with a param that was not given; one that has a single lawful value is
// refused in the same words whatever is wrong with it.
func missing(schema *jsonschema.Schema) string {
	if schema.Const == nil {
		return "is required"
	}
	return fmt.Sprintf("must be exactly '%v'", *schema.Const)
}

// decoder makes the decoder of a type within its schema.
func decoder(schema *jsonschema.Schema, t reflect.Type, path string) (func([]byte, reflect.Value) string, error) {
	switch {
	case t == reflect.TypeFor[api.Value]():
		return func(raw []byte, to reflect.Value) string { to.SetBytes(raw); return "" }, nil
	case t == reflect.TypeFor[api.Object]():
		return objectDecoder(schema, path)
	}
	switch t.Kind() {
	case reflect.Pointer:
		inner, err := decoder(schema, t.Elem(), path)
		return func(raw []byte, to reflect.Value) string {
			to.Set(reflect.New(t.Elem()))
			return inner(raw, to.Elem())
		}, err
	case reflect.String:
		return stringDecoder(schema)
	case reflect.Int, reflect.Int64:
		return intDecoder(schema, path)
	case reflect.Bool:
		return func(raw []byte, to reflect.Value) string {
			if raw[0] != 't' && raw[0] != 'f' {
				return "must be true or false"
			}
			to.SetBool(raw[0] == 't')
			return ""
		}, nil
	case reflect.Slice:
		return sliceDecoder(schema, t, path)
	case reflect.Struct:
		nested, err := compile(schema, t, path+".")
		if err != nil {
			return nil, err
		}
		return nested.nested, nil
	}
	return nil, fmt.Errorf("%s: no decoder for %s", path, t)
}

// objectDecoder keeps an object as it is, and checks those of its members that the schema names.
func objectDecoder(schema *jsonschema.Schema, path string) (func([]byte, reflect.Value) string, error) {
	known := map[string]func([]byte) string{}
	for name, property := range schema.Properties {
		t := memberTypes[property.Type]
		if property.Items != nil {
			t = reflect.TypeFor[[]api.Role]()
		}
		if t == nil {
			return nil, fmt.Errorf("%s.%s: no type for it", path, name)
		}
		into, err := decoder(property, t, path+"."+name)
		if err != nil {
			return nil, err
		}
		known[name] = func(raw []byte) string {
			if slices.Contains(property.Types, "null") && raw[0] == 'n' {
				return ""
			}
			return into(raw, reflect.New(t).Elem())
		}
	}
	return func(raw []byte, to reflect.Value) string {
		if raw[0] != '{' {
			return "must be an object"
		}
		if len(known) > 0 {
			for name, v := range jsontext.Members(raw) {
				if check := known[name]; check != nil {
					if wrong := check(v); wrong != "" {
						return "is not valid: " + name + " " + wrong
					}
				}
			}
		}
		to.SetBytes(raw)
		return ""
	}, nil
}

// memberTypes are the Go types by which members of objects are checked.
var memberTypes = map[string]reflect.Type{"integer": reflect.TypeFor[int](), "string": reflect.TypeFor[string]()}

// nested decodes an object that is a param itself; its sentence is put behind that param's name.
func (o *object) nested(raw []byte, to reflect.Value) string {
	wrong := o.decode(raw, to)
	if wrong == "" || wrong == "must be an object" {
		return wrong
	}
	return "is not valid: " + wrong
}

func stringDecoder(schema *jsonschema.Schema) (func([]byte, reflect.Value) string, error) {
	var pattern *regexp.Regexp
	if schema.Pattern != "" {
		var err error
		if pattern, err = regexp.Compile(schema.Pattern); err != nil {
			return nil, err
		}
	}
	var allowed []string
	for _, v := range schema.Enum {
		allowed = append(allowed, fmt.Sprint(v))
	}
	return func(raw []byte, to reflect.Value) string {
		if raw[0] != '"' {
			if schema.Const != nil {
				return fmt.Sprintf("must be exactly '%v'", *schema.Const)
			}
			return "must be a string"
		}
		s := jsontext.Unquote(raw)
		if wrong := checkString(schema, allowed, s); wrong != "" {
			return wrong
		}
		if pattern != nil && !pattern.MatchString(s) {
			if schema.Pattern == NoControls {
				return "must not hold control characters"
			}
			return "must match " + schema.Pattern
		}
		to.SetString(s)
		return ""
	}, nil
}

func checkString(schema *jsonschema.Schema, allowed []string, s string) string {
	if schema.Const != nil && s != *schema.Const {
		return fmt.Sprintf("must be exactly '%v'", *schema.Const)
	}
	if schema.MinLength != nil && *schema.MinLength == 1 && s == "" {
		return "must not be empty"
	}
	if schema.MaxLength != nil && len(s) > *schema.MaxLength {
		if schema.Pattern == NoControls {
			return fmt.Sprintf("must be at most %d bytes long", *schema.MaxLength)
		}
		if n := utf8.RuneCountInString(s); n > *schema.MaxLength {
			return fmt.Sprintf("must be at most %d characters long, and has %d", *schema.MaxLength, n)
		}
	}
	if allowed != nil {
		for _, a := range allowed {
			if s == a {
				return ""
			}
		}
		return "must be one of " + strings.Join(allowed, ", ")
	}
	return ""
}

// intDecoder decodes an integer between the schema's bounds, which must be exact themselves.
func intDecoder(schema *jsonschema.Schema, path string) (func([]byte, reflect.Value) string, error) {
	if schema.Minimum == nil || schema.Maximum == nil || *schema.Minimum < -jsontext.MaxInteger || *schema.Maximum > jsontext.MaxInteger {
		return nil, fmt.Errorf("%s: an integer needs a minimum and a maximum between -%d and %[2]d", path, int64(jsontext.MaxInteger))
	}
	low, high := int64(*schema.Minimum), int64(*schema.Maximum)
	must := fmt.Sprintf("must be an integer from %d to %d", low, high)
	if high == jsontext.MaxInteger {
		must = fmt.Sprintf("must be an integer of at least %d", low)
	}
	return func(raw []byte, to reflect.Value) string {
		n, ok := jsontext.Integer(raw)
		switch {
		case ok && n > jsontext.MaxInteger && high == jsontext.MaxInteger:
			return fmt.Sprintf("must be an integer of at most %d", high)
		case !ok || n < low || n > high:
			return must
		}
		to.SetInt(n)
		return ""
	}, nil
}

func sliceDecoder(schema *jsonschema.Schema, t reflect.Type, path string) (func([]byte, reflect.Value) string, error) {
	element, err := decoder(schema.Items, t.Elem(), path)
	if err != nil {
		return nil, err
	}
	return func(raw []byte, to reflect.Value) string {
		if raw[0] != '[' {
			return "must be an array"
		}
		out := reflect.MakeSlice(t, 0, 4)
		for v := range jsontext.Elements(raw) {
			out = reflect.Append(out, reflect.Zero(t.Elem()))
			if wrong := element(v, out.Index(out.Len()-1)); wrong != "" {
				return fmt.Sprintf("item %d %s", out.Len()-1, wrong)
			}
		}
		if schema.MaxItems != nil && out.Len() > *schema.MaxItems {
			return fmt.Sprintf("must hold at most %d items, and holds %d", *schema.MaxItems, out.Len())
		}
		if schema.MinItems != nil && out.Len() < *schema.MinItems {
			return fmt.Sprintf("must hold at least %d items", *schema.MinItems)
		}
		to.Set(out)
		return ""
	}, nil
}
