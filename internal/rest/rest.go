// Package rest serves the API over plain HTTP, as POST /api/<domain>/<action>, to callers without a
// JSON-RPC client. The paths derive from the list of commands: task.create is /api/task/create, and
// system.batch.process is /api/system/batch/process. The request body contains the params. An empty
// body means {}. The response body is the result, or {"error": {code, message, data}} with the
// matching HTTP status (see Status). internal/server uses this package.
//
// The package shares its code for reading bodies and running calls with internal/rpc, and therefore
// its limits, its errors and results that are passed on byte for byte. Only the Dispatcher can
// fail. The X-Correlation-Id header of a request becomes the cause of what the call does. Without
// it the handler generates an ID. The response repeats the ID in the same header.
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

// Prefix is the common prefix of the paths of commands.
const Prefix = "/api/"

// Options configure a handler. The zero value is valid.
type Options struct {
	// Log receives internal errors. The default is slog.Default().
	Log *slog.Logger
	// Caller returns the name of the caller's token, which becomes Request.Caller. Nil means that
	// authentication is disabled.
	Caller func(*http.Request) string
	// Answers is the memory budget for answers, which all transports of a process share. Nil means
	// a private one.
	Answers *answers.Budget
}

type handler struct {
	dispatcher httpapi.Dispatcher
	options    Options
	methods    map[string]string // by path
}

// NewHandler serves the named methods, each at its Path. Other paths get status 404.
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

// Path returns the path of a method.
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

// Status returns the HTTP status of an error. It distinguishes errors after which a call can be
// repeated (503) from those after which it may have run (500, `Outcome unknown`).
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
	case api.EventIndexOff:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}

// retryAfter returns the number of seconds that a rate-limited caller must wait, and 0 for other
// errors.
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
