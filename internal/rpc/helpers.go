package rpc

import (
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxHelpers is the maximum number of goroutines of all batches together, besides those of
	// their connections. A batch that gets none uses only the goroutine of its connection.
	maxHelpers = 4096
	// keepHelper is how long a goroutine waits for the next batch.
	keepHelper = 100 * time.Millisecond
)

// helpers are goroutines that run the calls of batches. They are kept for a while, because a new
// goroutine grows its stack at its first call, which costs as much as a tenth of the call.
type helpers struct {
	free *semaphore.Weighted // the goroutines that may still be started
	work chan func()         // to those that wait
}

func newHelpers(most int64) *helpers {
	return &helpers{free: semaphore.NewWeighted(most), work: make(chan func())}
}

// run runs a function on another goroutine. It returns false if all are busy.
func (h *helpers) run(f func()) bool {
	select {
	case h.work <- f:
		return true
	default:
	}
	if !h.free.TryAcquire(1) {
		return false
	}
	go func() {
		defer h.free.Release(1)
		growStack()
		f()
		idle := time.NewTimer(keepHelper)
		defer idle.Stop()
		for {
			idle.Reset(keepHelper)
			select {
			case f := <-h.work:
				f()
			case <-idle.C:
				return
			}
		}
	}()
	return true
}

// stackRoom is roughly the stack that validating params takes. It is a power of two.
const stackRoom = 8 << 10

// growStack grows the stack of a new goroutine in one step. Otherwise the runtime doubles and
// copies it three times, each time deep inside a call (BenchmarkBatch100Deep).
//
//go:noinline
func growStack() byte {
	var room [stackRoom]byte
	// The compiler cannot know the index, so it must keep the array.
	return room[stackSlot.Load()%stackRoom]
}

var stackSlot atomic.Uint32
