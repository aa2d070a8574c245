// Package httpapi contains what the coordinator's HTTP transports share: JSON-RPC (internal/rpc),
// plain HTTP (internal/rest) and MCP (internal/mcp). It reads bodies within their limits,
// identifies the caller, runs a call so that its outcome is a result or an error of the API, and
// writes responses.
//
// Only the Dispatcher can fail. A panic, and an error that the API does not define, is logged, and
// the caller gets "Internal error" without internal details.
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

// MaxBody is the maximum size of a body in bytes. A longer one is rejected with status 413.
const MaxBody = 1 << 20

// MaxCause is the maximum length of a cause in bytes, the same as that of an ID that a user
// chooses.
const MaxCause = 256

// Dispatcher runs one call. It must be safe for concurrent use. Its result is JSON and is passed on
// unchanged; an empty result becomes null.
type Dispatcher interface {
	Call(ctx context.Context, req api.Request) (json.RawMessage, *api.Error)
}

// Refusal says why a request was rejected before its body was looked at.
type Refusal struct {
	// Status is the HTTP status: 400, 405, 413, 415 or 503.
	Status int
	// Why is a sentence for the caller.
	Why string
}

// Error returns the refusal as an error of the API.
func (r *Refusal) Error() *api.Error { return api.InvalidRequest("%s", r.Why) }

// ReadBody reads the JSON body of a POST into newly allocated memory. It rejects other methods
// (405), other content types (415), more than MaxBody bytes (413), an incomplete body (400), and a
// long body while too many long ones are being read (503). It sets the headers that belong to a
// refusal.
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, *Refusal) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, &Refusal{http.StatusMethodNotAllowed, "calls must be sent with POST"}
	}
	if why := unfit(r.Header); why != "" {
		return nil, &Refusal{http.StatusUnsupportedMediaType, why}
	}
	body, err := read(r)
	if err == nil {
		return body, nil
	}
	// The rest of the body is not worth reading, so the connection cannot be reused.
	w.Header().Set("Connection", "close")
	if errors.Is(err, errTooLong) {
		return nil, &Refusal{http.StatusRequestEntityTooLarge, "the body must be at most " + strconv.Itoa(MaxBody) + " bytes"}
	}
	if errors.Is(err, errNoRoom) {
		w.Header().Set("Retry-After", "1")
		return nil, &Refusal{http.StatusServiceUnavailable, "too many long bodies are being received; retry after a second"}
	}
	return nil, &Refusal{http.StatusBadRequest, "the body ended early, after " + strconv.Itoa(len(body)) + " bytes"}
}

// Compact checks that a body is one JSON value in UTF-8, at most MaxDepth levels deep, and returns
// it without the white space between tokens. It overwrites body.
func Compact(body []byte) (json.RawMessage, *api.Error) {
	v, err := jsontext.Compact(body)
	if err != nil {
		return nil, Unreadable(err)
	}
	return v, nil
}

// Unreadable returns the API's error for a body that the scanner rejected.
func Unreadable(err *jsontext.Fault) *api.Error {
	if err.TooDeep {
		return api.InvalidRequest("%s", err.Why)
	}
	return api.ParseError(err.Why)
}

// NewRequest returns a Request with what the connection and the headers of r say: caller, address
// and trace. caller may be nil.
func NewRequest(r *http.Request, caller func(*http.Request) string) api.Request {
	request := api.Request{Addr: address(r.RemoteAddr), Trace: traceparent(r.Header)}
	if caller != nil {
		request.Caller = caller(r)
	}
	return request
}

// correlationHeader carries the cause for transports whose bodies have no field for it.
const correlationHeader = "X-Correlation-Id"

// Correlation returns the cause of a request whose body has no field for one: its X-Correlation-Id,
// else a generated ID. It sets the same header on the response, so that the caller can find in the
// log what the call caused.
func Correlation(w http.ResponseWriter, r *http.Request) (string, *Refusal) {
	given := r.Header.Values(correlationHeader)
	var cause string
	switch {
	case len(given) == 0:
		cause = rand.Text()
	case len(given) > 1 || given[0] == "" || len(given[0]) > MaxCause || !utf8.ValidString(given[0]):
		return "", &Refusal{http.StatusBadRequest, correlationHeader + " must be one value of 1 to " + strconv.Itoa(MaxCause) + " bytes in UTF-8"}
	default:
		cause = given[0]
	}
	w.Header().Set(correlationHeader, cause)
	return cause, nil
}

// Run runs one call. It logs a panic and returns "Internal error" without internal details.
func Run(ctx context.Context, d Dispatcher, log *slog.Logger, request api.Request) (result json.RawMessage, failed *api.Error) {
	defer func() {
		if fault := recover(); fault != nil {
			log.ErrorContext(ctx, "a call panicked and returned Internal error; please report it with the stack",
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

// WriteWithin is how long a caller may take to read its response.
const WriteWithin = 30 * time.Second

// beginWriting gives the caller its time to read, starting now. The server's WriteTimeout starts
// with the request, and a flush may take longer than that.
func beginWriting(w http.ResponseWriter, within time.Duration) {
	// A ResponseWriter without deadlines has no timeout either.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(within))
}

// Late returns a ResponseWriter that gives the caller its time to read from the moment at which the
// response begins. It is for handlers that write responses by themselves.
func Late(w http.ResponseWriter) http.ResponseWriter { return &late{ResponseWriter: w} }

type late struct {
	http.ResponseWriter
	begun bool
}

func (w *late) begin() {
	if !w.begun {
		w.begun = true
		beginWriting(w.ResponseWriter, WriteWithin)
	}
}

func (w *late) WriteHeader(status int) {
	w.begin()
	w.ResponseWriter.WriteHeader(status)
}

func (w *late) Write(text []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(text)
}

// Unwrap serves http.ResponseController.
func (w *late) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteResult writes status 200 and a result, which is JSON, unchanged.
func WriteResult(w http.ResponseWriter, result []byte) { WriteResultWithin(w, WriteWithin, result) }

// WriteResultWithin is like WriteResult with its own time limit for the caller to read the
// response. The result may be in parts, so that long ones need not be copied together.
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
			return // the caller has hung up; nobody needs to know
		}
	}
}

// WriteError writes a status and {"error":{code,message,data}}.
func WriteError(w http.ResponseWriter, status int, failed *api.Error) {
	out := append(AppendError([]byte(`{"error":`), failed), '}')
	beginWriting(w, WriteWithin)
	w.Header()["Content-Type"] = contentType
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

// contentType is a header value as net/http stores it. It is shared, because nobody modifies it.
var contentType = []string{"application/json"}

// unfit returns what is wrong with a body's content type, or "" if it is JSON: application/json or
// application/…+json, in UTF-8.
func unfit(head http.Header) string {
	if coding := head.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return "the body must not have a Content-Encoding"
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

// firstRead is the memory allocated for a body that announces to be long. More is reserved from
// longBodies as the body arrives.
const firstRead = 64 << 10

// read reads the body into newly allocated memory, because the Dispatcher may keep parts of it. Its
// reservation in longBodies is released at the end of the request.
func read(r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxBody {
		return nil, errTooLong
	}
	return readAll(r.Context(), r.Body, r.ContentLength)
}

// ReadMessage reads a message of a connection that carries many, within the limits of a body and of
// all bodies together. It returns why the message was rejected, "" if it was not; the rest of the
// message is then not read. The memory counts until ctx ends.
func ReadMessage(ctx context.Context, message io.Reader) (body []byte, why string, err error) {
	switch body, err = readAll(ctx, message, -1); {
	case errors.Is(err, errTooLong):
		return nil, "a message must be at most " + strconv.Itoa(MaxBody) + " bytes", nil
	case errors.Is(err, errNoRoom):
		return nil, "too many long messages are being received; retry after a second", nil
	}
	return body, "", err
}

func readAll(ctx context.Context, from io.Reader, length int64) ([]byte, error) {
	size := 1024
	if length >= 0 {
		// One more byte detects the end without growing.
		size = min(int(length)+1, firstRead)
	}
	body := make([]byte, 0, size)
	long := reservation{from: longBodies, ctx: ctx}
	for {
		n, err := from.Read(body[len(body):cap(body)])
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
			// Doubled each time. For a moment the old and the new buffer count for the caller.
			if room := min(2*cap(body), MaxBody+1); room <= firstRead || long.grow(room-firstRead) {
				body = append(make([]byte, 0, room), body...)
			} else {
				return body, errNoRoom
			}
		}
	}
}

// address returns the address of the peer without its port. It ignores the headers of proxies,
// because anybody can send them.
func address(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return ""
	}
	return host
}

// AppendError appends an error as {code, message, data}.
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
		// Data that cannot be encoded is omitted. The code and the message still say what happened.
		if data, err := jsontext.Marshal(failed.Data); err == nil {
			out = append(out, `,"data":`...)
			out = append(out, data...)
		}
	}
	return append(out, '}')
}
