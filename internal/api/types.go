package api

import (
	"encoding/json"
	"slices"
)

// ID is an id that a user chose: 1 to 256 bytes, no control characters.
type ID string

// Role is the name of a role, within the same limits as an ID.
type Role string

// TaskID is t-<number>. Another text is no task's id, and so not found rather than invalid.
type TaskID string

// Object is a JSON object that a user brings; it is kept byte for byte.
type Object json.RawMessage

// Value is any JSON value that a user brings, kept alike.
type Value json.RawMessage

// MarshalJSON returns the text itself.
func (o Object) MarshalJSON() ([]byte, error) { return json.RawMessage(o).MarshalJSON() }

// MarshalJSON returns the text itself.
func (v Value) MarshalJSON() ([]byte, error) { return json.RawMessage(v).MarshalJSON() }

// UnmarshalJSON keeps the text as it is.
func (o *Object) UnmarshalJSON(text []byte) error { *o = slices.Clone(text); return nil }

// UnmarshalJSON keeps the text as it is.
func (v *Value) UnmarshalJSON(text []byte) error { *v = slices.Clone(text); return nil }

// Task is a task as every method answers it.
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
