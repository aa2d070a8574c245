package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/sync/semaphore"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/rpc"
)

const (
	// maxAtOnce is the maximum number of concurrent calls of one HTTP request. The SDK starts all
	// calls of a batch at once; the others wait here.
	maxAtOnce = 16
	// copies is how many copies of a result are in memory: two in the response, one as escaped
	// text, and one that the SDK encodes first.
	copies = 4
)

// exchange is what the calls of one HTTP request share.
type exchange struct {
	request api.Request // common part of all calls
	slots   *semaphore.Weighted
	room    *answers.Exchange
}

func newExchange(request api.Request, room *answers.Exchange) *exchange {
	return &exchange{request: request, slots: semaphore.NewWeighted(maxAtOnce), room: room}
}

// run waits for the call's turn and runs it, unless the results of the other calls are too long
// already.
func (x *exchange) run(ctx context.Context, run func(context.Context) (json.RawMessage, *api.Error)) (json.RawMessage, *api.Error) {
	if x.slots.Acquire(ctx, 1) != nil { // nobody reads the answer
		return nil, api.Internal("")
	}
	defer x.slots.Release(1)
	return x.room.Call(ctx, run)
}

// bounded rejects arrays with too many messages. Version 2025-03-26 of the protocol has arrays, and
// the SDK starts all their messages at once.
func bounded(body json.RawMessage) *api.Error {
	if len(body) == 0 || body[0] != '[' {
		return nil
	}
	var messages []json.RawMessage
	if err := json.Unmarshal(body, &messages); err != nil || len(messages) > rpc.MaxCalls {
		return &api.Error{
			Code: api.CodeInvalidRequest, Message: "Invalid Request", Data: fmt.Sprintf("a batch must contain at most %d messages", rpc.MaxCalls),
		}
	}
	return nil
}

// boundedLists is middleware. The SDK answers tools/list by itself. Its answers count like those of
// calls, because a short batch can ask for a thousand of them.
func (h *handler) boundedLists(next sdk.MethodHandler) sdk.MethodHandler {
	return func(ctx context.Context, method string, r sdk.Request) (result sdk.Result, err error) {
		x, ok := ctx.Value(exchangeKey{}).(*exchange)
		if method != "tools/list" || !ok {
			return next(ctx, method, r)
		}
		_, failed := x.run(ctx, func(ctx context.Context) (json.RawMessage, *api.Error) {
			var failed *api.Error
			if errors.As(answers.Reserve(ctx, copies*int64(len(h.listed))), &failed) {
				return nil, failed
			}
			result, err = next(ctx, method, r)
			return h.listed, nil // only its length matters
		})
		if failed != nil {
			return nil, protocolError(failed)
		}
		return result, err
	}
}
