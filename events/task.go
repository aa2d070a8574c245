package events

import "encoding/json"

// TaskCreated is the payload of task.created: the task after its creation. Metadata, Result and
// Error are the caller's own JSON, unchanged, or null.
type TaskCreated struct {
	ID          string          `json:"id" jsonschema:"t- and the seq of this event"`
	Text        string          `json:"text" jsonschema:"what to do"`
	Status      string          `json:"status" jsonschema:"pending"`
	Priority    int64           `json:"priority" jsonschema:"0 to 100, the highest first"`
	AssignedTo  *string         `json:"assignedTo" jsonschema:"null"`
	Attempt     int64           `json:"attempt" jsonschema:"0"`
	Metadata    json.RawMessage `json:"metadata" jsonschema:"as the caller gave it, or null"`
	Result      json.RawMessage `json:"result" jsonschema:"null"`
	Error       json.RawMessage `json:"error" jsonschema:"null"`
	CreatedAt   string          `json:"createdAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
	UpdatedAt   string          `json:"updatedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
	CompletedAt *string         `json:"completedAt" jsonschema:"null"`
}

// TaskUpdated is the payload of task.updated.
type TaskUpdated struct {
	ID               string      `json:"id" jsonschema:"the task"`
	Changes          TaskChanges `json:"changes" jsonschema:"what the update changed; the other members are absent"`
	PreviousPriority int64       `json:"previousPriority" jsonschema:"the priority before"`
	Status           string      `json:"status" jsonschema:"the task's status before any change of it: a change is its own event (claimed, unassigned, completed, failed), which follows at once"`
	UpdatedAt        string      `json:"updatedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
	UpdatedBy        string      `json:"updatedBy" jsonschema:"the actor of the change"`
}

// TaskChanges holds what an update changed. Nil fields did not change.
type TaskChanges struct {
	Text            *string         `json:"text,omitempty" jsonschema:"what to do"`
	Priority        *int64          `json:"priority,omitempty" jsonschema:"0 to 100, the highest first"`
	Metadata        json.RawMessage `json:"metadata,omitempty" jsonschema:"version 1: the whole object after the merge"`
	MetadataChanges json.RawMessage `json:"metadataChanges,omitempty" jsonschema:"version 2: the members that replace those of the same names, or are appended. The merge is one level deep, and null is a value like any other"`
	Status          *string         `json:"status,omitempty" jsonschema:"as requested; the next event has the new status"`
}

// TaskDeleted is the payload of task.deleted.
type TaskDeleted struct {
	ID                 string  `json:"id" jsonschema:"the task"`
	DeletedAt          string  `json:"deletedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
	DeletedBy          string  `json:"deletedBy" jsonschema:"the actor of the deletion"`
	PreviousStatus     string  `json:"previousStatus" jsonschema:"the status before the event"`
	PreviousAssignment *string `json:"previousAssignment" jsonschema:"its last owner; null if it never had one"`
}

// TaskAssigned is the payload of task.assigned: the task is assigned to InstanceID, which may claim
// it. PreviousAssignment is its last owner, even if it has waited in the queue since then; it is
// null if it never had one.
type TaskAssigned struct {
	TaskID             string  `json:"taskId" jsonschema:"the task"`
	InstanceID         string  `json:"instanceId" jsonschema:"the instance that may claim the task"`
	PreviousAssignment *string `json:"previousAssignment" jsonschema:"its last owner; null if it never had one"`
	Reason             string  `json:"reason" jsonschema:"why: instance_registered, instance_unregistered, instance_failed, session_changed, roles_changed, rebalanced, requested or released"`
	Status             string  `json:"status" jsonschema:"the status after the event"`
	PreviousStatus     string  `json:"previousStatus" jsonschema:"the status before the event"`
	AssignedAt         string  `json:"assignedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
}

// TaskUnassigned is the payload of task.unassigned: the task went back to the queue.
type TaskUnassigned struct {
	TaskID             string  `json:"taskId" jsonschema:"the task"`
	InstanceID         string  `json:"instanceId" jsonschema:"the instance that lost the task"`
	PreviousAssignment *string `json:"previousAssignment" jsonschema:"its last owner; null if it never had one"`
	Reason             string  `json:"reason" jsonschema:"why: instance_registered, instance_unregistered, instance_failed, session_changed, roles_changed, rebalanced, requested or released"`
	Status             string  `json:"status" jsonschema:"the status after the event"`
	PreviousStatus     string  `json:"previousStatus" jsonschema:"the status before the event"`
	UnassignedAt       string  `json:"unassignedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
}

// TaskClaimed is the payload of task.claimed: WorkerID has the task in progress. A call that ends a
// task that was assigned but never claimed emits it too; Actor is then the caller.
type TaskClaimed struct {
	TaskID             string  `json:"taskId" jsonschema:"the task"`
	WorkerID           string  `json:"workerId" jsonschema:"the instance that has the task in progress"`
	Attempt            int64   `json:"attempt" jsonschema:"the number of the claim; it is the fencing token"`
	PreviousAssignment *string `json:"previousAssignment" jsonschema:"its last owner; null if it never had one"`
	Status             string  `json:"status" jsonschema:"the status after the event"`
	PreviousStatus     string  `json:"previousStatus" jsonschema:"the status before the event"`
	Waited             int64   `json:"waited" jsonschema:"ms since it was queued"`
	ClaimedAt          string  `json:"claimedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
}

// TaskCompleted is the payload of task.completed. WorkerID is the task's owner. The envelope's
// Actor ended it; that is an instance only if the call named one.
type TaskCompleted struct {
	ID             string          `json:"id" jsonschema:"the task"`
	Status         string          `json:"status" jsonschema:"the status after the event"`
	WorkerID       string          `json:"workerId" jsonschema:"the instance that owns the task"`
	Attempt        int64           `json:"attempt" jsonschema:"the number of the claim; it is the fencing token"`
	Duration       int64           `json:"duration" jsonschema:"ms since it was claimed"`
	Result         json.RawMessage `json:"result" jsonschema:"as the caller gave it; null if there is none"`
	PreviousStatus string          `json:"previousStatus" jsonschema:"the status before the event"`
	CompletedAt    string          `json:"completedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
}

// TaskFailed is the payload of task.failed: the task ended with an error. WorkerID is as in
// TaskCompleted.
type TaskFailed struct {
	ID             string          `json:"id" jsonschema:"the task"`
	Status         string          `json:"status" jsonschema:"the status after the event"`
	WorkerID       string          `json:"workerId" jsonschema:"the instance that owns the task"`
	Attempt        int64           `json:"attempt" jsonschema:"the number of the claim; it is the fencing token"`
	Duration       int64           `json:"duration" jsonschema:"ms since it was claimed"`
	Error          json.RawMessage `json:"error" jsonschema:"as the caller gave it, not null"`
	Result         json.RawMessage `json:"result" jsonschema:"as the caller gave it; null if there is none"`
	PreviousStatus string          `json:"previousStatus" jsonschema:"the status before the event"`
	CompletedAt    string          `json:"completedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
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
