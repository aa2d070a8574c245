// Package eventsource serves the event log as Server-Sent Events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html). internal/server serves its
// handler at /events. docs/events.md describes the protocol.
//
// The events come from internal/stream. While Redis is unavailable, a new stream gets status 503,
// and an existing one stays open with heartbeats and goes on afterwards.
package eventsource

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/cloudevents"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/stream"
)

// Path is where the server serves the handler.
const Path = "/events"

const (
	// heartbeat is how long the stream may be silent.
	heartbeat = 15 * time.Second
	// writeWithin is how long one write may be blocked.
	writeWithin = 30 * time.Second
	// lastWords is how long a write may be blocked once the stream is to end.
	lastWords = time.Second
)

// Options configure a handler.
type Options struct {
	Hub *stream.Hub
	// Still reports whether the token of a request is still valid. Nil means that authentication is
	// disabled.
	Still func(*http.Request) bool
	// Source is the source of CloudEvents.
	Source string
	// Heartbeat and WriteWithin replace the constants in tests.
	Heartbeat, WriteWithin time.Duration
}

type handler struct{ Options }

// NewHandler serves streams of events by GET.
func NewHandler(o Options) http.Handler {
	if o.Heartbeat == 0 {
		o.Heartbeat = heartbeat
	}
	if o.WriteWithin == 0 {
		o.WriteWithin = writeWithin
	}
	return &handler{o}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		httpapi.WriteError(w, http.StatusMethodNotAllowed, api.InvalidRequest("%s accepts GET, not %s", Path, r.Method))
		return
	}
	asked, err := parse(r)
	if err != nil {
		httpapi.WriteError(w, http.StatusBadRequest, api.InvalidParams(err.Error()))
		return
	}
	head := w.Header()
	if r.Method == http.MethodHead {
		setHead(head)
		w.WriteHeader(http.StatusOK)
		return
	}
	out := &writer{w: w, control: http.NewResponseController(w), within: h.WriteWithin}
	var valid func() bool
	if h.Still != nil {
		valid = func() bool { return h.Still(r) }
	}
	client, err := h.Hub.Connect(stream.SSE, valid, out.hurry)
	if err != nil {
		unavailable(w, api.Internal(err.Error()))
		return
	}
	defer client.Close()
	sub, err := client.Subscribe(r.Context(), asked.query)
	if err != nil {
		unavailable(w, api.Internal(api.RedisUnavailable))
		return
	}
	defer sub.Close()
	setHead(head)
	// The server's timeouts are for requests and for ordinary responses.
	_ = out.control.SetReadDeadline(time.Time{})
	h.serve(r, out, client, sub, asked.format)
}

func setHead(head http.Header) {
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no") // nginx would collect the events
}

// unavailable rejects a stream that may be possible soon.
func unavailable(w http.ResponseWriter, err *api.Error) {
	w.Header().Set("Retry-After", "1")
	httpapi.WriteError(w, http.StatusServiceUnavailable, err)
}

// serve writes a stream until it ends.
func (h *handler) serve(r *http.Request, out *writer, client *stream.Client, sub *stream.Subscription, f format) {
	ctx := r.Context()
	if out.write(appendPreface(nil, sub.Position())) != nil {
		return
	}
	idle := time.NewTimer(h.Heartbeat)
	defer idle.Stop()
	frames := frames{format: f, source: h.Source}
	for {
		step, err := sub.Next(ctx, idle.C)
		switch {
		case err == nil && len(step.Parts) == 0:
			err = out.write(appendHeartbeat(nil, step.Position))
		case err == nil:
			err = frames.write(out, step.Parts)
		default:
			var end *stream.EndError
			if errors.As(err, &end) {
				_ = out.write(appendEnd(nil, end))
			}
			return
		}
		if err != nil {
			if out.late(err) { // net/http has ended ctx too
				client.Stalled()
			}
			return
		}
		idle.Reset(h.Heartbeat)
	}
}

// writer writes to the connection. Each write has its own time limit.
type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	within  time.Duration

	mu      sync.Mutex
	hurried bool
}

// write writes and sends.
func (w *writer) write(p []byte) error {
	w.mu.Lock()
	within := w.within
	if w.hurried {
		within = min(within, lastWords)
	}
	// A ResponseWriter without deadlines has no timeout either.
	_ = w.control.SetWriteDeadline(time.Now().Add(within))
	w.mu.Unlock()
	if _, err := w.w.Write(p); err != nil {
		return err
	}
	return w.control.Flush()
}

// hurry shortens the time limit of the current write and of those that follow.
func (w *writer) hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hurried = true
	_ = w.control.SetWriteDeadline(time.Now().Add(min(w.within, lastWords)))
}

// late reports whether a write failed because its time was over.
func (w *writer) late(err error) bool {
	var timeout interface{ Timeout() bool }
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.hurried && errors.As(err, &timeout) && timeout.Timeout()
}

// buffers are reused, because most streams are idle most of the time.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const (
	// maxBuffer is the size from which frames are written.
	maxBuffer = 32 << 10
	// maxKept is the size up to which a buffer is reused.
	maxKept = 64 << 10
)

// frames writes the frames of one stream.
type frames struct {
	format format
	source string
}

// write writes parts, as many as fit into a buffer at once.
func (f *frames) write(out *writer, parts []stream.Part) error {
	buffer, _ := buffers.Get().(*[]byte)
	text := (*buffer)[:0]
	defer func() {
		if cap(text) <= maxKept {
			*buffer = text
			buffers.Put(buffer)
		}
	}()
	for _, p := range parts {
		if p.Gap != nil {
			text = appendGap(text, p.Gap)
		}
		for _, e := range p.Entries {
			text = append(text, e.Render(f.frame(), f.render)...)
			if len(text) >= maxBuffer {
				if err := out.write(text); err != nil {
					return err
				}
				text = text[:0]
			}
		}
	}
	if len(text) == 0 {
		return nil
	}
	return out.write(text)
}

func (f *frames) frame() stream.Frame {
	if f.format == formatCloudEvents {
		return stream.FrameCloudEvent
	}
	return stream.FrameEnvelope
}

func (f *frames) render(e *events.Entry) []byte {
	data := jsontext.OneLine(e.Raw)
	if f.format == formatCloudEvents {
		data = cloudevents.Encode(e, f.source)
	}
	return appendEvent(make([]byte, 0, len(data)+96), e, data)
}
