// Package rest is the API over plain HTTP: POST /api/<domain>/<action>, for callers that have no
// JSON-RPC client. Its paths are made from the list of commands: task.create is /api/task/create,
// system.batch.process is /api/system/batch/process. The body holds the params, an empty one means
// {}; the answer's body is the result, or {"error": {code, message, data}} with a status that says
// as much (Status). Its caller is internal/server.
//
// It shares with internal/rpc how bodies are read and calls are run, and so its limits, its byte
// for byte answers and its errors; it has no dependency that can fail but the Dispatcher. An
// X-Correlation-Id header is the cause of what a call does, else an id made here; the answer names
// it in the same header.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// Prefix is where the paths of commands begin.
const Prefix = "/api/"

// Options of a handler; the zero value serves.
type Options struct {
	// Log gets what goes wrong inside; nil is slog.Default().
	Log *slog.Logger
	// Caller returns the name of the caller's token, which becomes Request.Caller; nil where there
	// are no tokens.
	Caller func(*http.Request) string
	// Answers is the room for answers that the transports of a process share; nil is one of its
	// own.
	Answers *answers.Budget
}

type handler struct {
	dispatcher httpapi.Dispatcher
	options    Options
	methods    map[string]string // by path
}

// NewHandler serves the methods that are named, each on its Path; whatever else it is asked for is
// not found.
func NewHandler(d httpapi.Dispatcher, methods []string, o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Answers == nil {
		o.Answers = answers.NewBudget()
	}
	h := &handler{dispatcher: d, options: o, methods: map[string]string{}}
	for _, name := range methods {
		h.methods[Path(name)] = name
	}
	return h
}

// Path is where a method is called.
func Path(method string) string { return Prefix + strings.ReplaceAll(method, ".", "/") }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	received := time.Now()
	method, known := h.methods[r.URL.Path]
	if !known {
		fail(w, api.MethodNotFound("there is no "+r.URL.Path+"; a method's dots are slashes in its path: task.create is "+Path("task.create")))
		return
	}
	body, refused := httpapi.ReadBody(w, r)
	if refused != nil {
		httpapi.WriteError(w, refused.Status, refused.Error())
		return
	}
	request := httpapi.NewRequest(r, h.options.Caller)
	request.Method, request.Received = method, received
	if request.Cause, refused = httpapi.Correlation(w, r); refused != nil {
		httpapi.WriteError(w, refused.Status, refused.Error())
		return
	}
	if len(bytes.TrimSpace(body)) > 0 {
		var unread *api.Error
		if request.Params, unread = httpapi.Compact(body); unread != nil {
			fail(w, unread)
			return
		}
	}
	room := h.options.Answers.Exchange(1)
	defer room.Release()
	result, failed := room.Call(r.Context(), func(ctx context.Context) (json.RawMessage, *api.Error) {
		return httpapi.Run(ctx, h.dispatcher, h.options.Log, request)
	})
	if failed != nil {
		fail(w, failed)
		return
	}
	httpapi.WriteResult(w, result)
}

func fail(w http.ResponseWriter, failed *api.Error) {
	if seconds := retryAfter(failed); seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	httpapi.WriteError(w, Status(failed), failed)
}

// Status is the HTTP status that fits an error. What is tried again as it is (503) is told from
// what may have happened already (500, `Outcome unknown`).
func Status(failed *api.Error) int {
	switch failed.Code {
	case api.CodeParse, api.CodeInvalidRequest, api.CodeInvalidParams:
		return http.StatusBadRequest
	case api.CodeUnauthorized:
		return http.StatusForbidden
	case api.CodeMethodNotFound, api.CodeNotRegistered, api.CodeNotFound:
		return http.StatusNotFound
	case api.CodeConflict:
		return http.StatusConflict
	case api.CodeRateLimited:
		return http.StatusTooManyRequests
	}
	switch failed.Failure() {
	case api.RedisUnavailable, api.PostgresUnavailable, api.CircuitBreakerOpen:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// retryAfter is how many seconds a caller who made too many calls is to wait, 0 for any other
// error.
func retryAfter(failed *api.Error) int {
	if failed.Code != api.CodeRateLimited {
		return 0
	}
	text, err := json.Marshal(failed.Data)
	if err != nil {
		return 0
	}
	var data struct {
		RetryAfterMs int `json:"retryAfterMs"`
	}
	if json.Unmarshal(text, &data) != nil {
		return 0
	}
	return (data.RetryAfterMs + 999) / 1000
}
