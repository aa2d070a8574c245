package rpc

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/claudebench/claudebench/internal/api"
)

// What is in this file serves every transport: JSON-RPC here, internal/rest, and internal/mcp.

// Refusal says why a request was refused before anything in its body was looked at.
type Refusal struct {
	// Status is the HTTP status: 400, 405, 413, 415 or 503.
	Status int
	// Why is a sentence for the caller.
	Why string
}

// Error is the refusal as the API's error.
func (r *Refusal) Error() *api.Error { return invalidRequest("%s", r.Why) }

// ReadBody reads the JSON body of a POST into memory of its own. It refuses other methods (405), other types (415),
// more than MaxBody bytes (413), a body that broke off (400), and a long one while too many long ones are under way (503),
// and has then set the headers that go with the refusal.
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, *Refusal) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, &Refusal{http.StatusMethodNotAllowed, "calls are sent by POST"}
	}
	if why := unfit(r.Header); why != "" {
		return nil, &Refusal{http.StatusUnsupportedMediaType, why}
	}
	body, err := read(r)
	if err == nil {
		return body, nil
	}
	// What is left of the body is not worth reading, so the connection cannot be used again.
	w.Header().Set("Connection", "close")
	if errors.Is(err, errTooLong) {
		return nil, &Refusal{http.StatusRequestEntityTooLarge, "a body has at most " + strconv.Itoa(MaxBody) + " bytes"}
	}
	if errors.Is(err, errNoRoom) {
		w.Header().Set("Retry-After", "1")
		return nil, &Refusal{http.StatusServiceUnavailable, "too many long bodies are under way; send it again in a moment"}
	}
	return nil, &Refusal{http.StatusBadRequest, "the body broke off after " + strconv.Itoa(len(body)) + " bytes"}
}

// Compact checks that a body is one JSON value in UTF-8, at most MaxDepth levels deep, and gives it without the
// white space between tokens. It works in the body's own memory.
func Compact(body []byte) (json.RawMessage, *api.Error) {
	s := newScanner(body)
	if s.err != nil {
		return nil, s.err
	}
	v, ok := s.spanned()
	if !ok || !s.finish() {
		return nil, s.err
	}
	return s.at(v), nil
}

// NewRequest has what a request's connection and headers say of its calls: caller, address and trace. caller may be nil.
func NewRequest(r *http.Request, caller func(*http.Request) string) api.Request {
	request := api.Request{Addr: address(r.RemoteAddr), Trace: traceparent(r.Header)}
	if caller != nil {
		request.Caller = caller(r)
	}
	return request
}

// correlationHeader tells the cause where the body has no place for it.
const correlationHeader = "X-Correlation-Id"

// Correlation is the cause of a request whose body has no place for one: its X-Correlation-Id, else an id made here.
// The answer carries it in the same header, so that the caller can find in the log what the call has caused.
func Correlation(w http.ResponseWriter, r *http.Request) (string, *Refusal) {
	given := r.Header.Values(correlationHeader)
	var cause string
	switch {
	case len(given) == 0:
		cause = rand.Text()
	case len(given) > 1 || given[0] == "" || len(given[0]) > maxCause || !utf8.ValidString(given[0]):
		return "", &Refusal{http.StatusBadRequest, correlationHeader + " must be one text of 1 to " + strconv.Itoa(maxCause) + " bytes in UTF-8"}
	default:
		cause = given[0]
	}
	w.Header().Set(correlationHeader, cause)
	return cause, nil
}

// Run runs one call and sees to it that what comes of it is a result or an error that the API has: another error, and
// a panic, is logged and becomes "Internal error" with nothing of the inside.
func Run(ctx context.Context, d Dispatcher, log *slog.Logger, request api.Request) (result json.RawMessage, failed *api.Error) {
	defer func() {
		if fault := recover(); fault != nil {
			log.ErrorContext(ctx, "a call panicked and was answered Internal error; please report this with the stack",
				"method", request.Method, "panic", fault, "stack", string(debug.Stack()))
			result, failed = nil, api.Internal("")
		}
	}()
	result, err := d.Call(ctx, request)
	if err != nil {
		return nil, typed(ctx, log, request.Method, err)
	}
	if len(result) == 0 {
		result = null
	}
	return result, nil
}

// typed makes sure that an error is one the API has.
func typed(ctx context.Context, log *slog.Logger, method string, err error) *api.Error {
	var refused *api.Error
	if errors.As(err, &refused) && refused != nil {
		return refused
	}
	if ctx.Err() == nil {
		log.ErrorContext(ctx, "a call failed unexpectedly and was answered Internal error", "method", method, "error", err)
	}
	return api.Internal("")
}

// writeWithin is how long a caller may take to read its answer.
const writeWithin = 30 * time.Second

// beginWriting gives the caller its time from now on. The server's WriteTimeout runs from the beginning of the
// request, and a flush may take longer than that.
func beginWriting(w http.ResponseWriter, within time.Duration) {
	// One that cannot do it has no timeout that would cut the answer off.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(within))
}

// WriteResult answers 200 with a result, which is JSON, as it is.
func WriteResult(w http.ResponseWriter, result []byte) { writeResult(w, result, writeWithin) }

func writeResult(w http.ResponseWriter, result []byte, within time.Duration) {
	beginWriting(w, within)
	head := w.Header()
	head["Content-Type"] = contentType
	head["Content-Length"] = []string{strconv.Itoa(len(result))}
	// A caller that is gone before its answer is no concern of ours.
	_, _ = w.Write(result)
}

// WriteError answers a status with {"error":{code,message,data}}.
func WriteError(w http.ResponseWriter, status int, failed *api.Error) {
	out := append(AppendError([]byte(`{"error":`), failed), '}')
	beginWriting(w, writeWithin)
	w.Header()["Content-Type"] = contentType
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

// A header's value as net/http wants it; made once, since nobody changes it.
var contentType = []string{"application/json"}

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

// firstRead is how much memory a caller gets for having announced a long body; more comes as it sends it, out of longBodies.
const firstRead = 64 << 10

// read reads the body into memory of its own: the Dispatcher may keep parts of it. What it takes of longBodies is given
// back when the request is over.
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
	long := longBodies.reserve(r.Context())
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
			// Twice as long each time: the two together are what the caller takes, for a moment.
			if room := min(2*cap(body), MaxBody+1); room <= firstRead || long.take(room-firstRead) {
				body = append(make([]byte, 0, room), body...)
			} else {
				return body, errNoRoom
			}
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
