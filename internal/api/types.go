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
	Failures    int     `json:"failures" jsonschema:"how many tries have failed"`
	Losses      int     `json:"losses" jsonschema:"how often the task was lost with its worker"`
	// RunAt is when the task becomes or became claimable, nil for at once.
	RunAt  *string     `json:"runAt"`
	Errors []TaskError `json:"errors" jsonschema:"the last 10 failures, the oldest first"`

	// A task without options has none of these, nor one that is in no such state.
	Retry               *Retry        `json:"retry,omitempty"`
	TimeoutMs           int           `json:"timeoutMs,omitempty"`
	TimeoutAt           string        `json:"timeoutAt,omitempty" jsonschema:"when the time limit of the claimed task is over"`
	Progress            *Progress     `json:"progress,omitempty" jsonschema:"what its worker said last"`
	CancelRequested     bool          `json:"cancelRequested,omitempty" jsonschema:"whether its worker is to end it"`
	Cancellation        *Cancellation `json:"cancellation,omitempty" jsonschema:"who called it off"`
	DependsOn           []TaskID      `json:"dependsOn,omitempty"`
	OnDependencyFailure string        `json:"onDependencyFailure,omitempty"`
	UniqueKey           string        `json:"uniqueKey,omitempty"`
	LimitKey            string        `json:"limitKey,omitempty"`
	Dependencies        []Dependency  `json:"dependencies,omitempty" jsonschema:"in an answer of task.get with dependencies, what came of them"`
	Created             *bool         `json:"created,omitempty" jsonschema:"in an answer of task.create: whether the call created the task, or an unfinished one has the same uniqueKey"`
}

// Dependency is a task that another one depends on.
type Dependency struct {
	ID     TaskID  `json:"id"`
	Status *string `json:"status" jsonschema:"null if it was deleted, or its retention is over"`
	Result Value   `json:"result"`
	Error  Value   `json:"error"`
	// Truncated is set if the results of all dependencies have more than 1 MiB.
	Truncated bool `json:"truncated,omitempty" jsonschema:"whether the result and the error are left out, because those of all have more than 1 MiB"`
}

// TaskError is a failure of a task.
type TaskError struct {
	Attempt  int    `json:"attempt"`
	WorkerID string `json:"workerId"`
	At       string `json:"at"`
	Error    Value  `json:"error" jsonschema:"as the worker gave it; of one of more than 1000 bytes, the beginning as a string"`
}

// Retry is how a failed task is tried again.
type Retry struct {
	MaxAttempts  *int     `json:"maxAttempts,omitempty" jsonschema:"the number of tries; default 1"`
	BackoffMs    *int     `json:"backoffMs,omitempty" jsonschema:"the pause after the first failure, in ms; default 1000"`
	Factor       *float64 `json:"factor,omitempty" jsonschema:"by how much each pause is longer than the one before; default 2"`
	MaxBackoffMs *int     `json:"maxBackoffMs,omitempty" jsonschema:"the longest pause, in ms; default 3600000"`
	Jitter       *float64 `json:"jitter,omitempty" jsonschema:"the part of the pause by which it varies at random; default 0.1"`
}

// Progress is what a worker says about a task that it works on. A member that it did not give is
// null.
type Progress struct {
	Percent *float64 `json:"percent"`
	Message *string  `json:"message"`
	Data    Value    `json:"data"`
	At      string   `json:"at"`
}

// Cancellation is who called a task off, and why.
type Cancellation struct {
	By          string  `json:"by"`
	Reason      *string `json:"reason"`
	RequestedAt *string `json:"requestedAt" jsonschema:"when the worker was asked to end it; null if nobody worked on it"`
	CancelAt    *string `json:"cancelAt" jsonschema:"when the task is or was to be taken from the worker"`
}
