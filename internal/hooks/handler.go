// Package hooks receives the hooks that Claude Code sends over HTTP, at POST /hooks/claude-code, and
// records them with the method hook.record. internal/server uses this package.
//
// An agent waits for the answer to a hook, so the answer never depends on whether the hook could be
// recorded. If Redis is unavailable or slow, a flush is under way or a rate limit is reached, the
// answer is {} or the policy's decision, with status 200, after the method's timeout at the latest, and at once while its
// circuit breaker is open. Claude Code takes {} as no opinion. Counts counts what was not recorded.
// A body that is too long or too deep to be read is refused, except if the policy has a rule about the
// tool that it asks for: then the answer is the policy's, in general to ask the user.
// Only a request that is not a hook, or not from somebody who may send one, has another status.
package hooks

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/claudehook"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// Path is the path of the hooks of Claude Code.
const Path = "/hooks/claude-code"

// method records a hook.
const method = "hook.record"

// Options configure a handler. The zero value is valid.
type Options struct {
	// Log receives internal errors. The default is slog.Default().
	Log *slog.Logger
	// Caller returns the name of the caller's token. Nil means that authentication is disabled.
	Caller func(*http.Request) string
	// Policy decides about the use of a tool. It returns nil if it has no opinion. A nil Policy has
	// none about anything.
	Policy func(tool string, input json.RawMessage) *api.HookDecision
	// Unread decides about the use of a tool whose input is too long or too deep to be read. tool is
	// "" if its name is unknown too. A nil Unread has no opinion.
	Unread func(tool string) *api.HookDecision
}

// Handler receives hooks.
type Handler struct {
	dispatcher httpapi.Dispatcher
	options    Options
	counts     [numOutcomes]atomic.Uint64
	decisions  [len(decisionNames)]atomic.Uint64
}

// outcome is what became of a request.
type outcome int

const (
	recorded outcome = iota // the event is in the log
	unknown                 // the reply of Redis was lost
	dropped                 // answered without an event
	refused                 // it was no hook, or its sender may not send one
	numOutcomes
)

var outcomeNames = [numOutcomes]string{"recorded", "unknown", "dropped", "refused"}

// NewHandler returns a handler that records hooks with the dispatcher's hook.record.
func NewHandler(d httpapi.Dispatcher, o Options) *Handler {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Handler{dispatcher: d, options: o}
}

// Counts returns how many requests had each outcome: recorded, unknown (the reply of Redis was
// lost), dropped (answered without an event) or refused (not a hook, or its sender may not send
// one).
func (h *Handler) Counts() map[string]uint64 {
	counts := make(map[string]uint64, numOutcomes)
	for o, name := range outcomeNames {
		counts[name] = h.counts[o].Load()
	}
	return counts
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := &beginning{from: r.Body}
	if h.options.Unread != nil {
		r.Body = begun
	}
	body, unfit := httpapi.ReadBody(w, r)
	if unfit != nil && unfit.Status != http.StatusRequestEntityTooLarge && unfit.Status != http.StatusServiceUnavailable {
		h.refuse(w, unfit.Status, unfit.Error())
		return
	}
	if unfit != nil {
		if !h.unread(w, r, begun) {
			h.refuse(w, unfit.Status, unfit.Error())
		}
		return
	}
	request := httpapi.NewRequest(r, h.options.Caller)
	request.Method = method
	if request.Cause, unfit = httpapi.Correlation(w, r); unfit != nil {
		h.refuse(w, unfit.Status, unfit.Error())
		return
	}
	hook, failed := read(body)
	if failed != nil {
		if h.unread(w, r, begun) {
			return
		}
		h.refuse(w, http.StatusBadRequest, failed)
		return
	}
	request.Params = append(append([]byte(`{"hook":`), hook...), '}')
	decided, answer := h.decide(hook)
	h.record(w, r, request, decided, answer)
}

// record records a hook and sends its answer.
func (h *Handler) record(w http.ResponseWriter, r *http.Request, request api.Request, decided *api.HookDecision, answer []byte) {
	request.Decided = decided
	// The method's time starts now, and not with the first byte of a long body.
	_, failed := httpapi.Run(r.Context(), h.dispatcher, h.options.Log, request)
	if failed != nil && failed.Code == api.CodeUnauthorized {
		h.refuse(w, http.StatusForbidden, failed)
		return
	}
	h.counts[outcomeOf(failed)].Add(1)
	httpapi.WriteResult(w, answer)
}

func (h *Handler) refuse(w http.ResponseWriter, status int, failed *api.Error) {
	h.counts[refused].Add(1)
	httpapi.WriteError(w, status, failed)
}

func outcomeOf(failed *api.Error) outcome {
	switch failed.Outcome() {
	case api.OutcomeOK:
		return recorded
	case api.OutcomeLost:
		return unknown
	}
	return dropped
}

// read returns the hook in a body, as compact JSON that SQL can read.
func read(body []byte) (json.RawMessage, *api.Error) {
	hook, failed := httpapi.Compact(claudehook.Readable(body))
	if failed != nil {
		return nil, failed
	}
	if !bytes.HasPrefix(hook, []byte("{")) {
		return nil, api.InvalidRequest("a hook must be a JSON object")
	}
	hook, _ = jsontext.Readable(hook)
	return hook, nil
}
