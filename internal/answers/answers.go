// Package answers bounds the memory that answers hold, in the whole process and for each HTTP
// request. The transports make a Budget's Exchange for each request and run its calls through it; a
// command whose answer may be large reserves its bytes with Reserve before it makes it.
//
// Commands with short answers never wait for room and are never refused for lack of it, so that
// heartbeats and claims go on while large lists fill the room. Nothing here can fail but by
// refusing.
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
	// Room is how many bytes all large answers together may hold, from before they are made until
	// they are written.
	Room = 192 << 20
	// MaxHeld is how many bytes the results of one request may have before its other calls are not
	// begun.
	MaxHeld = 16 << 20
	// maxMaking is how many bytes one request may have reserved for results that are being made
	// beside others: what they will really have is not known yet.
	maxMaking = 64 << 20
	// short is the longest answer that needs no room.
	short = 64 << 10
	// patience is how long a call waits for room that others have.
	patience = time.Second
)

// Budget is the room for the answers of a process.
type Budget struct{ room *semaphore.Weighted }

// NewBudget returns a budget of Room bytes.
func NewBudget() *Budget { return &Budget{semaphore.NewWeighted(Room)} }

// Exchange is what the calls of one HTTP request hold. It is safe for concurrent use.
type Exchange struct {
	budget *Budget
	copies int64

	mu       sync.Mutex
	changed  *sync.Cond
	making   int   // calls that have reserved and have no result yet
	reserved int64 // by them
	held     int64 // by results
	taken    int64 // of the budget's room, by results
	full     bool  // a call has waited for room in vain
}

// Exchange begins a request. copies is how often its answer contains each result.
func (b *Budget) Exchange(copies int64) *Exchange {
	x := &Exchange{budget: b, copies: copies}
	x.changed = sync.NewCond(&x.mu)
	return x
}

// Release returns back what the request holds, once its answer is written.
func (x *Exchange) Release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.budget.room.Release(x.taken)
	x.taken = 0
}

// reservation is what one call has reserved.
type reservation struct {
	exchange *Exchange
	bytes    int64
}

// reservationKey is under which a context holds the *reservation of its call.
type reservationKey struct{}

// Call runs a call of the request, unless the results of the others are too long already.
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
	return api.InvalidRequest("not begun: the answers of this batch have more than %d bytes already", MaxHeld)
}

// Reserve reserves room for what making the answer of ctx's call takes, at most so many bytes.
// Calls of a request whose reservations are large are made one after another. The error is an
// *api.Error: nothing has happened, and the caller may repeat the call. Outside of a request there
// is no limit.
func Reserve(ctx context.Context, bytes int64) error {
	r, ok := ctx.Value(reservationKey{}).(*reservation)
	if !ok {
		return nil
	}
	if failed := r.exchange.admit(bytes); failed != nil {
		return failed
	}
	// It may have waited for longer than its method has time.
	if ctx.Err() != nil || !r.exchange.acquire(ctx, bytes) {
		r.exchange.settle(bytes, 0, 0)
		return &api.Error{Code: api.CodeRateLimited, Message: "Too many large answers", Data: map[string]any{
			"reason": "ANSWERS_FULL", "retryAfterMs": patience.Milliseconds(),
		}}
	}
	r.bytes = bytes
	return nil
}

// admit waits until the request's other calls leave room for one more.
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

// acquire takes room of the process.
func (x *Exchange) acquire(ctx context.Context, bytes int64) bool {
	if x.budget.room.TryAcquire(bytes) {
		return true
	}
	x.mu.Lock()
	full := x.full
	x.mu.Unlock()
	if full { // it has waited once: a batch must not wait for each of its calls
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

// settle puts what a result really has in the place of what was reserved for it.
func (r *reservation) settle(held int64) {
	room, taken := r.exchange.budget.room, r.bytes
	switch {
	case held < taken:
		room.Release(taken - held)
		taken = held
	// What was not reserved has happened already, and its caller must learn of it: it is taken if
	// it is there.
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
