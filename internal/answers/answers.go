// Package answers bounds the memory that answers hold, in the whole process and in each HTTP
// request. The transports create an Exchange from the process's Budget for each request and run its
// calls through it. A command whose answer may be large calls Reserve before it builds the answer.
//
// Commands with short answers never wait for room and are never refused for lack of it, so
// heartbeats and claims continue while large lists fill the room. The package has no dependencies
// that can fail; its only error is a refusal.
package answers

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/claudebench/claudebench/internal/api"
)

const (
	// Room is the number of bytes that all large answers together may hold, from before they are
	// built until they are written.
	Room = 192 << 20
	// MaxHeld is the number of bytes that the results of one request may hold. Above it, the
	// request's remaining calls are not begun.
	MaxHeld = 16 << 20
	// maxMaking bounds the bytes that one request holds and reserves while it builds several
	// results at once, because the real size of a result is not known yet.
	maxMaking = 64 << 20
	// short is the length of the longest answer that needs no room.
	short = 64 << 10
	// patience is how long a call waits for room that other calls hold.
	patience = time.Second
)

// Budget is the room for all the answers of a process.
type Budget struct{ room *semaphore.Weighted }

// NewBudget returns a budget of Room bytes.
func NewBudget() *Budget { return &Budget{semaphore.NewWeighted(Room)} }

// Exchange accounts for the bytes that the calls of one HTTP request hold. It is safe for
// concurrent use.
type Exchange struct {
	budget *Budget
	copies int64

	mu       sync.Mutex
	changed  *sync.Cond
	making   int   // calls that hold a reservation and have no result yet
	reserved int64 // bytes those calls have reserved
	held     int64 // bytes the results hold
	taken    int64 // bytes the results take from the budget
	full     bool  // a call has waited for room and got none
}

// Exchange returns a new Exchange for one request. copies is the number of times the request's
// answer contains each result.
func (b *Budget) Exchange(copies int64) *Exchange {
	x := &Exchange{budget: b, copies: copies}
	x.changed = sync.NewCond(&x.mu)
	return x
}

// Release returns the room that the request holds to the budget. Call it once the answer is
// written.
func (x *Exchange) Release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.budget.room.Release(x.taken)
	x.taken = 0
}

// reservation is the room that one call has reserved.
type reservation struct {
	exchange *Exchange
	bytes    int64
}

// reservationKey is the context key of a call's *reservation.
type reservationKey struct{}

// Call runs one call of the request. It returns an error without running the call if the results of
// the request's other calls already exceed MaxHeld.
func (x *Exchange) Call(ctx context.Context, run func(context.Context) (json.RawMessage, *api.Error)) (json.RawMessage, *api.Error) {
	x.mu.Lock()
	full := x.held > MaxHeld
	x.mu.Unlock()
	if full {
		return nil, notBegun()
	}
	r := &reservation{exchange: x}
	size := 0
	defer func() { r.settle(int64(size) * x.copies) }()
	result, failed := run(context.WithValue(ctx, reservationKey{}, r))
	size = len(result)
	return result, failed
}

func notBegun() *api.Error {
	return api.InvalidRequest("not started: the answers of this batch already exceed %d bytes", MaxHeld)
}

// Reserve reserves room to build the answer of ctx's call, which takes at most the given number of
// bytes. Calls of one request with large reservations run one after another. The error is an
// *api.Error: the call has changed nothing, and the caller may repeat it. Outside a request there
// is no limit.
func Reserve(ctx context.Context, bytes int64) error {
	r, ok := ctx.Value(reservationKey{}).(*reservation)
	if !ok {
		return nil
	}
	if failed := r.exchange.admit(bytes); failed != nil {
		return failed
	}
	// The wait in admit may have exceeded the method's timeout.
	if ctx.Err() != nil || !r.exchange.acquire(ctx, bytes) {
		r.exchange.settle(bytes, 0, 0)
		return &api.Error{Code: api.CodeRateLimited, Message: "Too many large answers", Data: map[string]any{
			"reason": "ANSWERS_FULL", "retryAfterMs": patience.Milliseconds(),
		}}
	}
	r.bytes = bytes
	return nil
}

// admit waits until the request's other calls leave room for this one.
func (x *Exchange) admit(bytes int64) *api.Error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		switch {
		case x.held > MaxHeld:
			return notBegun()
		case x.making == 0, x.held+x.reserved+bytes <= maxMaking:
			x.making++
			x.reserved += bytes
			return nil
		}
		x.changed.Wait()
	}
}

// acquire takes room from the process's budget and reports whether it succeeded.
func (x *Exchange) acquire(ctx context.Context, bytes int64) bool {
	if x.budget.room.TryAcquire(bytes) {
		return true
	}
	x.mu.Lock()
	full := x.full
	x.mu.Unlock()
	if full { // the request has waited once: a batch must not wait for each of its calls
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if x.budget.room.Acquire(ctx, bytes) == nil {
		return true
	}
	x.mu.Lock()
	x.full = true
	x.mu.Unlock()
	return false
}

// settle replaces a call's reservation by the size of its result.
func (r *reservation) settle(held int64) {
	room, taken := r.exchange.budget.room, r.bytes
	switch {
	case held < taken:
		room.Release(taken - held)
		taken = held
	// A result larger than its reservation, or without one, belongs to a call that has already
	// taken effect, and its caller must learn of it: it takes more room only if room is free.
	case held > taken && held > short && room.TryAcquire(held-taken):
		taken = held
	}
	if r.bytes == 0 {
		r.exchange.hold(held, taken)
		return
	}
	r.exchange.settle(r.bytes, held, taken)
}

func (x *Exchange) settle(reserved, held, taken int64) {
	x.mu.Lock()
	x.making--
	x.reserved -= reserved
	x.held += held
	x.taken += taken
	x.mu.Unlock()
	x.changed.Broadcast()
}

func (x *Exchange) hold(held, taken int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.held += held
	x.taken += taken
}
