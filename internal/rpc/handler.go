package rpc

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// MaxCalls is how many calls a batch may have.
const MaxCalls = 1000

// defaultConcurrency lets a batch of 100 run at once, and one of 1,000 fill a pipeline to Redis
// four times over.
const defaultConcurrency = 256

// Options of a handler; the zero value serves.
type Options struct {
	// Log gets what goes wrong inside; nil is slog.Default().
	Log *slog.Logger
	// Concurrency is how many calls of one batch run at once; 0 is 256.
	Concurrency int
	// Caller returns the name of the caller's token, which becomes Request.Caller; nil where there
	// are no tokens.
	Caller func(*http.Request) string
	// Answers is the room for answers that the transports of a process share; nil is one of its
	// own.
	Answers *answers.Budget
	// Known reports whether there is such a method. It is asked only about a call with params by
	// position, so that one of an unknown method is answered -32601 and not -32602; nil takes every
	// method for known.
	Known func(method string) bool
}

type handler struct {
	helpers     *semaphore.Weighted
	writeWithin time.Duration
	dispatcher  httpapi.Dispatcher
	log         *slog.Logger
	concurrency int
	caller      func(*http.Request) string
	known       func(string) bool
	answers     *answers.Budget
}

// NewHandler serves JSON-RPC 2.0 by POST on whatever path it is put. A request that gets as far as
// being read as JSON is answered with status 200, or 204 with no body when there is nothing to
// answer; before that with 405 (not POST), 415 (not a JSON content type), 413 (a body longer than
// MaxBody), 400 (a body that broke off) or 503 (a long body, while too many long ones are under
// way).
func NewHandler(d httpapi.Dispatcher, opts Options) http.Handler {
	h := &handler{dispatcher: d, log: opts.Log, concurrency: opts.Concurrency, caller: opts.Caller, known: opts.Known, writeWithin: httpapi.WriteWithin, answers: opts.Answers}
	h.helpers = semaphore.NewWeighted(maxHelpers)
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

// exchange is the memory that one body needs, apart from the body, which the Dispatcher may keep.
type exchange struct {
	calls []call
	out   []byte
	long  []insert
}

// insert is a result that is written from where it lies, at an offset of out.
type insert struct {
	at     int
	result []byte
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// maxKept is the longest answer whose memory is kept for the next one: a rare huge one must not
// stay for ever.
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

// refuse returns what is refused before it is read. The body is a JSON-RPC answer as well, so that
// a client that looks at nothing else finds what it expects.
func refuse(w http.ResponseWriter, r *httpapi.Refusal) {
	out := appendAnswer(nil, nil, nil, r.Error())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.Status)
	_, _ = w.Write(out)
}
