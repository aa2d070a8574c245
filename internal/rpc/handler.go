package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claudebench/claudebench/commands"
)

// The limits of a body.
const (
	// MaxBody is how many bytes a body may have; a longer one is refused with status 413.
	MaxBody = 1 << 20
	// MaxCalls is how many calls a batch may have.
	MaxCalls = 1000
	// MaxDepth is how deep arrays and objects may lie inside each other, the body itself counted.
	MaxDepth = 64
)

// defaultConcurrency lets a batch of 100 run at once, and one of 1,000 fill a pipeline to Redis four times over.
const defaultConcurrency = 256

// Dispatcher runs one call. It is called from many goroutines at once. Its result is JSON and is answered
// unchanged (nothing at all is answered as null); an error that is a *commands.Error is answered as it is.
type Dispatcher interface {
	Call(ctx context.Context, req commands.Request) (json.RawMessage, error)
}

// Options of a handler; the zero value serves.
type Options struct {
	// Log gets what goes wrong inside; nil is slog.Default().
	Log *slog.Logger
	// Concurrency is how many calls of one batch run at once; 0 is 256.
	Concurrency int
	// Caller gives the name of the caller's token, which becomes Request.Caller; nil where there are no tokens.
	Caller func(*http.Request) string
	// Known says whether there is such a method. It is asked only about a call with params by position, so that one of
	// an unknown method is answered -32601 and not -32602; nil takes every method for known.
	Known func(method string) bool
}

type handler struct {
	dispatcher  Dispatcher
	log         *slog.Logger
	concurrency int
	caller      func(*http.Request) string
	known       func(string) bool
}

// NewHandler serves JSON-RPC 2.0 by POST on whatever path it is put. A request that gets as far as being read as
// JSON is answered with status 200, or 204 with no body when there is nothing to answer; before that
// with 405 (not POST), 415 (not a JSON content type), 413 (a body longer than MaxBody) or 400 (a body that broke off).
func NewHandler(d Dispatcher, opts Options) http.Handler {
	h := &handler{dispatcher: d, log: opts.Log, concurrency: opts.Concurrency, caller: opts.Caller, known: opts.Known}
	if h.log == nil {
		h.log = slog.Default()
	}
	if h.concurrency <= 0 {
		h.concurrency = defaultConcurrency
	}
	if h.caller == nil {
		h.caller = func(*http.Request) string { return "" }
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
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// maxKept is the longest answer whose memory is kept for the next one: a rare huge one must not stay for ever.
const maxKept = 1 << 20

func (x *exchange) release() {
	clear(x.calls)
	x.calls = x.calls[:0]
	x.out = x.out[:0]
	if cap(x.out) <= maxKept {
		exchanges.Put(x)
	}
}

// A header's value as net/http wants it; made once, since nobody changes it.
var contentType = []string{"application/json"}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	received := time.Now()
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "JSON-RPC is sent by POST")
		return
	}
	if why := unfit(r.Header); why != "" {
		refuse(w, http.StatusUnsupportedMediaType, why)
		return
	}
	body, err := read(r)
	if errors.Is(err, errTooLong) {
		// What is left of the body is not worth reading, so the connection cannot be used again.
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusRequestEntityTooLarge, "a body has at most "+strconv.Itoa(MaxBody)+" bytes")
		return
	}
	if err != nil {
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusBadRequest, "the body broke off after "+strconv.Itoa(len(body))+" bytes")
		return
	}
	x := exchanges.Get().(*exchange)
	defer x.release()
	h.answer(r.Context(), x, body, commands.Request{Caller: h.caller(r), Addr: address(r.RemoteAddr), Trace: traceparent(r.Header), Received: received})
	if len(x.out) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	head := w.Header()
	head["Content-Type"] = contentType
	head["Content-Length"] = []string{strconv.Itoa(len(x.out))}
	// A caller that is gone before its answer is no concern of ours.
	_, _ = w.Write(x.out)
}

// refuse answers what is refused before it is read. The body is a JSON-RPC answer as well, so that a client
// that looks at nothing else finds what it expects.
func refuse(w http.ResponseWriter, status int, why string) {
	out := appendAnswer(nil, nil, nil, invalidRequest("%s", why))
	w.Header()["Content-Type"] = contentType
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

// unfit says what is wrong with a body's type, "" if it is JSON: application/json or application/…+json, in UTF-8.
func unfit(head http.Header) string {
	if coding := head.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return "a body is sent without Content-Encoding"
	}
	given := head.Get("Content-Type")
	if given == "application/json" {
		return ""
	}
	kind, params, err := mime.ParseMediaType(given)
	if err != nil || (kind != "application/json" && !(strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json"))) {
		return "the Content-Type must be application/json"
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
		return "the charset must be utf-8"
	}
	return ""
}

var errTooLong = errors.New("the body is too long")

// firstRead is how much memory a caller gets for having announced a long body; more comes as it sends it.
const firstRead = 64 << 10

// read reads the body into memory of its own: the Dispatcher may keep parts of it.
func read(r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxBody {
		return nil, errTooLong
	}
	size := 1024
	if r.ContentLength >= 0 {
		// One byte more, so that the end is seen without growing.
		size = min(int(r.ContentLength)+1, firstRead)
	}
	body := make([]byte, 0, size)
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if len(body) > MaxBody {
			return body, errTooLong
		}
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return body, err
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

// address is a peer's address without its port. Headers that proxies set are not believed: anybody can send them.
func address(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return ""
	}
	return host
}
