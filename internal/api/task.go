package api

import "time"

// CreateTaskParams are the params of task.create.
type CreateTaskParams struct {
	Text                string   `json:"text" jsonschema:"the work to do"`
	Priority            *int     `json:"priority,omitempty" jsonschema:"the highest is claimed first; default 50"`
	Metadata            Object   `json:"metadata,omitempty" jsonschema:"any members; the member roles, an array of strings, lists the roles that a worker must have"`
	RunAt               string   `json:"runAt,omitempty" jsonschema:"when the task becomes claimable, ISO 8601 with a zone; default: at once"`
	DelayMs             *int     `json:"delayMs,omitempty" jsonschema:"how long until then, in ms, instead of runAt"`
	Retry               *Retry   `json:"retry,omitempty" jsonschema:"how the task is tried again when it fails"`
	TimeoutMs           *int     `json:"timeoutMs,omitempty" jsonschema:"how long the claimed task may go without a sign of life of its own (task.claim, task.progress), in ms; default: for ever"`
	DependsOn           []TaskID `json:"dependsOn,omitempty" jsonschema:"tasks that must be completed before. They must exist, so there can be no cycle"`
	OnDependencyFailure string   `json:"onDependencyFailure,omitempty" jsonschema:"what happens if one of them fails for good, or is cancelled or deleted; default cancel"`
	UniqueKey           string   `json:"uniqueKey,omitempty" jsonschema:"while an unfinished task has this key, the call returns that one, with created: false"`
	LimitKey            string   `json:"limitKey,omitempty" jsonschema:"the key of a limit (limit.set); at most so many tasks of the key are pending or in progress at once"`
	IdempotencyKey      string   `json:"idempotencyKey,omitempty" jsonschema:"for 24 hours, a call with the same key returns the first answer"`
}

// CreateManyParams are the params of task.create_many.
type CreateManyParams struct {
	Tasks []Value `json:"tasks" jsonschema:"the tasks, each an object with the params of task.create"`
}

// UpdateTaskParams are the params of task.update.
type UpdateTaskParams struct {
	ID      TaskID      `json:"id" jsonschema:"the task to change"`
	Updates TaskUpdates `json:"updates" jsonschema:"what to change; at least one member"`
}

// TaskUpdates is what task.update may change.
type TaskUpdates struct {
	Text     *string `json:"text,omitempty" jsonschema:"the work to do"`
	Status   *string `json:"status,omitempty" jsonschema:"the new status; pending releases the task; in_progress, completed and failed need an owner"`
	Priority *int    `json:"priority,omitempty" jsonschema:"the highest is claimed first"`
	Metadata Object  `json:"metadata,omitempty" jsonschema:"members to add or replace; the others stay"`
}

// AssignTaskParams are the params of task.assign.
type AssignTaskParams struct {
	TaskID     TaskID `json:"taskId" jsonschema:"the task to assign"`
	InstanceID ID     `json:"instanceId" jsonschema:"the instance that gets it"`
}

// AssignTaskResult is the result of task.assign.
type AssignTaskResult struct {
	TaskID     TaskID `json:"taskId"`
	InstanceID string `json:"instanceId"`
	AssignedAt string `json:"assignedAt"`
}

// UnassignTaskParams are the params of task.unassign.
type UnassignTaskParams struct {
	TaskID TaskID `json:"taskId" jsonschema:"the task to take back"`
}

// UnassignTaskResult is the result of task.unassign.
type UnassignTaskResult struct {
	TaskID             TaskID `json:"taskId"`
	PreviousAssignment string `json:"previousAssignment"`
	UnassignedAt       string `json:"unassignedAt"`
}

// ClaimTaskParams are the params of task.claim.
type ClaimTaskParams struct {
	WorkerID       ID     `json:"workerId" jsonschema:"the instance that will do the work"`
	MaxTasks       *int   `json:"maxTasks,omitempty" jsonschema:"the maximum number of tasks to claim; default 1. The call claims no further task once the text and metadata of its tasks exceed 4 MiB"`
	WaitMs         *int   `json:"waitMs,omitempty" jsonschema:"how long to wait for a task if there is none, in ms, over MCP 50000 at most; default 0. Meanwhile the worker stays registered"`
	IdempotencyKey string `json:"idempotencyKey,omitempty" jsonschema:"for 24 hours, a call with the same key returns the first answer"`
}

// Waits returns how long the call waits for a task.
func (p *ClaimTaskParams) Waits() time.Duration {
	if p.WaitMs == nil {
		return 0
	}
	return time.Duration(*p.WaitMs) * time.Millisecond
}

// ClaimTaskResult is the result of task.claim. Tasks is set only if the call asks for more than one
// task and claims one.
type ClaimTaskResult struct {
	Claimed bool   `json:"claimed"`
	TaskID  TaskID `json:"taskId,omitempty"`
	Task    *Task  `json:"task,omitempty"`
	Tasks   []Task `json:"tasks,omitempty"`
}

// CompleteTaskParams are the params of task.complete.
type CompleteTaskParams struct {
	ID             TaskID `json:"id,omitempty" jsonschema:"the task to finish; required without taskId"`
	TaskID         TaskID `json:"taskId,omitempty" jsonschema:"another name for id"`
	WorkerID       ID     `json:"workerId,omitempty" jsonschema:"the instance that must own the task; default: any"`
	Attempt        *int   `json:"attempt,omitempty" jsonschema:"the attempt that task.claim returned; rejected if the task was claimed again since"`
	Result         Value  `json:"result,omitempty" jsonschema:"the result of the work; any JSON"`
	Error          Value  `json:"error,omitempty" jsonschema:"why the work failed; any JSON. Unless it is null, the task becomes failed, or scheduled if a try is left"`
	Retryable      *bool  `json:"retryable,omitempty" jsonschema:"with an error, whether the task may be tried again; default true"`
	Cancelled      bool   `json:"cancelled,omitempty" jsonschema:"the worker ends a task that was called off"`
	IdempotencyKey string `json:"idempotencyKey,omitempty" jsonschema:"for 24 hours, a call with the same key returns the first answer"`
}

// CompleteTaskResult is the result of task.complete. A task that is tried again has the status
// scheduled and RunAt, but not CompletedAt.
type CompleteTaskResult struct {
	ID          TaskID `json:"id"`
	Status      string `json:"status"`
	CompletedAt string `json:"completedAt,omitempty"`
	RunAt       string `json:"runAt,omitempty" jsonschema:"when the next try begins"`
}

// ProgressParams are the params of task.progress.
type ProgressParams struct {
	ID       TaskID   `json:"id" jsonschema:"the task"`
	WorkerID ID       `json:"workerId" jsonschema:"the instance that has claimed it"`
	Attempt  int      `json:"attempt" jsonschema:"the attempt that task.claim returned"`
	Percent  *float64 `json:"percent,omitempty" jsonschema:"how much is done"`
	Message  *string  `json:"message,omitempty" jsonschema:"what the worker does now"`
	Data     Value    `json:"data,omitempty" jsonschema:"any JSON, at most 16 KiB"`
}

// ProgressResult is the result of task.progress.
type ProgressResult struct {
	CancelRequested bool   `json:"cancelRequested" jsonschema:"whether the worker is to end the task with cancelled: true"`
	TimeoutAt       string `json:"timeoutAt,omitempty" jsonschema:"when the task's time limit is over now"`
}

// CancelTaskParams are the params of task.cancel.
type CancelTaskParams struct {
	ID      TaskID  `json:"id" jsonschema:"the task to call off"`
	Reason  *string `json:"reason,omitempty" jsonschema:"why"`
	GraceMs *int    `json:"graceMs,omitempty" jsonschema:"how long the worker of a claimed task has to end it, in ms; default 30000"`
}

// CancelTaskResult is the result of task.cancel. Either CancelAt or CompletedAt is set.
type CancelTaskResult struct {
	ID              TaskID `json:"id"`
	Status          string `json:"status"`
	CancelRequested bool   `json:"cancelRequested" jsonschema:"whether a worker is still to end the task"`
	CancelAt        string `json:"cancelAt,omitempty" jsonschema:"when the task is taken from it"`
	CompletedAt     string `json:"completedAt,omitempty"`
}

// CompleteManyParams are the params of task.complete_many.
type CompleteManyParams struct {
	Items []Value `json:"items" jsonschema:"the finished tasks, each an object with the params of task.complete"`
}

// ListTasksParams are the params of task.list: those of TaskFilterParams, and which page to read.
type ListTasksParams struct {
	Status        string   `json:"status,omitempty" jsonschema:"only tasks with this status"`
	Statuses      []string `json:"statuses,omitempty" jsonschema:"only tasks with one of these statuses; not together with status"`
	AssignedTo    ID       `json:"assignedTo,omitempty" jsonschema:"only tasks of this instance"`
	Priority      *int     `json:"priority,omitempty" jsonschema:"only tasks with this priority"`
	Role          Role     `json:"role,omitempty" jsonschema:"only tasks that require this role"`
	Text          string   `json:"text,omitempty" jsonschema:"only tasks whose text contains this, in upper or lower case; every character stands for itself"`
	Error         string   `json:"error,omitempty" jsonschema:"only tasks whose error contains this, likewise; an error that is not a string is searched as JSON"`
	Metadata      Object   `json:"metadata,omitempty" jsonschema:"only tasks whose metadata has each of these members with an equal value: numbers by value, objects in any order of members; at most 4 KiB"`
	CreatedAfter  string   `json:"createdAfter,omitempty" jsonschema:"only tasks created at or after this time, ISO 8601 with a time zone"`
	CreatedBefore string   `json:"createdBefore,omitempty" jsonschema:"only tasks created before this time"`
	UpdatedAfter  string   `json:"updatedAfter,omitempty" jsonschema:"only tasks whose last change was at or after this time"`
	UpdatedBefore string   `json:"updatedBefore,omitempty" jsonschema:"only tasks whose last change was before this time"`
	Limit         *int     `json:"limit,omitempty" jsonschema:"the maximum number of tasks to list; default 100, over MCP 20"`
	Offset        *int     `json:"offset,omitempty" jsonschema:"the number of tasks to skip; default 0"`
	Cursor        string   `json:"cursor,omitempty" jsonschema:"the nextCursor of the page before, with the filters and the order of that page, and without offset"`
	OrderBy       string   `json:"orderBy,omitempty" jsonschema:"the field to order by; default createdAt; the task's number breaks ties"`
	Order         string   `json:"order,omitempty" jsonschema:"the direction of the order; default desc"`
}

// Filter returns the params that select tasks.
func (p *ListTasksParams) Filter() TaskFilterParams {
	return TaskFilterParams{
		Status: p.Status, Statuses: p.Statuses, AssignedTo: p.AssignedTo, Priority: p.Priority, Role: p.Role, Text: p.Text, Error: p.Error, Metadata: p.Metadata,
		CreatedAfter: p.CreatedAfter, CreatedBefore: p.CreatedBefore, UpdatedAfter: p.UpdatedAfter, UpdatedBefore: p.UpdatedBefore,
	}
}

// TaskFilterParams select tasks as the params of task.list do. All that are present must match.
type TaskFilterParams struct {
	Status        string   `json:"status,omitempty" jsonschema:"only tasks with this status"`
	Statuses      []string `json:"statuses,omitempty" jsonschema:"only tasks with one of these statuses; not together with status"`
	AssignedTo    ID       `json:"assignedTo,omitempty" jsonschema:"only tasks of this instance"`
	Priority      *int     `json:"priority,omitempty" jsonschema:"only tasks with this priority"`
	Role          Role     `json:"role,omitempty" jsonschema:"only tasks that require this role"`
	Text          string   `json:"text,omitempty" jsonschema:"only tasks whose text contains this, in upper or lower case; every character stands for itself"`
	Error         string   `json:"error,omitempty" jsonschema:"only tasks whose error contains this, likewise; an error that is not a string is searched as JSON"`
	Metadata      Object   `json:"metadata,omitempty" jsonschema:"only tasks whose metadata has each of these members with an equal value: numbers by value, objects in any order of members; at most 4 KiB"`
	CreatedAfter  string   `json:"createdAfter,omitempty" jsonschema:"only tasks created at or after this time, ISO 8601 with a time zone"`
	CreatedBefore string   `json:"createdBefore,omitempty" jsonschema:"only tasks created before this time"`
	UpdatedAfter  string   `json:"updatedAfter,omitempty" jsonschema:"only tasks whose last change was at or after this time"`
	UpdatedBefore string   `json:"updatedBefore,omitempty" jsonschema:"only tasks whose last change was before this time"`
}

// ListTasksResult is the result of task.list. TotalCount counts the matching tasks on all pages.
type ListTasksResult struct {
	Tasks      []Task  `json:"tasks"`
	TotalCount int     `json:"totalCount" jsonschema:"the matching tasks on all pages; with cursor, as counted for the first page"`
	HasMore    bool    `json:"hasMore"`
	NextCursor string  `json:"nextCursor,omitempty" jsonschema:"left out on the last page, and for an order other than createdAt"`
	Behind     *Behind `json:"behind,omitempty"`
}

// Behind is how far what was read from the view in Postgres is behind the log. It is left out if the view has applied all events
// that were in the log before the call.
type Behind struct {
	Events int64 `json:"events" jsonschema:"the maximum number of events that the result lacks"`
	MS     int64 `json:"ms" jsonschema:"the age of the oldest of these events, in ms"`
}

// GetTaskParams are the params of task.get.
type GetTaskParams struct {
	ID           TaskID `json:"id" jsonschema:"the task to read"`
	Dependencies bool   `json:"dependencies,omitempty" jsonschema:"whether to add the states and results of the tasks that it depends on"`
}

// DeleteTaskParams are the params of task.delete.
type DeleteTaskParams struct {
	ID TaskID `json:"id" jsonschema:"the task to delete"`
}

// DeleteTaskResult is the result of task.delete.
type DeleteTaskResult struct {
	ID        TaskID `json:"id"`
	Deleted   bool   `json:"deleted"`
	DeletedAt string `json:"deletedAt"`
}

// RetryTaskParams are the params of task.retry: one task or several.
type RetryTaskParams struct {
	ID  TaskID   `json:"id,omitempty" jsonschema:"the task to try again; required without ids"`
	IDs []TaskID `json:"ids,omitempty" jsonschema:"several tasks instead"`
}

// RetriedTask is what came of a task in a call of task.retry.
type RetriedTask struct {
	ID      TaskID `json:"id"`
	Status  string `json:"status,omitempty"`
	Attempt int    `json:"attempt,omitempty" jsonschema:"the number of its last claim"`
	Reason  string `json:"reason,omitempty" jsonschema:"in a call with ids, why the task was not revived"`
}

// RetryTaskResult is the result of task.retry: with id the task's, with ids that of each.
type RetryTaskResult struct {
	ID      TaskID        `json:"id,omitempty"`
	Status  string        `json:"status,omitempty"`
	Attempt int           `json:"attempt,omitempty" jsonschema:"the number of its last claim"`
	Retried *int          `json:"retried,omitempty" jsonschema:"in a call with ids, how many were revived"`
	Tasks   []RetriedTask `json:"tasks,omitempty"`
}

// MatchingParams are the params of task.cancel_many, task.retry_many and task.delete_many.
type MatchingParams struct {
	Filter TaskFilterParams `json:"filter" jsonschema:"which tasks, as in task.list; at least one member"`
	Limit  *int             `json:"limit,omitempty" jsonschema:"the maximum number of tasks to change, the oldest first; default 10000"`
}

// CancelMatchingParams are the params of task.cancel_many.
type CancelMatchingParams struct {
	Filter  TaskFilterParams `json:"filter" jsonschema:"which tasks, as in task.list; at least one member. Tasks that are finished or were called off before never match"`
	Limit   *int             `json:"limit,omitempty" jsonschema:"the maximum number of tasks to change, the oldest first; default 10000"`
	Reason  *string          `json:"reason,omitempty" jsonschema:"why"`
	GraceMs *int             `json:"graceMs,omitempty" jsonschema:"how long the worker of a claimed task has to end it, in ms; default 30000"`
}

// MatchingResult is the result of these methods.
type MatchingResult struct {
	Matched    int     `json:"matched" jsonschema:"the tasks that the view in Postgres found"`
	Done       int     `json:"done" jsonschema:"those that were changed. The others have changed meanwhile, or are not the caller's"`
	Incomplete bool    `json:"incomplete,omitempty" jsonschema:"whether a store failed or the time was over before the end: the same call goes on"`
	Behind     *Behind `json:"behind,omitempty"`
}
