package lua

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Bound is a script whose arguments are the fields of A, by name and in the order of the script's
// header. A field is a string, an integer, a boolean (1 or 0), bytes, or a pointer to one of these
// (nil is empty). If the last slot of the header stands for any number of arguments, the last field
// is a []any or a []string.
type Bound[A any] struct {
	*Script
	guarded bool
}

// NoArgs is the type of the arguments of a script that has none of its own.
type NoArgs = struct{}

// guardArgs are the first arguments of every command's script. internal/command supplies them.
var guardArgs = []string{"context", "subject", "calls"}

// Bind returns the script with a name for calls with A. It panics if there is no such script, or if
// the fields of A are not the arguments in the script's header. A may omit the three arguments that
// all commands share: context, subject and calls.
func Bind[A any](name string) Bound[A] {
	s := Named(name)
	t := reflect.TypeFor[A]()
	fields := make([]string, t.NumField())
	for i := range fields {
		fields[i] = strings.ToLower(t.Field(i).Name)
	}
	own, guarded := s.Args, false
	if len(own) >= len(guardArgs) && slices.Equal(own[:len(guardArgs)], guardArgs) && !slices.Contains(fields, guardArgs[0]) {
		own, guarded = own[len(guardArgs):], true
	}
	if !slices.Equal(fields, own) {
		panic(fmt.Sprintf("lua: %s takes %v, and %v has %v", name, own, t, fields))
	}
	for i := range fields {
		rest := s.Rest && i == len(fields)-1
		if !bindable(t.Field(i).Type, rest) {
			panic(fmt.Sprintf("lua: %s: %v cannot be an argument", name, t.Field(i).Type))
		}
	}
	return Bound[A]{s, guarded}
}

// Alone returns the script without lots, for calls that run too long to share an EVALSHA.
func (b Bound[A]) Alone() Bound[A] {
	alone := *b.Script
	alone.LotSize, alone.Lot = 0, nil
	return Bound[A]{&alone, b.guarded}
}

// bindable reports whether a value of a type can be an argument, or with rest, all remaining ones.
func bindable(t reflect.Type, rest bool) bool {
	if rest {
		return t.Kind() == reflect.Slice && (t.Elem().Kind() == reflect.String || t.Elem().Kind() == reflect.Interface)
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.String || t.Kind() == reflect.Bool || t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64 ||
		t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

// Run runs the script. Its errors are those of Runner.Run.
func (b Bound[A]) Run(ctx context.Context, scripts Scripts, a A) (any, error) {
	return scripts.Run(ctx, b.Script, b.args(nil, a)...)
}

// Args returns the arguments of a call of a script that is not a command's, for RunMany.
func (b Bound[A]) Args(a A) []any { return b.args(nil, a) }

// RunCommand runs the script of a command: context, subject and calls come first.
func (b Bound[A]) RunCommand(ctx context.Context, scripts Scripts, context, subject, calls string, a A) (any, error) {
	if !b.guarded {
		return nil, fmt.Errorf("run %s: it is not the script of a command", b.Name)
	}
	return scripts.Run(ctx, b.Script, b.CommandArgs(context, subject, calls, a)...)
}

// CommandArgs returns the arguments of a command's call: context, subject and calls come first.
func (b Bound[A]) CommandArgs(context, subject, calls string, a A) []any {
	return b.args([]any{context, subject, calls}, a)
}

// Decode runs a script that returns JSON text, and decodes the text into result.
func (b Bound[A]) Decode(ctx context.Context, scripts Scripts, a A, result any) error {
	reply, err := b.Run(ctx, scripts, a)
	if err != nil {
		return err
	}
	return b.Unmarshal(reply, result)
}

// Unmarshal decodes the reply of a script that returns JSON text.
func (b Bound[A]) Unmarshal(reply, result any) error {
	text, ok := reply.(string)
	if !ok {
		return fmt.Errorf("script %s returned %T, not text", b.Name, reply)
	}
	if err := json.Unmarshal([]byte(text), result); err != nil {
		return fmt.Errorf("read the reply of %s: %w", b.Name, err)
	}
	return nil
}

// args returns first, followed by the values of the fields of a.
func (b Bound[A]) args(first []any, a A) []any {
	v := reflect.ValueOf(&a).Elem()
	last := v.NumField() - 1
	args := append(make([]any, 0, len(first)+last+1), first...)
	for i := range last + 1 {
		field := v.Field(i)
		if b.Rest && i == last {
			for j := range field.Len() {
				args = append(args, field.Index(j).Interface())
			}
			break
		}
		args = append(args, argument(field))
	}
	return args
}

func argument(v reflect.Value) any {
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return argument(v.Elem())
	case reflect.Bool:
		return Flag(v.Bool())
	case reflect.Slice:
		return v.Bytes()
	default: // an integer, as Bind has checked
		return v.Int()
	}
}

// fits reports whether a call has as many arguments as the script takes.
func (s *Script) fits(args int) error {
	if args == len(s.Args) || s.Rest && args >= len(s.Args)-1 {
		return nil
	}
	return fmt.Errorf("run %s: %d arguments; it takes %d: %s", s.Name, args, len(s.Args), strings.Join(s.Args, ", "))
}
