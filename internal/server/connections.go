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

// What is sent already when the stop begins, and only not read yet, is read within sendTicks times
// sendTick. These are counted one after the other, so that a process that gets no CPU for a while
// does not count that time.
const (
	sendTick  = 50 * time.Millisecond
	sendTicks = 5
)

// connections are those of a server from which a request may not have come whole.
// http.Server.Shutdown waits for them as for requests in work, so a caller that stops halfway would
// hold every stop for the whole patience.
type connections struct {
	mu      sync.Mutex
	open    map[net.Conn]*connection
	dropped bool
}

// connection is what is known of one. sending is true until a request has been read whole.
type connection struct{ sending atomic.Bool }

// connectionKey is the key of a request's *connection in its context.
type connectionKey struct{}

// watch makes a server tell of its connections; it is called before the server serves.
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
		_ = conn.Close() // accepted while the listener was closed
	}
	return context.WithValue(ctx, connectionKey{}, one)
}

func (c *connections) change(conn net.Conn, state http.ConnState) {
	// Between two requests Shutdown closes it by itself, also when a part of the next header has
	// come.
	if state == http.StateClosed || state == http.StateHijacked {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, conn)
	}
}

// dropSoon leaves a moment for what is sent already, then drops; it returns early when stopped is
// closed.
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

// drop closes the connections whose request has not come whole, and all that are opened from now
// on.
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

// whole notes when a request has come whole: at its header when it has no body, else at the body's
// end.
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

// body is a request's.
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
