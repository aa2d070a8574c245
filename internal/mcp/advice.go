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
		return "correct the argument that data names, by the tool's input schema, and call again."
	case api.CodeRateLimited:
		return "wait retryAfterMs milliseconds, then call again. To bring in many items at once, use system_batch_process."
	case api.CodeUnauthorized:
		return "do not repeat it: this token may not. Ask the operator for what data names."
	case api.CodeNotRegistered:
		return "call system_register for this instance, keep it alive with system_heartbeat, then call again."
	case api.CodeNotFound:
		return "check the id; what was deleted, or finished long ago, is gone. task_list shows the tasks there are."
	case api.CodeConflict:
		return nextOfConflict(failed.Data)
	}
	switch failed.Failure() {
	case api.OutcomeUnknown:
		return "it may or may not have happened. Repeat it with the same idempotencyKey if it had one; else look at what there is first (task_get, task_list)."
	case api.RedisUnavailable, api.PostgresUnavailable, api.CircuitBreakerOpen:
		return "nothing has changed. Wait half a minute, then call again; system_health tells what is down."
	}
	return "this is a fault of the coordinator, and its log says which. Repeating it may not help; tell the operator."
}

// conflicts maps the reason of a conflict to what the caller should do.
var conflicts = map[string]string{
	"ALREADY_FINISHED":       "the task is finished; leave it, and claim another with task_claim.",
	"NOT_ASSIGNED":           "the task has no owner; take tasks with task_claim, or give it to an instance with task_assign.",
	"NOT_OWNER":              "the task belongs to assignedTo now; drop the work, and claim another with task_claim.",
	"STALE_ATTEMPT":          "the task was given out again after this attempt; drop the work, and claim another with task_claim.",
	"UNKNOWN_ATTEMPT":        "the task has not had this attempt yet; give the attempt that task_claim returned.",
	"ALREADY_ASSIGNED":       "the task has an owner; leave it, or call task_unassign first.",
	"ROLES_MISSING":          "choose an instance that has all the roles that data names.",
	"TOO_MANY_ROLE_SETS":     "use a set of roles that other open tasks ask for, or wait until some are finished.",
	"IDEMPOTENCY_KEY_REUSED": "the key was used with other arguments; choose a new one.",
	"METADATA_CHANGED":       "others changed the task at the same moment; read it with task_get, then call again.",
	"BATCH_ITEMS_DIFFER":     "the batch exists with other items; choose a new batchId for these.",
	"TOTAL_INSTANCES_DIFFER": "the decision's first vote fixed totalInstances; vote with that, or leave it out.",
	"FLUSH_IN_PROGRESS":      "everything is being deleted; wait a minute, register again, and take nothing from before for granted.",
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
	return "the state is not what the call takes it for; data has the reason. Look at what there is (task_get), then decide."
}
