package rpc

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// answer runs the calls of a body and leaves the response in x.out, which stays empty if none is
// wanted. from contains what all calls of the body share.
func (h *handler) answer(ctx context.Context, x *exchange, body []byte, from api.Request, room *answers.Exchange) {
	calls, batch, refused := parse(body, x.calls)
	x.calls = calls
	if refused != nil {
		x.out = appendAnswer(x.out, nil, nil, refused)
		return
	}
	h.run(ctx, calls, from, room)
	if !batch {
		if c := &calls[0]; !c.notification() {
			x.appendCall(c)
		}
		return
	}
	for i := range calls {
		if calls[i].notification() {
			continue
		}
		if len(x.out) == 0 {
			x.out = append(x.out, '[')
		} else {
			x.out = append(x.out, ',')
		}
		x.appendCall(&calls[i])
	}
	if len(x.out) > 0 {
		x.out = append(x.out, ']')
	}
}

// run runs calls concurrently, on as many goroutines as are allowed and as other batches leave
// free. Calls that wait for Redis together share its round trips. Once the results together are too
// long, run rejects the remaining calls.
func (h *handler) run(ctx context.Context, calls []call, from api.Request, room *answers.Exchange) {
	if len(calls) == 1 {
		h.call(ctx, &calls[0], from, room)
		return
	}
	from.Batched = true
	var next atomic.Int64
	work := func() {
		for i := next.Add(1); i <= int64(len(calls)); i = next.Add(1) {
			h.call(ctx, &calls[i-1], from, room)
		}
	}
	var others sync.WaitGroup
	for range min(len(calls), h.concurrency) - 1 {
		others.Add(1)
		if !h.helpers.run(func() { defer others.Done(); work() }) {
			others.Done()
			break
		}
	}
	// This goroutine has nothing else to do, so it works too.
	work()
	others.Wait()
}

func (h *handler) call(ctx context.Context, c *call, from api.Request, room *answers.Exchange) {
	if c.fault != nil {
		return
	}
	if c.positional {
		if h.known(c.method) {
			c.err = api.InvalidParams("params must be an object, not an array")
		} else {
			c.err = api.MethodNotFound(c.method)
		}
		return
	}
	if ctx.Err() != nil {
		// The caller has hung up. Calls that have not begun do not run, and nobody reads this
		// error.
		c.err = api.Internal("")
		return
	}
	from.Method, from.Params, from.Cause = c.method, c.params, c.cause
	c.result, c.err = room.Call(ctx, func(ctx context.Context) (json.RawMessage, *api.Error) {
		return httpapi.Run(ctx, h.dispatcher, h.log, from)
	})
}

// maxCopied is the size up to which a result is copied into the response of its batch.
const maxCopied = 16 << 10

func (x *exchange) appendCall(c *call) {
	switch {
	case c.fault != nil:
		x.out = appendAnswer(x.out, c.id, nil, c.fault)
	case c.err == nil && len(c.result) > maxCopied:
		x.out = append(x.out, `{"jsonrpc":"2.0","result":`...)
		x.long = append(x.long, insert{len(x.out), c.result})
		x.out = appendID(x.out, c.id)
	default:
		x.out = appendAnswer(x.out, c.id, c.result, c.err)
	}
}

// parts returns the pieces of the response in order.
func (x *exchange) parts() [][]byte {
	if len(x.long) == 0 {
		return [][]byte{x.out}
	}
	parts := make([][]byte, 0, 2*len(x.long)+1)
	from := 0
	for _, l := range x.long {
		parts = append(parts, x.out[from:l.at], l.result)
		from = l.at
	}
	return append(parts, x.out[from:])
}

// appendAnswer appends one response. A nil id becomes null. The result is not changed.
func appendAnswer(out, id []byte, result json.RawMessage, failed *api.Error) []byte {
	if failed == nil {
		if len(result) == 0 {
			result = null
		}
		out = append(out, `{"jsonrpc":"2.0","result":`...)
		out = append(out, result...)
	} else {
		out = append(out, `{"jsonrpc":"2.0","error":`...)
		out = httpapi.AppendError(out, failed)
	}
	return appendID(out, id)
}

// appendID appends the id, which ends a response.
func appendID(out, id []byte) []byte {
	if id == nil {
		id = null
	}
	out = append(out, `,"id":`...)
	out = append(out, id...)
	return append(out, '}')
}
