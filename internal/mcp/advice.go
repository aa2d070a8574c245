package mcp

import (
	"encoding/json"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// explain returns an error as text for a model: the error as all transports return it, and what to
// do next.
func explain(failed *api.Error) string {
	return string(httpapi.AppendError(nil, failed)) + "\nNext: " + next(failed)
}

// next returns what a caller should do about an error.
func next(failed *api.Error) string {
	switch failed.Code {
	case api.CodeInvalidParams:
		return "correct the argument that data names, as the tool's input schema requires, and call again."
	case api.CodeRateLimited:
		return "wait retryAfterMs milliseconds, then call again. To create many tasks at once, use system_batch_process."
	case api.CodeUnauthorized:
		return "do not repeat the call: this token lacks the right. Ask the operator for what data names."
	case api.CodeNotRegistered:
		return "call system_register for this instance, with the same id, roles and metadata.sessionId as before (and a larger ttlMs if its work " +
			"takes long). Then repeat this call unchanged. The result of finished work is accepted as long as nobody else has the task."
	case api.CodeNotFound:
		return "check the id. Deleted tasks, and tasks that finished long ago, are gone. task_list and session_list list what exists."
	case api.CodeConflict:
		return nextOfConflict(failed.Data)
	}
	switch failed.Failure() {
	case api.OutcomeUnknown:
		return "the call may have taken effect. If it had an idempotencyKey, repeat it with the same key. Otherwise read the current state first (task_get, task_list)."
	case api.RedisUnavailable, api.PostgresUnavailable, api.CircuitBreakerOpen:
		return "nothing has changed. Wait half a minute, then call again. system_health reports what is unavailable."
	}
	return "this is a bug in the coordinator, and its log contains the error. Repeating the call may not help; tell the operator."
}

// conflicts maps the reason of a conflict to what the caller should do.
var conflicts = map[string]string{
	"ALREADY_FINISHED": "the task is finished; leave it, and claim another with task_claim.",
	"NOT_ASSIGNED": "the task is back in the queue, because its worker was silent for too long or gave it back. If you have finished its work, " +
		"call task_assign with this taskId and your own instanceId, then repeat this call unchanged. If task_assign is unauthorized, call task_claim " +
		"instead; if it returns this task, repeat this call with the attempt of that claim. If the work is not finished, drop it and call task_claim.",
	"NOT_OWNER": "the task now belongs to assignedTo. If you have finished its work, call task_get: as long as status is pending, nobody has begun it again, " +
		"so call task_unassign, then task_assign with your own instanceId, then repeat this call unchanged. Otherwise drop the work, and call task_claim.",
	"STALE_ATTEMPT": "the task was claimed again after this attempt. If you claimed it again yourself, pass the attempt of your last claim. " +
		"Otherwise stop the work, and claim another task with task_claim.",
	"UNKNOWN_ATTEMPT":        "the task has not had this attempt yet; pass the attempt that task_claim returned.",
	"ALREADY_ASSIGNED":       "the task has an owner. If assignedTo is your own instance, go on as if this call had succeeded; else leave it, or call task_unassign first.",
	"ROLES_MISSING":          "choose an instance that has all the roles that data names.",
	"TOO_MANY_ROLE_SETS":     "use a set of roles that other open tasks require, or wait until some tasks are finished.",
	"IDEMPOTENCY_KEY_REUSED": "the key was used with other arguments; choose a new one.",
	"METADATA_CHANGED":       "other calls changed the task at the same time; read it with task_get, then call again.",
	"BATCH_ITEMS_DIFFER":     "the batchId was used with other items; choose a new batchId.",
	"TOTAL_INSTANCES_DIFFER": "the decision's first vote fixed totalInstances; vote with that number, or omit it.",
	"FLUSH_IN_PROGRESS":      "a flush is deleting all data; wait a minute, then register again. Earlier tasks and instances no longer exist.",
}

func nextOfConflict(data any) string {
	var told struct {
		Reason string `json:"reason"`
	}
	if text, err := json.Marshal(data); err == nil {
		_ = json.Unmarshal(text, &told) // without a reason the general advice applies
	}
	if next := conflicts[told.Reason]; next != "" {
		return next
	}
	return "the call does not fit the current state; data contains the reason. Read the state (task_get), then decide."
}
