package taskview

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/claudebench/claudebench/internal/api"
)

const (
	// shareOfCaller is the maximum number of concurrent lists of one caller. Each of them holds a
	// connection to Postgres.
	shareOfCaller = 2
	// sharePatience is how long a list waits for other lists of its caller.
	sharePatience = 3 * time.Second
)

// Shares limits the concurrent lists of each caller, so that the load of one caller delays nobody
// else.
type Shares struct {
	mu      sync.Mutex
	callers map[string]*share
}

type share struct {
	room  *semaphore.Weighted
	users int // lists that hold it or wait for it
}

// NewShares returns Shares without users.
func NewShares() *Shares { return &Shares{callers: map[string]*share{}} }

// Enter waits until the caller has fewer concurrent lists than its share, and returns the function
// that ends this one. The error wraps ErrBusy if ctx ended first. After three seconds it is an
// *api.Error with the code of the rate limit.
func (s *Shares) Enter(ctx context.Context, caller string) (leave func(), err error) {
	s.mu.Lock()
	own := s.callers[caller]
	if own == nil {
		own = &share{room: semaphore.NewWeighted(shareOfCaller)}
		s.callers[caller] = own
	}
	own.users++
	s.mu.Unlock()
	forget := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if own.users--; own.users == 0 {
			delete(s.callers, caller)
		}
	}
	patience, cancel := context.WithTimeout(ctx, sharePatience)
	defer cancel()
	if err := own.room.Acquire(patience, 1); err != nil {
		forget()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
		}
		return nil, &api.Error{Code: api.CodeRateLimited, Message: "Rate limit exceeded", Data: tooManyAtOnce{
			"TOO_MANY_AT_ONCE", shareOfCaller, sharePatience.Milliseconds(), time.Second.Milliseconds(),
		}}
	}
	return func() {
		own.room.Release(1)
		forget()
	}, nil
}

// tooManyAtOnce is the data of that error. It has the fields of a rate-limit error.
type tooManyAtOnce struct {
	Reason       string `json:"reason"`
	Limit        int    `json:"limit"`
	WindowMs     int64  `json:"windowMs"`
	RetryAfterMs int64  `json:"retryAfterMs"`
}
