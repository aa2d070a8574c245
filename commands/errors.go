package commands

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/claudebench/claudebench/lua"
)

// The codes of the API's errors. JSON-RPC reserves those below -32600; the others are ours.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
	CodeRateLimited    = -32000
	CodeUnauthorized   = -32002
	CodeNotRegistered  = -32003
	CodeNotFound       = -32004
	CodeConflict       = -32005
)

// What an internal error says of its cause; nothing else about the inside is given away.
const (
	RedisUnavailable    = "Redis unavailable"
	PostgresUnavailable = "Postgres unavailable"
	OutcomeUnknown      = "Outcome unknown"
	CircuitBreakerOpen  = "Circuit breaker open"
)

// Error is an error as the API answers it. Data is anything that encodes to JSON.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

func (e *Error) Error() string {
	data, err := json.Marshal(e.Data)
	if err != nil || e.Data == nil {
		return fmt.Sprintf("%s (%d)", e.Message, e.Code)
	}
	return fmt.Sprintf("%s (%d): %s", e.Message, e.Code, data)
}

// InvalidParams refuses params; sentence names the param and what is wrong with it.
func InvalidParams(sentence string) *Error {
	return &Error{Code: CodeInvalidParams, Message: "Invalid params", Data: sentence}
}

// Internal is a failure of the infrastructure or of ours; what is one of the constants above, or "".
func Internal(what string) *Error {
	if what == "" {
		return &Error{Code: CodeInternal, Message: "Internal error"}
	}
	return &Error{Code: CodeInternal, Message: "Internal error", Data: what}
}

// Unauthorized refuses a caller; needed is a sentence that says what it takes.
func Unauthorized(needed string) *Error {
	return &Error{Code: CodeUnauthorized, Message: "Unauthorized", Data: needed}
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
	return Unauthorized("this needs " + detail.Needed)
}

// MethodNotFound says which method there is not.
func MethodNotFound(method string) *Error {
	return &Error{Code: CodeMethodNotFound, Message: "Method not found", Data: method}
}

// scriptErrors maps the code that a script's error begins with to the API's error. The detail behind
// the code is the error's data, JSON already.
var scriptErrors = map[string]struct {
	code    int
	message string
}{
	"RATE_LIMITED":   {CodeRateLimited, "Rate limit exceeded"},
	"NOT_REGISTERED": {CodeNotRegistered, "Instance not registered"},
	"NOT_FOUND":      {CodeNotFound, "Not found"},
	"CONFLICT":       {CodeConflict, "Conflict"},
	"UNAUTHORIZED":   {CodeUnauthorized, "Unauthorized"},
}

// apiError turns what running a script gave into what the caller is told. An error that is none of
// ours, or whose detail is not JSON, comes back as it is: the edge logs it and answers a bare internal error.
func apiError(err error) error {
	var refused *lua.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		known, ok := scriptErrors[refused.Code]
		if !ok || !json.Valid([]byte(refused.Detail)) {
			return err
		}
		if known.code == CodeUnauthorized {
			return unauthorized(refused)
		}
		return &Error{Code: known.code, Message: known.message, Data: json.RawMessage(refused.Detail)}
	case errors.Is(err, lua.ErrOutcomeUnknown):
		return Internal(OutcomeUnknown)
	case errors.Is(err, lua.ErrUnavailable):
		return Internal(RedisUnavailable)
	}
	return err
}
