package api

import (
	"encoding/json"
	"slices"
)

// ID is an id that a user chose: 1 to 256 bytes, no control characters.
type ID string

// Role is the name of a role, within the same limits as an ID.
type Role string

// TaskID is t-<number>. Any other text is the id of no task: it is not found rather than invalid.
type TaskID string

// Object is a JSON object from a user. It is kept byte for byte.
type Object json.RawMessage

// Value is any JSON value from a user. It is kept byte for byte.
type Value json.RawMessage

// MarshalJSON returns the text unchanged.
func (o Object) MarshalJSON() ([]byte, error) { return json.RawMessage(o).MarshalJSON() }

// MarshalJSON returns the text unchanged.
func (v Value) MarshalJSON() ([]byte, error) { return json.RawMessage(v).MarshalJSON() }

// UnmarshalJSON stores a copy of the text unchanged.
func (o *Object) UnmarshalJSON(text []byte) error { *o = slices.Clone(text); return nil }

// UnmarshalJSON stores a copy of the text unchanged.
func (v *Value) UnmarshalJSON(text []byte) error { *v = slices.Clone(text); return nil }

// Task is a task as every method returns it.
type Task struct {
	ID          TaskID  `json:"id"`
	Text        string  `json:"text"`
	Status      string  `json:"status"`
	Priority    int     `json:"priority"`
	AssignedTo  *string `json:"assignedTo"`
	Attempt     int     `json:"attempt"`
	Metadata    Object  `json:"metadata"`
	Result      Value   `json:"result"`
	Error       Value   `json:"error"`
	CreatedAt   string  `json:"createdAt"`
	UpdatedAt   string  `json:"updatedAt"`
	CompletedAt *string `json:"completedAt"`
}
