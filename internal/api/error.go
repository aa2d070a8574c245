package api

import (
	"encoding/json"
	"fmt"
	"strings"
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

// Error is the message with its code, and the data as JSON.
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

// Internal is a failure of the infrastructure or of ours; what is one of the constants above, or
// "".
func Internal(what string) *Error {
	if what == "" {
		return &Error{Code: CodeInternal, Message: "Internal error"}
	}
	return &Error{Code: CodeInternal, Message: "Internal error", Data: what}
}

// InternalBecause is Internal for a failure whose cause may be known; data is then "what: cause",
// such as "Redis unavailable: this Redis is a read-only replica; name the master".
func InternalBecause(what, cause string) *Error {
	if cause != "" {
		what += ": " + cause
	}
	return Internal(what)
}

// Failure returns which of RedisUnavailable, PostgresUnavailable, OutcomeUnknown and
// CircuitBreakerOpen an internal error tells of; "" for any other error.
func (e *Error) Failure() string {
	text, _ := e.Data.(string)
	what, _, _ := strings.Cut(text, ": ")
	switch what {
	case RedisUnavailable, PostgresUnavailable, OutcomeUnknown, CircuitBreakerOpen:
		if e.Code == CodeInternal {
			return what
		}
	}
	return ""
}

// Unauthorized refuses a caller; needed is a sentence that says what it takes.
func Unauthorized(needed string) *Error {
	return &Error{Code: CodeUnauthorized, Message: "Unauthorized", Data: needed}
}

// MethodNotFound says which method there is not.
func MethodNotFound(method string) *Error {
	return &Error{Code: CodeMethodNotFound, Message: "Method not found", Data: method}
}

// ParseError refuses a body that is not JSON; why says what is wrong and where.
func ParseError(why string) *Error {
	return &Error{Code: CodeParse, Message: "Parse error", Data: why}
}

// InvalidRequest refuses what is JSON and not a request; the sentence says which rule it breaks.
func InvalidRequest(format string, args ...any) *Error {
	return &Error{Code: CodeInvalidRequest, Message: "Invalid Request", Data: fmt.Sprintf(format, args...)}
}
