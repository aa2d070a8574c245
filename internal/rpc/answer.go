package rpc

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// answer runs the calls of a body and leaves the answer in x.out, which stays empty when none is wanted.
// from has what the calls of one body have in common.
func (h *handler) answer(ctx context.Context, x *exchange, body []byte, from api.Request) {
	calls, batch, refused := parse(body, x.calls)
	x.calls = calls
	if refused != nil {
		x.out = appendAnswer(x.out, nil, nil, refused)
		return
	}
	h.run(ctx, calls, from)
	if !batch {
		if c := &calls[0]; !c.notification() {
			x.out = h.appendCall(x.out, c)
		}
		return
	}
	// At once: growing step by step, long answers take five times the memory that they need.
	long := 0
	for i := range calls {
		if c := &calls[i]; !c.notification() {
			long += len(c.result) + len(c.id) + aroundResult
		}
	}
	x.out = slices.Grow(x.out, long)
	for i := range calls {
		if calls[i].notification() {
			continue
		}
		if len(x.out) == 0 {
			x.out = append(x.out, '[')
		} else {
			x.out = append(x.out, ',')
		}
		x.out = h.appendCall(x.out, &calls[i])
	}
	if len(x.out) > 0 {
		x.out = append(x.out, ']')
	}
}

// aroundResult is what an answer has at least beside its result and its id.
const aroundResult = len(`{"jsonrpc":"2.0","result":,"id":},`)

// run runs calls at once, as many as are allowed and other batches leave. They wait for Redis together, and so share its
// round trips. Once the answers are too long together, the calls that are left are refused.
func (h *handler) run(ctx context.Context, calls []call, from api.Request) {
	if len(calls) == 1 {
		h.call(ctx, &calls[0], from)
		return
	}
	var next, answered atomic.Int64
	work := func() {
		for i := next.Add(1); i <= int64(len(calls)); i = next.Add(1) {
			c := &calls[i-1]
			if answered.Load() > maxAnswers {
				c.err = api.InvalidRequest("not begun: the answers of this batch have more than %d bytes already", maxAnswers)
				continue
			}
			h.call(ctx, c, from)
			answered.Add(int64(len(c.result)))
		}
	}
	other := func() {
		defer h.helpers.giveBack()
		growStack()
		work()
	}
	var others sync.WaitGroup
	for range min(len(calls), h.concurrency) - 1 {
		if !h.helpers.take() {
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

// growStack gives a new goroutine its stack at once. Otherwise the runtime doubles it three times, each time deep inside
// a call, and copies it: with params validated by a schema that took half of a batch's whole time (BenchmarkBatch100Deep).
//
//go:noinline
func growStack() byte {
	var room [stackRoom]byte
	// An index that the compiler cannot know keeps it from leaving the room out.
	return room[stackSlot.Load()%stackRoom]
}

var stackSlot atomic.Uint32

func (h *handler) call(ctx context.Context, c *call, from api.Request) {
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
	c.result, c.err = httpapi.Run(ctx, h.dispatcher, h.log, from)
}

func (h *handler) appendCall(out []byte, c *call) []byte {
	if c.fault != nil {
		return appendAnswer(out, c.id, nil, c.fault)
	}
	return appendAnswer(out, c.id, c.result, c.err)
}

// appendAnswer writes one answer; without an id it is null. The result goes out as it is.
func appendAnswer(out, id []byte, result json.RawMessage, failed *api.Error) []byte {
	if id == nil {
		id = null
	}
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
	out = append(out, `,"id":`...)
	out = append(out, id...)
	return append(out, '}')
}
