package params

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// decoder returns the decoder of a type with its schema.
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
	case reflect.Float64:
		return numberDecoder(schema, path)
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

// objectDecoder returns a decoder that keeps an object unchanged, and validates those of its
// members that the schema names.
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
	bounded := schema.MinProperties != nil || schema.MaxProperties != nil
	return func(raw []byte, to reflect.Value) string {
		if raw[0] != '{' {
			return "must be an object"
		}
		if len(known) > 0 || bounded {
			count := 0
			for name, v := range jsontext.Members(raw) {
				count++
				if check := known[name]; check != nil {
					if wrong := check(v); wrong != "" {
						return "is not valid: " + name + " " + wrong
					}
				}
			}
			if wrong := checkCount(schema, count); wrong != "" {
				return wrong
			}
		}
		to.SetBytes(raw)
		return ""
	}, nil
}

// checkCount returns what is wrong with the number of an object's members, or "".
func checkCount(schema *jsonschema.Schema, count int) string {
	if schema.MaxProperties != nil && count > *schema.MaxProperties {
		return fmt.Sprintf("must contain at most %d members, but contains %d", *schema.MaxProperties, count)
	}
	if schema.MinProperties != nil && count < *schema.MinProperties {
		return fmt.Sprintf("must contain at least %d members", *schema.MinProperties)
	}
	return ""
}

// memberTypes maps the types of the schema to the Go types that validate members of objects.
var memberTypes = map[string]reflect.Type{"integer": reflect.TypeFor[int](), "string": reflect.TypeFor[string]()}

// nested decodes an object that is a param itself. Its error is what follows the name of that
// param.
func (o *object) nested(raw []byte, to reflect.Value) string {
	wrong := o.decode(raw, to)
	if wrong == "" || wrong == "must be an object" {
		return wrong
	}
	return "is not valid: " + wrong
}

func stringDecoder(schema *jsonschema.Schema) (func([]byte, reflect.Value) string, error) {
	matches, err := matcher(schema.Pattern)
	if err != nil {
		return nil, err
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
		if !matches(s) {
			if schema.Pattern == NoControls {
				return "must not contain control characters"
			}
			return "must match " + schema.Pattern
		}
		to.SetString(s)
		return ""
	}, nil
}

// matcher returns a function that reports whether a text matches a schema's pattern. The patterns of
// params that every call has are matched without a regexp, which would cost more than the rest of
// the param.
func matcher(pattern string) (func(string) bool, error) {
	switch pattern {
	case "", noNull: // the decoder rejects U+0000 in every param
		return func(string) bool { return true }, nil
	case NoControls:
		return func(s string) bool { return strings.IndexFunc(s, unicode.IsControl) < 0 }, nil
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	return compiled.MatchString, nil
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
			return fmt.Sprintf("must be at most %d characters long, but has %d", *schema.MaxLength, n)
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

// intDecoder returns a decoder of integers between the schema's bounds. The bounds must be exact
// integers.
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

// numberDecoder returns a decoder of numbers between the schema's bounds.
func numberDecoder(schema *jsonschema.Schema, path string) (func([]byte, reflect.Value) string, error) {
	if schema.Minimum == nil || schema.Maximum == nil {
		return nil, fmt.Errorf("%s: a number needs a minimum and a maximum", path)
	}
	low, high := *schema.Minimum, *schema.Maximum
	return func(raw []byte, to reflect.Value) string {
		n, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || n < low || n > high {
			return fmt.Sprintf("must be a number from %v to %v", low, high)
		}
		to.SetFloat(n)
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
			return fmt.Sprintf("must contain at most %d items, but contains %d", *schema.MaxItems, out.Len())
		}
		if schema.MinItems != nil && out.Len() < *schema.MinItems {
			return fmt.Sprintf("must contain at least %d items", *schema.MinItems)
		}
		to.Set(out)
		return ""
	}, nil
}
