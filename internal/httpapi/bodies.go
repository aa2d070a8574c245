package httpapi

import (
	"context"
	"errors"

	"golang.org/x/sync/semaphore"
)

// This file limits the memory that the bodies of all callers together can use. The limits of a
// single body are in httpapi.go.

// maxLongBodies is the maximum number of bytes that all long bodies may use at once, beyond the
// first 64 KiB of each. Short bodies need none of it, so callers with long bodies cannot keep the
// fleet's heartbeats and claims out.
const maxLongBodies = 64 << 20

var errNoRoom = errors.New("too many long bodies are being received")

// longBodies belongs to the whole process, as its memory does. All transports use it.
var longBodies = semaphore.NewWeighted(maxLongBodies)

// reservation is the number of bytes of a semaphore that one request holds. They are released when
// ctx ends.
type reservation struct {
	from *semaphore.Weighted
	ctx  context.Context //nolint:containedctx // the request's: the reservation ends with it
	has  int64
}

// grow increases the reservation to bytes, and reports whether that many were available. It must
// not be called concurrently, nor after ctx has ended.
func (r *reservation) grow(bytes int) bool {
	more := int64(bytes) - r.has
	if !r.from.TryAcquire(more) {
		return false
	}
	r.has += more
	context.AfterFunc(r.ctx, func() { r.from.Release(more) })
	return true
}
