package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A request that was sent before the stop began, but is not read yet, is read within sendTicks
// times sendTick. The ticks are counted one by one, so that time in which the process gets no CPU
// does not count.
const (
	sendTick  = 50 * time.Millisecond
	sendTicks = 5
)

// connections are the server's connections whose request may be incomplete. http.Server.Shutdown
// waits for them as for active requests, so a caller that stops in the middle of a request would
// delay every stop by the whole shutdown timeout.
type connections struct {
	mu      sync.Mutex
	open    map[net.Conn]*connection
	dropped bool
}

// connection is the state of one connection. sending is true until a request has been read
// completely.
type connection struct{ sending atomic.Bool }

// connectionKey is the context key of a request's *connection.
type connectionKey struct{}

// watch makes a server report its connections. It must be called before the server serves.
func (c *connections) watch(s *http.Server) {
	c.open = map[net.Conn]*connection{}
	s.ConnContext = c.add
	s.ConnState = c.change
	s.Handler = whole(s.Handler)
}

func (c *connections) add(ctx context.Context, conn net.Conn) context.Context {
	one := &connection{}
	one.sending.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = one
	if c.dropped {
		_ = conn.Close() // accepted while the listener was being closed
	}
	return context.WithValue(ctx, connectionKey{}, one)
}

func (c *connections) change(conn net.Conn, state http.ConnState) {
	// Shutdown itself closes connections between two requests, even if part of the next header has
	// arrived.
	if state == http.StateClosed || state == http.StateHijacked {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, conn)
	}
}

// dropSoon waits a moment for requests that were already sent, then calls drop. It returns early
// when stopped is closed.
func (c *connections) dropSoon(stopped <-chan struct{}) {
	tick := time.NewTicker(sendTick)
	defer tick.Stop()
	for range sendTicks {
		select {
		case <-tick.C:
		case <-stopped:
			return
		}
	}
	c.drop()
}

// drop closes the connections with an incomplete request, and all that are opened later.
func (c *connections) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped = true
	for conn, one := range c.open {
		if one.sending.Load() {
			_ = conn.Close()
		}
	}
}

// whole records when a request is complete: after its header if it has no body, else at the end of
// the body.
func whole(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if one, ok := r.Context().Value(connectionKey{}).(*connection); ok {
			sends := r.Body != nil && r.Body != http.NoBody
			one.sending.Store(sends)
			if sends {
				r.Body = &body{r.Body, one}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// body is the body of a request.
type body struct {
	io.ReadCloser
	of *connection
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.of.sending.Store(false)
	}
	return n, err
}
