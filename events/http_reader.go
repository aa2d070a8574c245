package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// connectTime is how long a coordinator may take to begin its answer.
	connectTime = 10 * time.Second
	// maxRefusal bounds what is read of an answer that is no stream.
	maxRefusal = 64 << 10
)

// HTTPReaderConfig configures an [HTTPReader]. The zero value is valid.
type HTTPReaderConfig struct {
	// Types is a list for [ParseFilter], "" for all. Task and Instance are the ids of a task and of
	// an instance, see [Subjects]. The coordinator sends only the events that match all of them.
	Types, Task, Instance string
	// From and To are the bounds of the events, inclusive, for a reader that reads a part of the log.
	// From is where Read begins if it is called with the zero ID; the zero From is the first event
	// kept. Behind To, Read returns [ErrEnd]; the zero To is no bound. Neither must be the ID of an
	// event: {MS: a} and {MS: b, Seq: math.MaxInt64} bound a time. The coordinator must know the
	// parameters from and to.
	From, To  ID
	BatchSize int // the most entries in a batch, default 1000
	// Client makes the requests, for example a *http.Client. It must have no timeout for a whole
	// answer, because a stream does not end. The default is [http.DefaultClient].
	Client HTTPClient
}

// HTTPClient makes HTTP requests.
type HTTPClient interface {
	Do(request *http.Request) (*http.Response, error)
}

// HTTPReader reads the log from a coordinator, by server-sent events at /events. It needs no Redis.
// It reads one stream, so it serves one caller at a time. Close ends the stream.
type HTTPReader struct {
	url, token string
	query      url.Values
	config     HTTPReaderConfig

	mu     sync.Mutex // held by Read, Last and Close
	stream *httpStream
}

var _ BatchReader = (*HTTPReader)(nil)

// ErrEnd is the error of [HTTPReader.Read] behind [HTTPReaderConfig.To].
var ErrEnd = errors.New("the part of the log ends here")

// StatusError is the answer of a coordinator that refuses a stream.
type StatusError struct {
	Status  int    // of HTTP
	Message string // what to do about it
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the coordinator refuses the stream: %d %s: %s", e.Status, http.StatusText(e.Status), e.Message)
}

// Permanent reports whether the same request will be refused again: the token is wrong, a value is
// invalid, or the address is not that of a coordinator with streams.
func (e *StatusError) Permanent() bool {
	return e.Status < 500 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout
}

// NewHTTPReader returns a reader of the log of the coordinator at an address, such as
// http://127.0.0.1:3000. token is "" for a coordinator without an auth file. It makes no request.
func NewHTTPReader(coordinator, token string, config HTTPReaderConfig) (*HTTPReader, error) {
	u, err := url.Parse(strings.TrimSpace(coordinator))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("new event reader: %q is not the address of a coordinator; it looks like http://127.0.0.1:3000", coordinator)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("new event reader: the token contains white space or characters outside of ASCII")
	}
	if config.BatchSize < 0 {
		return nil, fmt.Errorf("new event reader: batch size %d is negative", config.BatchSize)
	}
	if config.BatchSize == 0 {
		config.BatchSize = 1000
	}
	query := url.Values{}
	for _, v := range []struct{ name, value string }{{"types", config.Types}, {"task", config.Task}, {"instance", config.Instance}} {
		if v.value != "" {
			query.Set(v.name, v.value)
		}
	}
	if config.Types != "" {
		if _, err := ParseFilter(config.Types); err != nil {
			return nil, fmt.Errorf("new event reader: %w", err)
		}
	}
	if config.Client == nil {
		config.Client = http.DefaultClient
	}
	u.Path = strings.TrimRight(u.Path, "/") + "/events"
	return &HTTPReader{url: u.String(), query: query, token: token, config: config}, nil
}

// Read returns events after the given one, as [Reader.Read] does. It leaves out those that the
// configuration does not select. Batch.Last also counts these, and a batch that only moves it has no
// entries.
//
// It continues the stream if the last batch ended at after, and else opens another one. When the
// stream breaks, the error is not that of a broken log, and calling again with the same ID is safe.
// With [HTTPReaderConfig.To], [ErrEnd] says that there are no more events.
// A [*StatusError] says that the coordinator refused.
func (r *HTTPReader) Read(ctx context.Context, after ID) (Batch, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stream == nil || r.stream.position != after {
		r.drop()
		if err := r.open(ctx, r.start(after)); err != nil {
			return Batch{}, err
		}
		r.stream.position = after
	}
	batch, err := r.stream.read(ctx, r.config.BatchSize)
	if err != nil && ctx.Err() == nil {
		r.drop()
	}
	return batch, err
}

// Last returns the ID of the log's last event. The next Read after it continues the same stream, so
// it misses nothing that happens after Last was called.
func (r *HTTPReader) Last(ctx context.Context) (ID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop()
	if err := r.open(ctx, start{}); err != nil {
		return ID{}, err
	}
	if err := r.stream.locate(ctx); err != nil {
		r.drop()
		return ID{}, err
	}
	return r.stream.position, nil
}

// Close ends the stream. The next Read opens another one.
func (r *HTTPReader) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop()
}

func (r *HTTPReader) drop() {
	if r.stream != nil {
		r.stream.close()
		r.stream = nil
	}
}

// text returns the ID as the parameter after of a stream.
func (id ID) text() string {
	if id.IsZero() {
		return "0"
	}
	return id.String()
}

// start is where a stream starts: the parameters of the request, and the header Last-Event-ID.
type start struct {
	query url.Values
	after string // "" for none
}

// start returns the start of a stream behind an event.
func (r *HTTPReader) start(after ID) start {
	s := start{url.Values{}, after.text()}
	if after.IsZero() && !r.config.From.IsZero() {
		s.after = ""
		s.query.Set("from", r.config.From.String())
	}
	if !r.config.To.IsZero() {
		s.query.Set("to", r.config.To.String())
	}
	return s
}

// open requests a stream. It ends the request when ctx ends before the answer has begun.
func (r *HTTPReader) open(ctx context.Context, at start) error {
	streaming, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, cancel)
	late := time.AfterFunc(connectTime, cancel)
	response, err := r.request(streaming, at)
	inTime, wanted := late.Stop(), unhook()
	if err == nil && !(inTime && wanted) {
		_ = response.Body.Close()
		err = context.Canceled
	}
	switch {
	case err == nil:
	case !wanted:
		cancel()
		return ctx.Err()
	case !inTime:
		cancel()
		return fmt.Errorf("follow the log: the coordinator did not answer within %s", connectTime)
	default:
		cancel()
		return fmt.Errorf("follow the log: %w", err)
	}
	r.stream = newHTTPStream(response.Body, cancel)
	return nil
}

func (r *HTTPReader) request(ctx context.Context, at start) (*http.Response, error) {
	query := maps.Clone(r.query)
	maps.Copy(query, at.query)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/event-stream")
	if at.after != "" {
		request.Header.Set("Last-Event-ID", at.after)
	}
	if r.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.token)
	}
	response, err := r.config.Client.Do(request)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if response.StatusCode == http.StatusOK && kind == "text/event-stream" {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	return nil, refusal(response.StatusCode, text)
}

// refusal is the error for an answer that is no stream.
func refusal(status int, body []byte) error {
	var answer struct {
		Error struct {
			Message string
			Data    any
		}
	}
	e := &StatusError{Status: status, Message: "the answer is not that of a coordinator with event streams; check the address"}
	if json.Unmarshal(body, &answer) == nil && answer.Error.Message != "" {
		e.Message = answer.Error.Message
		if detail, ok := answer.Error.Data.(string); ok {
			e.Message += ": " + detail
		}
	}
	return e
}
