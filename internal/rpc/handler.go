package rpc

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// MaxCalls is the maximum number of calls in a batch.
const MaxCalls = 1000

// defaultConcurrency lets all calls of a batch of 100 run at once, and lets a batch of 1,000 fill a
// pipeline to Redis four times.
const defaultConcurrency = 256

// Options configure a handler. The zero value is valid.
type Options struct {
	// Log receives internal errors. The default is slog.Default().
	Log *slog.Logger
	// Concurrency is the maximum number of concurrent calls of one batch. The default is 256.
	Concurrency int
	// Caller returns the name of the caller's token, which becomes Request.Caller. Nil means that
	// authentication is disabled.
	Caller func(*http.Request) string
	// Answers is the memory budget for answers, which all transports of a process share. Nil means
	// a private one.
	Answers *answers.Budget
	// Known reports whether a method exists. It is used only for calls with params by position, so
	// that an unknown method gets -32601 instead of -32602. Nil treats every method as known.
	Known func(method string) bool
}

type handler struct {
	helpers     *helpers
	writeWithin time.Duration
	dispatcher  httpapi.Dispatcher
	log         *slog.Logger
	concurrency int
	caller      func(*http.Request) string
	known       func(string) bool
	answers     *answers.Budget
}

// NewHandler serves JSON-RPC 2.0 over POST, at any path. A request whose body is read gets status
// 200, or 204 without a body if no response is wanted. Other requests get 405 (not POST), 415 (not
// a JSON content type), 413 (a body longer than MaxBody), 400 (an incomplete body) or 503 (a long
// body, while too many long ones are being read).
func NewHandler(d httpapi.Dispatcher, opts Options) http.Handler {
	h := &handler{dispatcher: d, log: opts.Log, concurrency: opts.Concurrency, caller: opts.Caller, known: opts.Known, writeWithin: httpapi.WriteWithin, answers: opts.Answers}
	h.helpers = newHelpers(maxHelpers)
	if h.log == nil {
		h.log = slog.Default()
	}
	if h.answers == nil {
		h.answers = answers.NewBudget()
	}
	if h.concurrency <= 0 {
		h.concurrency = defaultConcurrency
	}
	if h.known == nil {
		h.known = func(string) bool { return true }
	}
	return h
}

// exchange is the memory for handling one body, apart from the body, which the Dispatcher may keep.
type exchange struct {
	calls []call
	out   []byte
	long  []insert
}

// insert is a result that is written without copying it, at an offset of out.
type insert struct {
	at     int
	result []byte
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// maxKept is the maximum size of a response whose memory is reused, so that a rare huge one does
// not stay allocated for ever.
const maxKept = 1 << 20

func (x *exchange) release() {
	clear(x.calls)
	x.calls = x.calls[:0]
	x.out = x.out[:0]
	clear(x.long)
	x.long = x.long[:0]
	if cap(x.out) <= maxKept {
		exchanges.Put(x)
	}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	received := time.Now()
	body, refused := httpapi.ReadBody(w, r)
	if refused != nil {
		refuse(w, refused)
		return
	}
	x := exchanges.Get().(*exchange)
	defer x.release()
	request := httpapi.NewRequest(r, h.caller)
	request.Received = received
	room := h.answers.Exchange(1)
	defer room.Release()
	h.answer(r.Context(), x, body, request, room)
	if len(x.out) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	httpapi.WriteResultWithin(w, h.writeWithin, x.parts()...)
}

// refuse writes the response to a request that is rejected before it is parsed. Its body is a
// JSON-RPC response too, for clients that look at nothing else.
func refuse(w http.ResponseWriter, r *httpapi.Refusal) {
	out := appendAnswer(nil, nil, nil, r.Error())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.Status)
	_, _ = w.Write(out)
}
