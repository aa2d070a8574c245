package httpapi

import (
	"context"
	"errors"

	"golang.org/x/sync/semaphore"
)

// What is in this file bounds what all callers together can make the process hold. Each limit of a
// single body is in handler.go.

// maxLongBodies is how many bytes the long bodies under way may have together, each beyond its
// first 64 KiB. Short ones need none of it, so callers with long bodies never keep the fleet's
// heartbeats and claims out.
const maxLongBodies = 64 << 20

var errNoRoom = errors.New("too many long bodies are under way")

// longBodies is the process's, as its memory is: every transport reads its bodies here.
var longBodies = semaphore.NewWeighted(maxLongBodies)

// reservation is how many bytes of a semaphore one request holds. They are released when ctx ends.
type reservation struct {
	from *semaphore.Weighted
	ctx  context.Context //nolint:containedctx // the request's: the reservation ends with it
	has  int64
}

// grow makes it so many bytes in all, and reports whether there were that many left. One goroutine
// may call it, before ctx ends.
func (r *reservation) grow(bytes int) bool {
	more := int64(bytes) - r.has
	if !r.from.TryAcquire(more) {
		return false
	}
	r.has += more
	context.AfterFunc(r.ctx, func() { r.from.Release(more) })
	return true
}
