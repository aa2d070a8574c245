package events

import (
	"bytes"
	"encoding/json"
)

// Decode reads an envelope. Every member must be present and have its type, id must match seq and
// timestamp, and the payload must be a JSON object. Unknown members are ignored. The error is a
// [*DecodeError].
//
// The envelope's Payload shares memory with data: do not change data afterwards.
func Decode(data []byte) (Envelope, error) {
	// The log always uses one spelling. Reading only that costs a tenth of a general decoder;
	// anything else falls back to decodeAny.
	e, ok := scan(data)
	if !ok {
		return decodeAny(data)
	}
	if err := e.check(); err != nil {
		return Envelope{}, err
	}
	return e, nil
}

// check reports members that contradict each other.
func (e Envelope) check() error {
	switch {
	case e.ID.IsZero():
		return &DecodeError{Member: "id", Reason: "is zero"}
	case e.Seq != e.ID.Seq:
		return &DecodeError{Member: "seq", Reason: "does not match id"}
	case e.Timestamp != e.ID.MS:
		return &DecodeError{Member: "timestamp", Reason: "does not match id"}
	case e.Type == "":
		return &DecodeError{Member: "type", Reason: "is empty"}
	case e.V < 1:
		return &DecodeError{Member: "v", Reason: "is not a version"}
	}
	return nil
}

// decodeAny reads an envelope with encoding/json, in any order and spelling.
func decodeAny(data []byte) (Envelope, error) {
	// A map rather than a struct: encoding/json matches a struct's members case-insensitively, and
	// "ID" is not our id.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return Envelope{}, &DecodeError{Reason: err.Error()}
	}
	if members == nil {
		return Envelope{}, &DecodeError{Reason: "is null"}
	}
	var e Envelope
	for _, m := range []struct {
		name     string
		into     any
		nullable bool
	}{
		{"id", &e.ID, false},
		{"seq", &e.Seq, false},
		{"type", &e.Type, false},
		{"v", &e.V, false},
		{"timestamp", &e.Timestamp, false},
		{"actor", &e.Actor, false},
		{"cause", &e.Cause, true},
		{"trace", &e.Trace, true},
		{"payload", &e.Payload, false},
	} {
		raw, ok := members[m.name]
		if !ok {
			return Envelope{}, &DecodeError{Member: m.name, Reason: "is missing"}
		}
		if !m.nullable && bytes.Equal(raw, []byte("null")) {
			return Envelope{}, &DecodeError{Member: m.name, Reason: "is null"}
		}
		if err := json.Unmarshal(raw, m.into); err != nil {
			return Envelope{}, &DecodeError{Member: m.name, Reason: err.Error()}
		}
	}
	if e.Payload[0] != '{' {
		return Envelope{}, &DecodeError{Member: "payload", Reason: "is not an object"}
	}
	if err := e.check(); err != nil {
		return Envelope{}, err
	}
	return e, nil
}
