package rpc

import (
	"bytes"
	"context"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// Bodies answers bodies of JSON-RPC that another transport than HTTP has received.
type Bodies struct{ handler *handler }

// NewBodies returns Bodies with the options of a handler. Options.Caller is not used.
func NewBodies(opts Options) *Bodies {
	h, _ := NewHandler(nil, opts).(*handler)
	return &Bodies{h}
}

// Answer runs the calls of a body with a Dispatcher, and passes the response to write. It does not
// call write if no response is wanted. from contains what all calls share.
func (b *Bodies) Answer(ctx context.Context, d httpapi.Dispatcher, body []byte, from api.Request, write func([]byte)) {
	h := *b.handler
	h.dispatcher = d
	x := exchanges.Get().(*exchange)
	defer x.release()
	room := h.answers.Exchange(1)
	defer room.Release()
	h.answer(ctx, x, body, from, room)
	if len(x.out) > 0 {
		write(bytes.Join(x.parts(), nil))
	}
}

// Refuse returns the response to a body that is rejected before it is parsed.
func Refuse(failed *api.Error) []byte { return appendAnswer(nil, nil, nil, failed) }
