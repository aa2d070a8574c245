package command

import (
	"encoding/json"
	"errors"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// scriptErrors maps the code that a script's error begins with to the API's error. The detail behind
// the code is the error's data, JSON already.
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

// APIError turns what running a script gave into what the caller is told. An error that is none of
// ours, or whose detail is not JSON, comes back as it is: the edge logs it and answers a bare internal error.
func APIError(err error) error {
	var refused *lua.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		known, ok := scriptErrors[refused.Code]
		if !ok || !json.Valid([]byte(refused.Detail)) {
			return err
		}
		if known.code == api.CodeUnauthorized {
			return unauthorized(refused)
		}
		return &api.Error{Code: known.code, Message: known.message, Data: json.RawMessage(refused.Detail)}
	case errors.Is(err, lua.ErrOutcomeUnknown):
		return api.InternalBecause(api.OutcomeUnknown, lua.Cause(err))
	case errors.Is(err, lua.ErrUnavailable):
		return api.InternalBecause(api.RedisUnavailable, lua.Cause(err))
	case errors.Is(err, taskview.ErrNotConfigured):
		return api.Internal(api.PostgresUnavailable)
	}
	return err
}

// unauthorized is what a script says of a caller to whom an instance or a task does not belong. A script's detail is an
// object; the caller gets the sentence in it, as from elsewhere.
func unauthorized(refused *lua.Error) error {
	var detail struct {
		Needed string `json:"needed"`
	}
	if err := json.Unmarshal([]byte(refused.Detail), &detail); err != nil || detail.Needed == "" {
		return refused
	}
	return api.Unauthorized("this needs " + detail.Needed)
}
