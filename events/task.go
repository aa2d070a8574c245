package events

import "encoding/json"

// TaskCreated is the payload of task.created: the task after its creation. Metadata, Result and
// Error are the caller's own JSON, unchanged, or null.
type TaskCreated struct {
	ID          string          `json:"id"` // t-<seq of this event>
	Text        string          `json:"text"`
	Status      string          `json:"status"`
	Priority    int64           `json:"priority"` // 0 to 100, the highest first
	AssignedTo  *string         `json:"assignedTo"`
	Attempt     int64           `json:"attempt"`
	Metadata    json.RawMessage `json:"metadata"`
	Result      json.RawMessage `json:"result"`
	Error       json.RawMessage `json:"error"`
	CreatedAt   string          `json:"createdAt"` // see TimeLayout, as for every …At
	UpdatedAt   string          `json:"updatedAt"`
	CompletedAt *string         `json:"completedAt"`
}

// TaskUpdated is the payload of task.updated.
type TaskUpdated struct {
	ID               string      `json:"id"`
	Changes          TaskChanges `json:"changes"`
	PreviousPriority int64       `json:"previousPriority"`
	// Status is the task's status before any change of it: a change is its own event (claimed,
	// unassigned, completed, failed), which follows at once.
	Status    string `json:"status"`
	UpdatedAt string `json:"updatedAt"`
	UpdatedBy string `json:"updatedBy"`
}

// TaskChanges holds what an update changed. Nil fields did not change.
type TaskChanges struct {
	Text     *string `json:"text,omitempty"`
	Priority *int64  `json:"priority,omitempty"`
	// Metadata is the whole object after the merge. Only version 1 has it.
	Metadata json.RawMessage `json:"metadata,omitempty"`
	// MetadataChanges holds the members that replace those of the same names, or are appended. The
	// merge is one level deep, and null is a value like any other. Version 1 does not have it.
	MetadataChanges json.RawMessage `json:"metadataChanges,omitempty"`
	Status          *string         `json:"status,omitempty"` // as requested; a fold reads the next event
}

// TaskDeleted is the payload of task.deleted.
type TaskDeleted struct {
	ID                 string  `json:"id"`
	DeletedAt          string  `json:"deletedAt"`
	DeletedBy          string  `json:"deletedBy"`
	PreviousStatus     string  `json:"previousStatus"`
	PreviousAssignment *string `json:"previousAssignment"`
}

// TaskAssigned is the payload of task.assigned: the task is assigned to InstanceID, which may claim
// it. PreviousAssignment is its last owner, even if it has waited in the queue since then; it is
// null if it never had one.
type TaskAssigned struct {
	TaskID             string  `json:"taskId"`
	InstanceID         string  `json:"instanceId"`
	PreviousAssignment *string `json:"previousAssignment"`
	Reason             string  `json:"reason"`
	Status             string  `json:"status"`
	PreviousStatus     string  `json:"previousStatus"`
	AssignedAt         string  `json:"assignedAt"`
}

// TaskUnassigned is the payload of task.unassigned: the task went back to the queue.
type TaskUnassigned struct {
	TaskID             string  `json:"taskId"`
	InstanceID         string  `json:"instanceId"` // the instance that lost it
	PreviousAssignment *string `json:"previousAssignment"`
	Reason             string  `json:"reason"`
	Status             string  `json:"status"`
	PreviousStatus     string  `json:"previousStatus"`
	UnassignedAt       string  `json:"unassignedAt"`
}

// TaskClaimed is the payload of task.claimed: WorkerID has the task in progress. A call that ends a
// task that was assigned but never claimed emits it too; Actor is then the caller.
type TaskClaimed struct {
	TaskID             string  `json:"taskId"`
	WorkerID           string  `json:"workerId"`
	Attempt            int64   `json:"attempt"` // the fencing token of this claim
	PreviousAssignment *string `json:"previousAssignment"`
	Status             string  `json:"status"`
	PreviousStatus     string  `json:"previousStatus"`
	Waited             int64   `json:"waited"` // ms since it was queued
	ClaimedAt          string  `json:"claimedAt"`
}

// TaskCompleted is the payload of task.completed. WorkerID is the task's owner. The envelope's
// Actor ended it; that is an instance only if the call named one.
type TaskCompleted struct {
	ID             string          `json:"id"`
	Status         string          `json:"status"`
	WorkerID       string          `json:"workerId"`
	Attempt        int64           `json:"attempt"`
	Duration       int64           `json:"duration"` // ms since it was claimed
	Result         json.RawMessage `json:"result"`
	PreviousStatus string          `json:"previousStatus"`
	CompletedAt    string          `json:"completedAt"`
}

// TaskFailed is the payload of task.failed: the task ended with an error. WorkerID is as in
// TaskCompleted.
type TaskFailed struct {
	ID             string          `json:"id"`
	Status         string          `json:"status"`
	WorkerID       string          `json:"workerId"`
	Attempt        int64           `json:"attempt"`
	Duration       int64           `json:"duration"` // ms since it was claimed
	Error          json.RawMessage `json:"error"`
	Result         json.RawMessage `json:"result"`
	PreviousStatus string          `json:"previousStatus"`
	CompletedAt    string          `json:"completedAt"`
}

// The statuses of a task.
const (
	StatusPending    = "pending"
	StatusInProgress = "in_progress"
	StatusCompleted  = "completed"
	StatusFailed     = "failed"
)

// The reasons of task.assigned and task.unassigned.
const (
	ReasonInstanceRegistered   = "instance_registered"
	ReasonInstanceUnregistered = "instance_unregistered"
	ReasonInstanceFailed       = "instance_failed"
	ReasonSessionChanged       = "session_changed"
	ReasonRolesChanged         = "roles_changed"
	ReasonRebalanced           = "rebalanced"
	ReasonRequested            = "requested"
	ReasonReleased             = "released"
)
