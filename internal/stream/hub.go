package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
)

const (
	// maxEntries and maxBytes bound the chain.
	maxEntries = 8192
	maxBytes   = 8 << 20
	// maxBehind is how many events a subscriber may fall behind once it was in the chain.
	maxBehind = 100_000
	// maxReads is how many subscribers read from Redis at the same time.
	maxReads = 4
	// MaxClients is the maximum number of connections.
	MaxClients = 10_000
	// readWithin is how long one read from Redis may take.
	readWithin = 3 * time.Second
)

// Transport is how a subscriber is connected.
type Transport int

// The transports.
const (
	SSE Transport = iota
	WebSocket
	numTransports
)

func (t Transport) String() string { return [numTransports]string{"sse", "websocket"}[t] }

// Cause says why the coordinator ends a stream.
type Cause string

// The causes.
const (
	Slow     Cause = "slow"     // the subscriber does not keep up
	Stopping Cause = "stopping" // the coordinator is being stopped
	Token    Cause = "token"    // the token is no longer valid
)

// Done ends a subscription, and not the stream: it has had all events up to Query.To.
const Done Cause = "done"

// Causes are all causes.
var Causes = []Cause{Slow, Stopping, Token}

var (
	// ErrUnavailable is the error of a subscriber that starts while Redis is unavailable.
	ErrUnavailable = errors.New("cannot read the event log")
	// ErrStopping is the error of a client that comes while the coordinator is being stopped.
	ErrStopping = errors.New("the coordinator is stopping")
	// ErrFull is the error of a client that is too many.
	ErrFull = fmt.Errorf("this coordinator has %d streams, which is the maximum", MaxClients)
)

// Options configure a Hub.
type Options struct {
	// Client reads the log. The Hub does not close it.
	Client    redis.UniversalClient
	Namespace string
	// Archive has the events that are no longer in Redis. Subscribers get them up to the last flush.
	Archive events.Archive
	Logger  *slog.Logger

	// maxEntries, maxBytes and maxBehind replace the constants in tests.
	maxEntries, maxBytes int
	maxBehind            int64
}

// Hub is where the subscribers of a coordinator get their events. It is safe for concurrent use.
type Hub struct {
	options Options
	log     *events.Reader
	ctx     context.Context // ends at Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	reads   chan struct{} // has a value for each read of a subscriber

	subscribers, sent [numTransports]atomic.Int64
	ended             map[Cause]*atomic.Int64
	load              atomic.Int64 // of deliveries, in writes; see tail.pace

	mu       sync.Mutex
	tail     *tail // nil while there is no subscription
	clients  map[*Client]struct{}
	stopping bool
}

// New returns a Hub. It does not use Redis until the first subscription.
func New(o Options) (*Hub, error) {
	log, err := events.NewReader(o.Client, events.ReaderConfig{Namespace: o.Namespace, BatchSize: 250, Archive: o.Archive, SinceFlush: true, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	if o.maxEntries == 0 {
		o.maxEntries = maxEntries
	}
	if o.maxBytes == 0 {
		o.maxBytes = maxBytes
	}
	if o.maxBehind == 0 {
		o.maxBehind = maxBehind
	}
	h := &Hub{options: o, log: log, reads: make(chan struct{}, maxReads), clients: map[*Client]struct{}{}, ended: map[Cause]*atomic.Int64{}}
	for _, c := range Causes {
		h.ended[c] = new(atomic.Int64)
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h, nil
}

// Stop ends all streams at once. New clients get ErrStopping.
func (h *Hub) Stop() {
	h.mu.Lock()
	h.stopping = true
	list := h.list()
	h.mu.Unlock()
	for _, c := range list {
		c.end(Stopping)
	}
}

// Close stops the Hub and waits until it no longer uses Redis. The transports must have ended.
func (h *Hub) Close() {
	h.Stop()
	h.cancel()
	h.running.Wait()
}

// Drained waits until all clients have gone, or until ctx ends. Stop must have been called.
func (h *Hub) Drained(ctx context.Context) {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		h.mu.Lock()
		left := len(h.clients)
		h.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}

// Recheck ends the streams whose token is no longer valid.
func (h *Hub) Recheck() {
	h.mu.Lock()
	list := h.list()
	h.mu.Unlock()
	for _, c := range list {
		c.recheck()
	}
}

func (h *Hub) list() []*Client {
	list := make([]*Client, 0, len(h.clients))
	for c := range h.clients {
		list = append(list, c)
	}
	return list
}

// Counts are what metrics report about a Hub.
type Counts struct {
	Subscribers map[string]int64 // by transport
	Sent        map[string]int64 // events, by transport
	Ended       map[string]int64 // streams that the coordinator ended, by cause
}

// Counts returns the current counts.
func (h *Hub) Counts() Counts {
	c := Counts{map[string]int64{}, map[string]int64{}, map[string]int64{}}
	for t := range numTransports {
		c.Subscribers[t.String()] = h.subscribers[t].Load()
		c.Sent[t.String()] = h.sent[t].Load()
	}
	for cause, n := range h.ended {
		c.Ended[string(cause)] = n.Load()
	}
	return c
}

// Client is a connection with any number of subscriptions.
type Client struct {
	hub       *Hub
	transport Transport
	valid     func() bool
	interrupt func()
	done      chan struct{} // closed when the coordinator ends the stream

	mu    sync.Mutex
	cause Cause // set before done is closed
	gone  bool
}

// Connect adds a client. valid reports whether its token is still valid; nil means that
// authentication is disabled. interrupt is called when the coordinator ends the stream: it must not
// block, and it makes the connection give up a blocked write soon. It is not called after Close. The
// caller must call Close.
func (h *Hub) Connect(t Transport, valid func() bool, interrupt func()) (*Client, error) {
	c := &Client{hub: h, transport: t, valid: valid, interrupt: interrupt, done: make(chan struct{})}
	if err := h.enter(c); err != nil {
		return nil, err
	}
	c.recheck() // the tokens may have changed since the request was let in
	return c, nil
}

func (h *Hub) enter(c *Client) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopping:
		return ErrStopping
	case len(h.clients) >= MaxClients:
		return ErrFull
	}
	h.clients[c] = struct{}{}
	return nil
}

// Close removes the client. Its subscriptions must have been closed.
func (c *Client) Close() {
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	delete(c.hub.clients, c)
}

// Done returns a channel that is closed when the coordinator ends the stream; see Cause.
func (c *Client) Done() <-chan struct{} { return c.done }

// Cause returns why the coordinator has ended the stream, "" if it has not.
func (c *Client) Cause() Cause {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// Stalled notes that the stream ends because the client did not read what was sent to it.
func (c *Client) Stalled() { c.end(Slow) }

func (c *Client) end(cause Cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != "" || c.gone {
		return
	}
	c.cause = cause
	c.hub.ended[cause].Add(1)
	close(c.done)
	if c.interrupt != nil {
		c.interrupt()
	}
}

func (c *Client) recheck() {
	if c.valid != nil && !c.valid() {
		c.end(Token)
	}
}
