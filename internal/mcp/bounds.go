package mcp

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/semaphore"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/rpc"
)

const (
	// maxAtOnce is how many calls of one HTTP request run at once. The SDK begins all of a batch's;
	// the others wait.
	maxAtOnce = 16
	// copies is how often an answer's memory has each result: twice in the answer, once as an
	// escaped text, and the SDK encodes it into memory of its own first.
	copies = 4
)

// exchange is what the calls of one HTTP request have in common.
type exchange struct {
	request api.Request // what they begin with
	slots   *semaphore.Weighted
	room    *answers.Exchange
}

func newExchange(request api.Request, room *answers.Exchange) *exchange {
	return &exchange{request: request, slots: semaphore.NewWeighted(maxAtOnce), room: room}
}

// run runs one of them when it is its turn, unless the others' results are too long already.
func (x *exchange) run(ctx context.Context, run func(context.Context) (json.RawMessage, *api.Error)) (json.RawMessage, *api.Error) {
	if x.slots.Acquire(ctx, 1) != nil { // nobody reads the answer
		return nil, api.Internal("")
	}
	defer x.slots.Release(1)
	return x.room.Call(ctx, run)
}

// bounded refuses arrays of too many messages: the protocol of 2025-03-26 had them, and the SDK
// begins them all at once.
func bounded(body json.RawMessage) *api.Error {
	if len(body) == 0 || body[0] != '[' {
		return nil
	}
	var messages []json.RawMessage
	if err := json.Unmarshal(body, &messages); err != nil || len(messages) > rpc.MaxCalls {
		return &api.Error{
			Code: api.CodeInvalidRequest, Message: "Invalid Request", Data: fmt.Sprintf("a batch has at most %d messages", rpc.MaxCalls),
		}
	}
	return nil
}
