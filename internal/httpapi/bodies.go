package httpapi

import (
	"context"
	"errors"
	"sync"
)

// What is in this file bounds what all callers together can make the process hold. Each limit of a single body is in handler.go.

const (
	// maxLongBodies is how many bytes the long bodies under way may have together, each beyond its first 64 KiB. Short ones need
	// none of it, so callers with long bodies never keep the fleet's heartbeats and claims out.
	maxLongBodies = 64 << 20
)

var errNoRoom = errors.New("too many long bodies are under way")

// longBodies is the process's, as its memory is: every transport reads its bodies here.
var longBodies = &room{left: maxLongBodies}

// room is a number of bytes that requests share.
type room struct {
	mu   sync.Mutex
	left int
}

// reservation is what one request has of a room.
type reservation struct {
	from *room
	ctx  context.Context //nolint:containedctx // the request's: the reservation ends with it
	has  int
}

// reserve begins a reservation of nothing, which ends with ctx.
func (r *room) reserve(ctx context.Context) *reservation { return &reservation{from: r, ctx: ctx} }

// take makes it so many bytes in all, if there are that many left.
func (r *reservation) take(bytes int) bool {
	r.from.mu.Lock()
	defer r.from.mu.Unlock()
	more := bytes - r.has
	if more > r.from.left {
		return false
	}
	r.from.left -= more
	if r.has == 0 {
		context.AfterFunc(r.ctx, r.release)
	}
	r.has = bytes
	return true
}

func (r *reservation) release() {
	r.from.mu.Lock()
	defer r.from.mu.Unlock()
	r.from.left += r.has
	r.has = 0
}
