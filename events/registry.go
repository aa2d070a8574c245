package events

import (
	"encoding/json"
	"fmt"
	"slices"
)

// upcaster converts a payload to the next version. It is pure: the same bytes always give the same
// bytes.
type upcaster func(json.RawMessage) (json.RawMessage, error)

// unchanged converts a payload to a version whose struct still holds every member of the version
// before.
func unchanged(payload json.RawMessage) (json.RawMessage, error) { return payload, nil }

// definition is one entry of the list of events.
type definition struct {
	typ       Type
	upcasters []upcaster
	new       func() any // a pointer to the zero payload of the current version
}

func define[P any](typ Type, upcasters ...upcaster) definition {
	return definition{typ: typ, upcasters: upcasters, new: func() any { return new(P) }}
}

func (d definition) version() int { return len(d.upcasters) + 1 }

// mustIndex panics on a duplicate type, so that a program with such a list does not start.
func mustIndex(list ...definition) map[Type]definition {
	index := make(map[Type]definition, len(list))
	for _, d := range list {
		if _, ok := index[d.typ]; ok {
			panic(fmt.Sprintf("events: %q is defined twice", d.typ))
		}
		index[d.typ] = d
	}
	return index
}

// Types returns every type that this build knows, sorted.
func Types() []Type {
	types := make([]Type, 0, len(definitions))
	for t := range definitions {
		types = append(types, t)
	}
	slices.Sort(types)
	return types
}

// NewPayload returns a pointer to the empty payload of t's current version (*TaskCreated for
// task.created), or nil if t is unknown.
func NewPayload(t Type) any {
	if d, ok := definitions[t]; ok {
		return d.new()
	}
	return nil
}

// Version returns the current payload version of t, or false if t is unknown.
func Version(t Type) (int, bool) {
	d, ok := definitions[t]
	return d.version(), ok
}

// current returns the definition of e's type and e's payload converted to the definition's version.
func (e Envelope) current() (definition, json.RawMessage, error) {
	if err := e.Known(); err != nil {
		return definition{}, nil, err
	}
	d := definitions[e.Type]
	payload, err := d.lift(e)
	return d, payload, err
}

// lift returns e's payload at the definition's version, which is not below e's.
func (d definition) lift(e Envelope) (json.RawMessage, error) {
	payload := e.Payload
	for v := e.V; v < d.version(); v++ {
		lifted, err := d.upcasters[v-1](payload)
		if err != nil {
			return nil, fmt.Errorf("%s: lift %s from v%d to v%d: %w", e.ID, e.Type, v, v+1, err)
		}
		payload = lifted
	}
	return payload, nil
}

// Known returns an error that wraps [ErrUnknownType] or [ErrUnknownVersion] if this build does not
// know the event's type or its payload's version. A program that folds every event must not skip
// such an event.
func (e Envelope) Known() error {
	d, ok := definitions[e.Type]
	switch {
	case !ok:
		return fmt.Errorf("%s: %w %q", e.ID, ErrUnknownType, e.Type)
	case e.V < 1 || e.V > d.version():
		return fmt.Errorf("%s: %w %d of %s; this build knows 1 to %d", e.ID, ErrUnknownVersion, e.V, e.Type, d.version())
	}
	return nil
}

// Decoded returns a pointer to the payload's struct at its current version (*TaskCreated for
// task.created). It converts older versions. The error wraps [ErrUnknownType], [ErrUnknownVersion]
// or [ErrMalformed].
func (e Envelope) Decoded() (any, error) {
	d, payload, err := e.current()
	if err != nil {
		return nil, err
	}
	p := d.new()
	if err := decodePayload(e, payload, p); err != nil {
		return nil, err
	}
	return p, nil
}

// PayloadAs decodes e's payload, converted to its current version, into T. T is the type's struct
// or any other with the members the caller needs; fewer members decode faster. It does not check
// that T belongs to e.Type. It returns the errors of [Envelope.Decoded].
func PayloadAs[T any](e Envelope) (T, error) {
	var p T
	_, payload, err := e.current()
	if err != nil {
		return p, err
	}
	return p, decodePayload(e, payload, &p)
}

func decodePayload(e Envelope, payload json.RawMessage, into any) error {
	if err := json.Unmarshal(payload, into); err != nil {
		return fmt.Errorf("%s %s v%d: %w", e.ID, e.Type, e.V, &DecodeError{Member: "payload", Reason: err.Error()})
	}
	return nil
}
