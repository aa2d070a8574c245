package command

import (
	"encoding/json"
	"errors"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// scriptErrors maps the code of a script's error to the API's error. The detail behind the code is
// the error's data. It is already JSON.
var scriptErrors = map[string]struct {
	code    int
	message string
}{
	"RATE_LIMITED":   {api.CodeRateLimited, "Rate limit exceeded"},
	"NOT_REGISTERED": {api.CodeNotRegistered, "Instance not registered"},
	"NOT_FOUND":      {api.CodeNotFound, "Not found"},
	"CONFLICT":       {api.CodeConflict, "Conflict"},
	"UNAUTHORIZED":   {api.CodeUnauthorized, "Unauthorized"},
}

// APIError returns the API's error for an error of a handler, and nil for nil. known is false for a
// fault of the coordinator, for example a script's error whose code is not in the table. The caller
// then gets "Internal error", and the edge logs err.
func APIError(err error) (failed *api.Error, known bool) {
	var refused *lua.Error
	switch {
	case err == nil:
		return nil, true
	case errors.As(err, &failed):
		return failed, true
	case errors.As(err, &refused):
		return refusal(refused)
	case errors.Is(err, lua.ErrOutcomeUnknown):
		return api.InternalBecause(api.OutcomeUnknown, lua.Cause(err)), true
	case errors.Is(err, lua.ErrUnavailable):
		return api.InternalBecause(api.RedisUnavailable, lua.Cause(err)), true
	case errors.Is(err, taskview.ErrNotConfigured):
		return api.Internal(api.PostgresUnavailable), true
	case errors.Is(err, taskview.ErrIndexOff):
		return api.InternalBecause(api.EventIndexOff, "this coordinator runs with --no-event-index; ask another one, or restart it without the flag"), true
	}
	return api.Internal(""), false
}

// refusal returns the API's error for an error that a script returned.
func refusal(refused *lua.Error) (failed *api.Error, known bool) {
	e, ok := scriptErrors[refused.Code]
	if !ok || !json.Valid([]byte(refused.Detail)) {
		return api.Internal(""), false
	}
	if e.code == api.CodeUnauthorized {
		return unauthorized(refused)
	}
	return &api.Error{Code: e.code, Message: e.message, Data: json.RawMessage(refused.Detail)}, true
}

// unauthorized returns the API's error for a caller that does not own an instance or a task. A
// script's detail is an object. The caller gets the sentence in it, as in other errors.
func unauthorized(refused *lua.Error) (failed *api.Error, known bool) {
	var detail struct {
		Needed string `json:"needed"`
	}
	if err := json.Unmarshal([]byte(refused.Detail), &detail); err != nil || detail.Needed == "" {
		return api.Internal(""), false
	}
	return api.Unauthorized("the call needs " + detail.Needed), true
}
