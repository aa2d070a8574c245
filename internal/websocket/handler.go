// Package websocket serves JSON-RPC 2.0 over WebSocket: every method of the coordinator, and
// subscriptions to the event log. internal/server serves its handler at /ws. docs/events.md
// describes the protocol.
//
// Each text message is a body as /rpc accepts it. Calls run concurrently, and end when the peer
// hangs up. The events come from internal/stream. While Redis is unavailable, a new subscription
// fails, and existing ones continue afterwards.
package websocket

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/rpc"
	"github.com/claudebench/claudebench/internal/stream"
)

// Path is where the server serves the handler.
const Path = "/ws"

// Subprotocol is what a client offers beside bearer.<token>, and what the server chooses.
const Subprotocol = "claudebench"

const (
	// maxInFlight is the maximum number of messages of a connection that are being answered.
	maxInFlight = 64
	// maxSubscriptions is the maximum number of subscriptions of a connection.
	maxSubscriptions = 32
	// pingEvery is the interval between two pings, and pongWithin how long the peer may take.
	pingEvery  = 30 * time.Second
	pongWithin = 20 * time.Second
	// lastWords is how long a connection that is to end may take to send what ends it.
	lastWords = 2 * time.Second
	// silence is the time without an event after which a subscription sends its position.
	silence = 15 * time.Second
)

// Options configure a handler.
type Options struct {
	Hub *stream.Hub
	// Log receives internal errors.
	Log *slog.Logger
	// Answers is the memory budget for answers, which all transports share.
	Answers *answers.Budget
	// Known reports whether a method exists.
	Known func(method string) bool
	// Caller returns the name of the token of a request; nil means that authentication is disabled.
	// Still reports whether that token is still valid.
	Caller func(*http.Request) string
	Still  func(*http.Request) bool
	// Silence replaces the constant in tests.
	Silence time.Duration
}

// Handler serves connections.
type Handler struct {
	Options
	dispatcher httpapi.Dispatcher
	bodies     *rpc.Bodies
}

// NewHandler returns a handler of connections whose calls a Dispatcher runs.
func NewHandler(d httpapi.Dispatcher, o Options) *Handler {
	if o.Silence == 0 {
		o.Silence = silence
	}
	known := o.Known
	bodies := rpc.NewBodies(rpc.Options{Log: o.Log, Answers: o.Answers, Known: func(method string) bool {
		return method == methodSubscribe || method == methodUnsubscribe || known == nil || known(method)
	}})
	return &Handler{Options: o, dispatcher: d, bodies: bodies}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		httpapi.WriteError(w, http.StatusUpgradeRequired, api.InvalidRequest("%s accepts WebSocket connections only; for single calls use POST /rpc, for events GET /events", Path))
		return
	}
	var valid func() bool
	if h.Still != nil {
		valid = func() bool { return h.Still(r) }
	}
	client, err := h.Hub.Connect(stream.WebSocket, valid, nil)
	if err != nil {
		w.Header().Set("Retry-After", "1")
		httpapi.WriteError(w, http.StatusServiceUnavailable, api.Internal(err.Error()))
		return
	}
	defer client.Close()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		InsecureSkipVerify: true, // crossorigin.Guard has checked the origin
	})
	if err != nil {
		return // Accept has answered
	}
	conn.SetReadLimit(-1) // httpapi.ReadMessage has limits
	// The request's context is not defined after the handshake.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	s := &session{
		Handler: h, conn: conn, client: client, ctx: ctx, cancel: cancel, from: httpapi.NewRequest(r, h.Caller),
		slots: make(chan struct{}, maxInFlight), subscriptions: map[string]*subscription{},
	}
	s.run()
}
