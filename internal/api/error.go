package api

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The error codes of the API. JSON-RPC reserves those below -32600; the others are the
// coordinator's own.
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

// The causes that an internal error names. It reveals nothing else about the coordinator.
const (
	RedisUnavailable    = "Redis unavailable"
	PostgresUnavailable = "Postgres unavailable"
	OutcomeUnknown      = "Outcome unknown"
	CircuitBreakerOpen  = "Circuit breaker open"
	EventIndexOff       = "Event index off"
)

// Error is an error that the API returns. Data is any value that encodes to JSON.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

// Error returns the message with its code, and the data as JSON.
func (e *Error) Error() string {
	data, err := json.Marshal(e.Data)
	if err != nil || e.Data == nil {
		return fmt.Sprintf("%s (%d)", e.Message, e.Code)
	}
	return fmt.Sprintf("%s (%d): %s", e.Message, e.Code, data)
}

// InvalidParams returns the error for invalid params. sentence names the param and says what is
// wrong with it.
func InvalidParams(sentence string) *Error {
	return &Error{Code: CodeInvalidParams, Message: "Invalid params", Data: sentence}
}

// Internal returns the error for a failure of the infrastructure or of the coordinator. what is one
// of the constants above, or "".
func Internal(what string) *Error {
	if what == "" {
		return &Error{Code: CodeInternal, Message: "Internal error"}
	}
	return &Error{Code: CodeInternal, Message: "Internal error", Data: what}
}

// InternalBecause is like Internal, for a failure whose cause may be known. The data is then "what:
// cause", such as "Redis unavailable: this Redis is a read-only replica; name the master". An empty
// cause is omitted.
func InternalBecause(what, cause string) *Error {
	if cause != "" {
		what += ": " + cause
	}
	return Internal(what)
}

// Failure returns the cause that an internal error names: RedisUnavailable, PostgresUnavailable,
// OutcomeUnknown, CircuitBreakerOpen or EventIndexOff. It returns "" for any other error.
func (e *Error) Failure() string {
	text, _ := e.Data.(string)
	what, _, _ := strings.Cut(text, ": ")
	switch what {
	case RedisUnavailable, PostgresUnavailable, OutcomeUnknown, CircuitBreakerOpen, EventIndexOff:
		if e.Code == CodeInternal {
			return what
		}
	}
	return ""
}

// Unauthorized returns the error for a caller without the required rights. needed is a sentence
// that says what the call requires.
func Unauthorized(needed string) *Error {
	return &Error{Code: CodeUnauthorized, Message: "Unauthorized", Data: needed}
}

// MethodNotFound returns the error for an unknown method.
func MethodNotFound(method string) *Error {
	return &Error{Code: CodeMethodNotFound, Message: "Method not found", Data: method}
}

// ParseError returns the error for a body that is not JSON. why says what is wrong and where.
func ParseError(why string) *Error {
	return &Error{Code: CodeParse, Message: "Parse error", Data: why}
}

// InvalidRequest returns the error for a body that is JSON but not a request. The formatted
// sentence says which rule the body breaks.
func InvalidRequest(format string, args ...any) *Error {
	return &Error{Code: CodeInvalidRequest, Message: "Invalid Request", Data: fmt.Sprintf(format, args...)}
}
