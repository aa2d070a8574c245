package timetravel

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/semaphore"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/position"
	"github.com/claudebench/claudebench/lua"
)

// callBytes is about how much memory the fold of a call may hold.
const callBytes = 128 << 20

// Calls folds the log for the calls of a coordinator, system.get_state with at and audit.diff: one at a
// time. Its errors that a caller can do something about are *api.Error. It is a past.Reader.
type Calls struct {
	log  Source
	room *semaphore.Weighted
}

// NewCalls returns Calls that read a log.
func NewCalls(log Source) *Calls { return &Calls{log: log, room: semaphore.NewWeighted(1)} }

// State returns the state of the fleet at a position.
func (c *Calls) State(ctx context.Context, at position.Position, limit int) (*api.PastState, error) {
	return travel(ctx, c, func() (*api.PastState, error) { return State(ctx, c.options(limit), at) })
}

// Diff returns what changed between two positions.
func (c *Calls) Diff(ctx context.Context, from, to position.Position, limit int) (*api.PastDiff, error) {
	return travel(ctx, c, func() (*api.PastDiff, error) { return Diff(ctx, c.options(limit), from, to) })
}

func (c *Calls) options(limit int) Options {
	return Options{Log: c.log, Limit: limit, MaxBytes: callBytes}
}

// travel runs a fold when it is its turn.
func travel[R any](ctx context.Context, c *Calls, fold func() (*R, error)) (*R, error) {
	if err := c.room.Acquire(ctx, 1); err != nil {
		return nil, errTooLong
	}
	defer c.room.Release(1)
	result, err := fold()
	switch {
	case err == nil:
		return result, nil
	case errors.Is(err, ErrBefore), errors.Is(err, ErrOrder):
		return nil, api.InvalidParams(err.Error())
	case errors.Is(err, ErrTooLarge):
		return nil, api.InvalidParams(fmt.Sprintf("%v; %s", err, elsewhere))
	case ctx.Err() != nil:
		return nil, errTooLong
	}
	return nil, fmt.Errorf("%w: %w", lua.ErrUnavailable, err)
}

// elsewhere says what to do about a log that is too long for a coordinator.
const elsewhere = "'claudebench state' and 'claudebench diff' with --redis-url have no such bound"

// errTooLong is the error of a fold that did not end in time.
var errTooLong = api.InvalidParams("the log up to there is too long to be folded in the time of a call, or other calls fold it; " + elsewhere)
