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

// answer runs the calls of a body and leaves the answer in x.out, which stays empty when none is
// wanted. from has what the calls of one body have in common.
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

// run runs calls at once, as many as are allowed and other batches leave. They wait for Redis
// together, and so share its round trips. Once the results are too long together, the calls that
// are left are refused.
func (h *handler) run(ctx context.Context, calls []call, from api.Request, room *answers.Exchange) {
	if len(calls) == 1 {
		h.call(ctx, &calls[0], from, room)
		return
	}
	var next atomic.Int64
	work := func() {
		for i := next.Add(1); i <= int64(len(calls)); i = next.Add(1) {
			h.call(ctx, &calls[i-1], from, room)
		}
	}
	other := func() {
		defer h.helpers.Release(1)
		growStack()
		work()
	}
	var others sync.WaitGroup
	for range min(len(calls), h.concurrency) - 1 {
		if !h.helpers.TryAcquire(1) {
			break
		}
		others.Go(other)
	}
	// This goroutine works too: it has nothing else to do.
	work()
	others.Wait()
}

// stackRoom is about what validating params takes, and a power of two.
const stackRoom = 8 << 10

// growStack returns a new goroutine its stack at once. Otherwise the runtime doubles it three
// times, each time deep inside a call, and copies it: with params validated by a schema that took
// half of a batch's whole time (BenchmarkBatch100Deep).
//
//go:noinline
func growStack() byte {
	var room [stackRoom]byte
	// An index that the compiler cannot know keeps it from leaving the room out.
	return room[stackSlot.Load()%stackRoom]
}

var stackSlot atomic.Uint32

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
		// The caller has hung up: what was not begun is not begun any more, and nobody reads this.
		c.err = api.Internal("")
		return
	}
	from.Method, from.Params, from.Cause = c.method, c.params, c.cause
	c.result, c.err = room.Call(ctx, func(ctx context.Context) (json.RawMessage, *api.Error) {
		return httpapi.Run(ctx, h.dispatcher, h.log, from)
	})
}

// maxCopied is the longest result that is copied into the answer of its batch.
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

// parts are the pieces of the answer in their order.
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

// appendAnswer writes one answer; without an id it is null. The result goes out as it is.
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

// appendID ends an answer.
func appendID(out, id []byte) []byte {
	if id == nil {
		id = null
	}
	out = append(out, `,"id":`...)
	out = append(out, id...)
	return append(out, '}')
}
