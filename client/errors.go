package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/api"
)

// The error codes of the API.
const (
	CodeParse          = api.CodeParse
	CodeInvalidRequest = api.CodeInvalidRequest
	CodeMethodNotFound = api.CodeMethodNotFound
	CodeInvalidParams  = api.CodeInvalidParams
	CodeInternal       = api.CodeInternal
	CodeRateLimited    = api.CodeRateLimited
	CodeUnauthorized   = api.CodeUnauthorized
	CodeNotRegistered  = api.CodeNotRegistered
	CodeNotFound       = api.CodeNotFound
	CodeConflict       = api.CodeConflict
)

// Error is an error that the coordinator returned. As JSON it is what the coordinator sent.
type Error struct {
	// Method is the method that was called.
	Method  string `json:"-"`
	Code    int    `json:"code"`
	Message string `json:"message"`
	// Data says more about the error, as JSON text. docs/api.md describes it for each code. It is
	// empty if there is none.
	Data json.RawMessage `json:"data,omitempty"`
}

// Error returns the method, the message, the code and the data.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s (%d)", e.Method, e.Message, e.Code)
	if len(e.Data) > 0 {
		text += ": " + string(e.Data)
	}
	return text
}

// text returns the data if it is a string.
func (e *Error) text() string {
	var text string
	_ = json.Unmarshal(e.Data, &text) // other data is no text
	return text
}

// failure returns the cause that an internal error names, such as api.RedisUnavailable.
func (e *Error) failure() string {
	return (&api.Error{Code: e.Code, Data: e.text()}).Failure()
}

// ConnectionError is an error of the connection to the coordinator. There was no answer.
type ConnectionError struct {
	Method string
	URL    string // of the coordinator
	// Sent is false if the call certainly did not reach the coordinator: no connection was made.
	Sent bool
	Err  error
}

// Error returns what was attempted and why it failed.
func (e *ConnectionError) Error() string {
	text := fmt.Sprintf("%s: no answer from the coordinator at %s: %v", e.Method, e.URL, e.Err)
	if !e.Sent {
		text += "; check the URL, and that the coordinator runs"
	}
	return text
}

// Unwrap returns the cause.
func (e *ConnectionError) Unwrap() error { return e.Err }

// ErrNotCoordinator is the cause of the error of a call that something else than a coordinator has
// answered.
var ErrNotCoordinator = errors.New("the answer is not a coordinator's; check the URL")

// as returns the coordinator's error with a code in err, or nil.
func as(err error, code int) *Error {
	var e *Error
	if errors.As(err, &e) && e.Code == code {
		return e
	}
	return nil
}

// IsConflict reports whether the coordinator refused a call because of the state. With reasons, it
// reports whether the conflict has one of them, such as "STALE_ATTEMPT".
func IsConflict(err error, reasons ...string) bool {
	if as(err, CodeConflict) == nil {
		return false
	}
	reason := ConflictReason(err)
	for _, r := range reasons {
		if r == reason {
			return true
		}
	}
	return len(reasons) == 0
}

// ConflictReason returns the reason of a conflict, such as "STALE_ATTEMPT", or "" for any other
// error.
func ConflictReason(err error) string {
	e := as(err, CodeConflict)
	if e == nil {
		return ""
	}
	var data struct {
		Reason string `json:"reason"`
	}
	_ = json.Unmarshal(e.Data, &data) // "" then
	return data.Reason
}

// IsNotRegistered reports whether the instance that a call named is not registered, or no longer.
func IsNotRegistered(err error) bool { return as(err, CodeNotRegistered) != nil }

// IsNotFound reports whether a call named a task that does not exist.
func IsNotFound(err error) bool { return as(err, CodeNotFound) != nil }

// lossReasons are the reasons of conflicts that mean that a task is not the caller's.
var lossReasons = []string{"ALREADY_FINISHED", "NOT_ASSIGNED", "NOT_CLAIMED", "NOT_OWNER", "STALE_ATTEMPT", "UNKNOWN_ATTEMPT"}

// IsLeaseLost reports whether a call failed because the task is not, or no longer, the caller's.
func IsLeaseLost(err error) bool { return IsNotFound(err) || IsConflict(err, lossReasons...) }

// IsUnauthorized reports whether the token is missing or unknown, or lacks the right.
func IsUnauthorized(err error) bool { return as(err, CodeUnauthorized) != nil }

// IsInvalidParams reports whether the coordinator rejected the params.
func IsInvalidParams(err error) bool { return as(err, CodeInvalidParams) != nil }

// IsRateLimited reports whether a limit rejected the call: of calls, of bytes, or of the memory of
// the coordinator.
func IsRateLimited(err error) bool { return as(err, CodeRateLimited) != nil }

// RetryAfter returns how long the caller of a rate-limited call has to wait. It returns 0 for any
// other error.
func RetryAfter(err error) time.Duration {
	e := as(err, CodeRateLimited)
	if e == nil {
		return 0
	}
	var data struct {
		RetryAfterMs int64 `json:"retryAfterMs"`
	}
	_ = json.Unmarshal(e.Data, &data) // 0 then
	return time.Duration(data.RetryAfterMs) * time.Millisecond
}

// IsUnavailable reports whether a call failed because the coordinator, Redis or Postgres could not be
// reached, and certainly changed nothing.
func IsUnavailable(err error) bool {
	var lost *ConnectionError
	if errors.As(err, &lost) {
		return !lost.Sent
	}
	if e := as(err, CodeInternal); e != nil {
		switch e.failure() {
		case api.RedisUnavailable, api.PostgresUnavailable, api.CircuitBreakerOpen:
			return true
		}
	}
	return false
}

// OutcomeUnknown reports whether a call may or may not have taken effect: the answer was lost, or the
// coordinator had an internal error.
func OutcomeUnknown(err error) bool {
	var lost *ConnectionError
	if errors.As(err, &lost) {
		return lost.Sent
	}
	return as(err, CodeInternal) != nil && !IsUnavailable(err)
}

// isOver reports whether err is the end of the caller's context.
func isOver(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}

// errorOf returns the error in an answer that is not a result. body is the beginning of the answer.
func (c *Client) errorOf(method string, status int, body []byte) error {
	var answer struct {
		Error *Error `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err == nil && answer.Error != nil && answer.Error.Code != 0 {
		answer.Error.Method = method
		return answer.Error
	}
	// A proxy answers so if the coordinator behind it is away, or has not answered in time.
	if status == 502 || status == 503 || status == 504 {
		return &ConnectionError{Method: method, URL: c.url, Sent: true, Err: fmt.Errorf("a proxy returned status %d", status)}
	}
	return fmt.Errorf("%s at %s: %w (status %d: %.100s)", method, c.url, ErrNotCoordinator, status, strings.ToValidUTF8(string(body), "?"))
}
