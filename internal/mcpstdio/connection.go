package mcpstdio

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// finishTime is how long calls in flight may take after the input has closed.
const finishTime = 10 * time.Second

// connection is the client's connection. When the input closes or the process is asked to end, it
// lets the calls in flight finish and be answered before the SDK learns of the end: the SDK would
// cancel them at once.
type connection struct {
	sdk.Connection
	stop  <-chan struct{} // closed when the process is asked to end
	drain func()          // ends the waiting of claims

	messages chan incoming
	done     chan struct{} // closed by Close
	closing  sync.Once
	mu       sync.Mutex
	inFlight map[jsonrpc.ID]bool
	changed  chan struct{} // replaced at each answer
}

type incoming struct {
	message jsonrpc.Message
	err     error
}

// over returns a transport whose connection is this one over that of another transport.
func (c *connection) over(t sdk.Transport) sdk.Transport { return transport{c, t} }

type transport struct {
	c    *connection
	next sdk.Transport
}

func (t transport) Connect(ctx context.Context) (sdk.Connection, error) {
	var err error
	if t.c.Connection, err = t.next.Connect(ctx); err != nil {
		return nil, err
	}
	t.c.inFlight, t.c.changed = map[jsonrpc.ID]bool{}, make(chan struct{})
	t.c.messages, t.c.done = make(chan incoming), make(chan struct{})
	go t.c.receive(context.WithoutCancel(ctx))
	return t.c, nil
}

// receive reads until an error. It may stay in its last read when the process ends.
func (c *connection) receive(ctx context.Context) {
	for {
		message, err := c.Connection.Read(ctx)
		select {
		case c.messages <- incoming{message, err}:
		case <-c.stop:
			return
		case <-c.done:
			return
		}
		if err != nil {
			return
		}
	}
}

func (c *connection) Close() error {
	c.closing.Do(func() { close(c.done) })
	return c.Connection.Close()
}

func (c *connection) Read(ctx context.Context) (jsonrpc.Message, error) {
	select {
	case in := <-c.messages:
		if in.err != nil {
			c.finish(ctx)
			return nil, in.err
		}
		c.begun(in.message)
		return in.message, nil
	case <-c.stop:
		c.finish(ctx)
		return nil, io.EOF
	case <-c.done: // the SDK closes the connection when it cannot write; receive may have ended
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begun notes a call that is to be answered. A call that the client has cancelled need not be.
func (c *connection) begun(message jsonrpc.Message) {
	r, ok := message.(*jsonrpc.Request)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case r.IsCall() && r.Method == "subscriptions/listen": // it is open as long as the client is there
	case r.IsCall():
		c.inFlight[r.ID] = true
		if r.Method == "tools/call" {
			r.Params = withID(r.Params, r.ID)
		}
	case r.Method == "notifications/cancelled":
		var p struct {
			RequestID any `json:"requestId"`
		}
		if json.Unmarshal(r.Params, &p) != nil {
			return
		}
		if id, err := jsonrpc.MakeID(p.RequestID); err == nil {
			delete(c.inFlight, id)
		}
	}
}

// idMeta is the member of a call's _meta with its JSON-RPC id, which the SDK does not tell handlers.
const idMeta = "claudebench/request-id"

// withID adds the id of a call to its params.
func withID(params json.RawMessage, id jsonrpc.ID) json.RawMessage {
	var all, meta map[string]json.RawMessage
	if json.Unmarshal(params, &all) != nil || all == nil || all["_meta"] != nil && json.Unmarshal(all["_meta"], &meta) != nil {
		return params
	}
	if meta == nil {
		meta = map[string]json.RawMessage{}
	}
	meta[idMeta] = encode(fmt.Sprintf("%T %[1]v", id.Raw()))
	all["_meta"] = encode(meta)
	return encode(all)
}

func (c *connection) Write(ctx context.Context, message jsonrpc.Message) error {
	err := c.Connection.Write(ctx, message)
	if r, ok := message.(*jsonrpc.Response); ok {
		c.mu.Lock()
		delete(c.inFlight, r.ID)
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
	}
	return err
}

// finish waits until all calls are answered.
func (c *connection) finish(ctx context.Context) {
	c.drain()
	late := time.NewTimer(finishTime)
	defer late.Stop()
	for {
		c.mu.Lock()
		left, changed := len(c.inFlight), c.changed
		c.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
