package events

import "encoding/json"

// TaskCreated is the payload of task.created: the task after its creation. Metadata, Result and
// Error are the caller's own JSON, unchanged, or null. Version 2 is that of a task with options.
type TaskCreated struct {
	ID          string          `json:"id" jsonschema:"t- and the seq of this event"`
	Text        string          `json:"text" jsonschema:"what to do"`
	Status      string          `json:"status" jsonschema:"pending, scheduled if the task has a later time, or blocked if it waits for other tasks or for its turn"`
	Priority    int64           `json:"priority" jsonschema:"0 to 100, the highest first"`
	AssignedTo  *string         `json:"assignedTo" jsonschema:"null"`
	Attempt     int64           `json:"attempt" jsonschema:"0"`
	Metadata    json.RawMessage `json:"metadata" jsonschema:"as the caller gave it, or null"`
	Result      json.RawMessage `json:"result" jsonschema:"null"`
	Error       json.RawMessage `json:"error" jsonschema:"null"`
	CreatedAt   string          `json:"createdAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
	UpdatedAt   string          `json:"updatedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
	CompletedAt *string         `json:"completedAt" jsonschema:"null"`
	RunAt       *string         `json:"runAt,omitempty" jsonschema:"version 2: when a scheduled task becomes claimable, RFC 3339, UTC, with milliseconds"`
	TaskOptions
}

// TaskOptions are the options of a task. A task without one has none of the members.
type TaskOptions struct {
	Retry               *Retry   `json:"retry,omitempty" jsonschema:"how a failed task is tried again"`
	TimeoutMs           int64    `json:"timeoutMs,omitempty" jsonschema:"how long a claimed task may go without a sign of life of its own, ms"`
	DependsOn           []string `json:"dependsOn,omitempty" jsonschema:"the tasks that must be completed before"`
	OnDependencyFailure string   `json:"onDependencyFailure,omitempty" jsonschema:"cancel or run: what happens if one of them fails for good, or is cancelled or deleted"`
	UniqueKey           string   `json:"uniqueKey,omitempty" jsonschema:"no other unfinished task has this key"`
	LimitKey            string   `json:"limitKey,omitempty" jsonschema:"tasks with this key share a limit of tasks that are pending or in progress at once"`
}

// Retry is how a failed task is tried again. The n-th failure is followed by a pause of
// min(backoffMs * factor^(n-1), maxBackoffMs), which varies by jitter in both directions.
type Retry struct {
	MaxAttempts  int     `json:"maxAttempts" jsonschema:"the number of tries, 1 to 100"`
	BackoffMs    int64   `json:"backoffMs" jsonschema:"the pause after the first failure, ms"`
	Factor       float64 `json:"factor" jsonschema:"by how much each pause is longer than the one before"`
	MaxBackoffMs int64   `json:"maxBackoffMs" jsonschema:"the longest pause, ms"`
	Jitter       float64 `json:"jitter" jsonschema:"0 to 1: the part of the pause by which it varies at random"`
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
	Losses             int64   `json:"losses,omitempty" jsonschema:"version 2: how often the task was lost with its worker, if it was lost this time"`
}

// TaskUnassigned is the payload of task.unassigned: the task went back to the queue.
type TaskUnassigned struct {
	TaskID             string  `json:"taskId" jsonschema:"the task"`
	InstanceID         string  `json:"instanceId" jsonschema:"the instance that lost the task"`
	PreviousAssignment *string `json:"previousAssignment" jsonschema:"its last owner; null if it never had one"`
	Reason             string  `json:"reason" jsonschema:"why: instance_registered, instance_unregistered, instance_failed, session_changed, roles_changed, rebalanced, requested, released or limited"`
	Status             string  `json:"status" jsonschema:"the status after the event"`
	PreviousStatus     string  `json:"previousStatus" jsonschema:"the status before the event"`
	UnassignedAt       string  `json:"unassignedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
	Losses             int64   `json:"losses,omitempty" jsonschema:"version 2: how often the task was lost with its worker, if it was lost this time"`
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
	TimeoutAt          *string `json:"timeoutAt,omitempty" jsonschema:"version 2: when the task's time limit is over, RFC 3339, UTC, with milliseconds"`
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
	Failures       int64           `json:"failures,omitempty" jsonschema:"version 2: how many tries have failed"`
	Losses         int64           `json:"losses,omitempty" jsonschema:"version 2: how often the task was lost with its worker"`
}

// TaskDue is the payload of task.due: the time of a scheduled task has come.
type TaskDue struct {
	ID             string `json:"id" jsonschema:"the task"`
	Status         string `json:"status" jsonschema:"the status after the event: pending or blocked"`
	PreviousStatus string `json:"previousStatus" jsonschema:"scheduled"`
	RunAt          string `json:"runAt" jsonschema:"the time that has come, RFC 3339, UTC, with milliseconds"`
}

// TaskRetried is the payload of task.retried: a try has failed, and the task waits for the next one.
type TaskRetried struct {
	ID             string          `json:"id" jsonschema:"the task"`
	Status         string          `json:"status" jsonschema:"scheduled"`
	PreviousStatus string          `json:"previousStatus" jsonschema:"the status before the event"`
	WorkerID       string          `json:"workerId" jsonschema:"the instance that had the task"`
	Attempt        int64           `json:"attempt" jsonschema:"the number of the claim that failed"`
	Duration       int64           `json:"duration" jsonschema:"ms since it was claimed"`
	Failures       int64           `json:"failures" jsonschema:"how many tries have failed"`
	Error          json.RawMessage `json:"error" jsonschema:"why this one failed, not null"`
	RunAt          string          `json:"runAt" jsonschema:"when the next try begins, RFC 3339, UTC, with milliseconds"`
}

// TaskTimedOut is the payload of task.timed_out: a claimed task was without a sign of life for
// longer than its timeoutMs, and was taken from its worker. task.retried, task.failed or
// task.cancelled follows at once and has what becomes of it.
type TaskTimedOut struct {
	ID        string `json:"id" jsonschema:"the task"`
	WorkerID  string `json:"workerId" jsonschema:"the instance that had the task"`
	Attempt   int64  `json:"attempt" jsonschema:"the number of the claim that timed out"`
	TimeoutMs int64  `json:"timeoutMs" jsonschema:"the task's time limit, ms"`
	TimeoutAt string `json:"timeoutAt" jsonschema:"when it was over, RFC 3339, UTC, with milliseconds"`
}

// TaskProgressed is the payload of task.progressed: what the worker says about a task that it works
// on. A member that the call did not give is null.
type TaskProgressed struct {
	ID           string          `json:"id" jsonschema:"the task"`
	WorkerID     string          `json:"workerId" jsonschema:"the instance that has the task"`
	Attempt      int64           `json:"attempt" jsonschema:"the number of the claim"`
	Percent      *float64        `json:"percent" jsonschema:"0 to 100, or null"`
	Message      *string         `json:"message" jsonschema:"at most 500 characters, or null"`
	Data         json.RawMessage `json:"data" jsonschema:"as the caller gave it, or null"`
	TimeoutAt    *string         `json:"timeoutAt" jsonschema:"when its time limit is over now, RFC 3339, UTC, with milliseconds; null without one"`
	ProgressedAt string          `json:"progressedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
}

// TaskCancelRequested is the payload of task.cancel_requested: the worker of a claimed task is to
// end it.
type TaskCancelRequested struct {
	ID          string  `json:"id" jsonschema:"the task"`
	By          string  `json:"by" jsonschema:"the actor that calls the task off"`
	Reason      *string `json:"reason" jsonschema:"why, or null"`
	WorkerID    string  `json:"workerId" jsonschema:"the instance that has the task"`
	Attempt     int64   `json:"attempt" jsonschema:"the number of the claim"`
	RequestedAt string  `json:"requestedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
	CancelAt    string  `json:"cancelAt" jsonschema:"when the task is taken from the worker, RFC 3339, UTC, with milliseconds"`
}

// TaskCancelled is the payload of task.cancelled: the task was called off.
type TaskCancelled struct {
	ID             string  `json:"id" jsonschema:"the task"`
	By             string  `json:"by" jsonschema:"the actor that called the task off, or the task that it depended on"`
	Reason         *string `json:"reason" jsonschema:"why, or null"`
	Status         string  `json:"status" jsonschema:"cancelled"`
	PreviousStatus string  `json:"previousStatus" jsonschema:"the status before the event"`
	WorkerID       *string `json:"workerId" jsonschema:"its last owner, null if it had none then"`
	Attempt        int64   `json:"attempt" jsonschema:"the number of its last claim, 0 if it never was claimed"`
	CompletedAt    string  `json:"completedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
}

// TaskUnblocked is the payload of task.unblocked: what the task waited for has come.
type TaskUnblocked struct {
	ID             string `json:"id" jsonschema:"the task"`
	Status         string `json:"status" jsonschema:"pending; blocked if the task now waits for its turn under a limit"`
	PreviousStatus string `json:"previousStatus" jsonschema:"blocked"`
	Reason         string `json:"reason" jsonschema:"dependencies or limit: what it waited for"`
}

// TaskBlocked is the payload of task.blocked: a pending task has to wait for its turn, because its
// limit was lowered.
type TaskBlocked struct {
	ID             string `json:"id" jsonschema:"the task"`
	Status         string `json:"status" jsonschema:"blocked"`
	PreviousStatus string `json:"previousStatus" jsonschema:"pending"`
	LimitKey       string `json:"limitKey" jsonschema:"the key of the limit"`
}

// TaskRevived is the payload of task.revived: a failed or cancelled task is tried again from the
// beginning. Its failures, losses and errors start from none; its attempt goes on rising.
type TaskRevived struct {
	ID             string `json:"id" jsonschema:"the task"`
	By             string `json:"by" jsonschema:"the actor that revived the task"`
	Status         string `json:"status" jsonschema:"the status after the event: pending, or blocked if it waits for its turn under a limit"`
	PreviousStatus string `json:"previousStatus" jsonschema:"failed or cancelled"`
	Attempt        int64  `json:"attempt" jsonschema:"the number of its last claim"`
	RevivedAt      string `json:"revivedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
}

// LimitChanged is the payload of limit.changed: an operator has set how many tasks of a key may be
// pending or in progress at once.
type LimitChanged struct {
	Key        string `json:"key" jsonschema:"the limitKey of tasks"`
	Concurrent int64  `json:"concurrent" jsonschema:"how many of them may be pending or in progress at once"`
	By         string `json:"by" jsonschema:"the actor"`
}

// LimitDeleted is the payload of limit.deleted.
type LimitDeleted struct {
	Key string `json:"key" jsonschema:"the limitKey of tasks"`
	By  string `json:"by" jsonschema:"the actor"`
}

// The statuses of a task.
const (
	StatusScheduled  = "scheduled" // waits for a time
	StatusBlocked    = "blocked"   // waits for other tasks, or for its turn under a limit
	StatusPending    = "pending"
	StatusInProgress = "in_progress"
	StatusCompleted  = "completed"
	StatusFailed     = "failed"
	StatusCancelled  = "cancelled"
)

// Terminal reports whether a task with a status is finished.
func Terminal(status string) bool {
	return status == StatusCompleted || status == StatusFailed || status == StatusCancelled
}

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
	ReasonLimited              = "limited" // its limitKey has more tasks than the limit allows
)
