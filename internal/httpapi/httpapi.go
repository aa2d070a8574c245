// Package httpapi is what the coordinator's HTTP transports share: JSON-RPC (internal/rpc), plain
// HTTP (internal/rest) and MCP (internal/mcp). It reads bodies within their limits, says who calls,
// runs one call so that what comes of it is a result or an error of the API, and writes answers.
//
// It has no dependency that can fail but the Dispatcher. An error that the API does not have, and a
// panic, is logged and answered "Internal error" with no inner detail.
package httpapi

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
	"github.com/claudebench/claudebench/internal/jsontext"
)

// MaxBody is how many bytes a body may have; a longer one is refused with status 413.
const MaxBody = 1 << 20

// MaxCause is how many bytes a cause may have, the same as an id that a user chooses.
const MaxCause = 256

// Dispatcher runs one call. It is called from many goroutines at once. Its result is JSON and is
// answered unchanged (nothing at all is answered as null).
type Dispatcher interface {
	Call(ctx context.Context, req api.Request) (json.RawMessage, *api.Error)
}

// Refusal says why a request was refused before anything in its body was looked at.
type Refusal struct {
	// Status is the HTTP status: 400, 405, 413, 415 or 503.
	Status int
	// Why is a sentence for the caller.
	Why string
}

// Error is the refusal as the API's error.
func (r *Refusal) Error() *api.Error { return api.InvalidRequest("%s", r.Why) }

// ReadBody reads the JSON body of a POST into memory of its own. It refuses other methods (405),
// other types (415), more than MaxBody bytes (413), a body that broke off (400), and a long one
// while too many long ones are under way (503), and has then set the headers that go with the
// refusal.
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

// Compact checks that a body is one JSON value in UTF-8, at most MaxDepth levels deep, and returns
// it without the white space between tokens. It works in the body's own memory.
func Compact(body []byte) (json.RawMessage, *api.Error) {
	v, err := jsontext.Compact(body)
	if err != nil {
		return nil, Unreadable(err)
	}
	return v, nil
}

// Unreadable is the API's error for a body that the scanner did not accept.
func Unreadable(err *jsontext.ScanError) *api.Error {
	if err.TooDeep {
		return api.InvalidRequest("%s", err.Why)
	}
	return api.ParseError(err.Why)
}

// NewRequest has what a request's connection and headers say of its calls: caller, address and
// trace. caller may be nil.
func NewRequest(r *http.Request, caller func(*http.Request) string) api.Request {
	request := api.Request{Addr: address(r.RemoteAddr), Trace: traceparent(r.Header)}
	if caller != nil {
		request.Caller = caller(r)
	}
	return request
}

// correlationHeader tells the cause where the body has no place for it.
const correlationHeader = "X-Correlation-Id"

// Correlation is the cause of a request whose body has no place for one: its X-Correlation-Id, else
// an id made here. The answer carries it in the same header, so that the caller can find in the log
// what the call has caused.
func Correlation(w http.ResponseWriter, r *http.Request) (string, *Refusal) {
	given := r.Header.Values(correlationHeader)
	var cause string
	switch {
	case len(given) == 0:
		cause = rand.Text()
	case len(given) > 1 || given[0] == "" || len(given[0]) > MaxCause || !utf8.ValidString(given[0]):
		return "", &Refusal{http.StatusBadRequest, correlationHeader + " must be one text of 1 to " + strconv.Itoa(MaxCause) + " bytes in UTF-8"}
	default:
		cause = given[0]
	}
	w.Header().Set(correlationHeader, cause)
	return cause, nil
}

// Run runs one call. A panic is logged and becomes "Internal error" with nothing of the inside.
func Run(ctx context.Context, d Dispatcher, log *slog.Logger, request api.Request) (result json.RawMessage, failed *api.Error) {
	defer func() {
		if fault := recover(); fault != nil {
			log.ErrorContext(ctx, "a call panicked and was answered Internal error; please report this with the stack",
				"method", request.Method, "panic", fault, "stack", string(debug.Stack()))
			result, failed = nil, api.Internal("")
		}
	}()
	result, failed = d.Call(ctx, request)
	if failed == nil && len(result) == 0 {
		result = json.RawMessage("null")
	}
	return result, failed
}

// WriteWithin is how long a caller may take to read its answer.
const WriteWithin = 30 * time.Second

// beginWriting returns the caller its time from now on. The server's WriteTimeout runs from the
// beginning of the request, and a flush may take longer than that.
func beginWriting(w http.ResponseWriter, within time.Duration) {
	// One that cannot do it has no timeout that would cut the answer off.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(within))
}

// WriteResult returns 200 with a result, which is JSON, as it is.
func WriteResult(w http.ResponseWriter, result []byte) { WriteResultWithin(w, WriteWithin, result) }

// WriteResultWithin is WriteResult with a time limit of its own for the caller to read the answer,
// which may come in parts, so that long ones need not be copied together.
func WriteResultWithin(w http.ResponseWriter, within time.Duration, parts ...[]byte) {
	beginWriting(w, within)
	length := 0
	for _, part := range parts {
		length += len(part)
	}
	head := w.Header()
	head["Content-Type"] = contentType
	head["Content-Length"] = []string{strconv.Itoa(length)}
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return // a caller that is gone before its answer is no concern of ours
		}
	}
}

// WriteError returns a status with {"error":{code,message,data}}.
func WriteError(w http.ResponseWriter, status int, failed *api.Error) {
	out := append(AppendError([]byte(`{"error":`), failed), '}')
	beginWriting(w, WriteWithin)
	w.Header()["Content-Type"] = contentType
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

// A header's value as net/http wants it; made once, since nobody changes it.
var contentType = []string{"application/json"}

// unfit says what is wrong with a body's type, "" if it is JSON: application/json or
// application/…+json, in UTF-8.
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

// firstRead is how much memory a caller gets for having announced a long body; more comes as it
// sends it, out of longBodies.
const firstRead = 64 << 10

// read reads the body into memory of its own: the Dispatcher may keep parts of it. What it takes of
// longBodies is given back when the request is over.
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
	long := reservation{from: longBodies, ctx: r.Context()}
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
			if room := min(2*cap(body), MaxBody+1); room <= firstRead || long.grow(room-firstRead) {
				body = append(make([]byte, 0, room), body...)
			} else {
				return body, errNoRoom
			}
		}
	}
}

// address is a peer's address without its port. Headers that proxies set are not believed: anybody
// can send them.
func address(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return ""
	}
	return host
}

// AppendError writes an error as {code, message, data}.
func AppendError(out []byte, failed *api.Error) []byte {
	out = append(out, `{"code":`...)
	out = strconv.AppendInt(out, int64(failed.Code), 10)
	out = append(out, `,"message":`...)
	message, err := jsontext.Marshal(failed.Message)
	if err != nil {
		message = []byte(`"Internal error"`)
	}
	out = append(out, message...)
	if failed.Data != nil {
		// Data that cannot be written as JSON is left out: the code and the message still say what
		// happened.
		if data, err := jsontext.Marshal(failed.Data); err == nil {
			out = append(out, `,"data":`...)
			out = append(out, data...)
		}
	}
	return append(out, '}')
}
