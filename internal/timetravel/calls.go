package timetravel

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/semaphore"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/position"
	"github.com/claudebench/claudebench/lua"
)

// callBytes is about how much memory the fold of a call may hold.
const callBytes = 128 << 20

// room is how many bytes a list may have in an answer; its last entry may exceed this.
const room = 512 << 10

// within returns the beginning of a list that fits into some bytes of JSON, with the entry that exceeds
// them.
func within[T any](list []T, bytes int) []T {
	for i := range list {
		text, err := jsontext.Marshal(list[i])
		if bytes -= len(text); bytes < 0 || err != nil {
			return list[:i+1]
		}
	}
	return list
}

// Calls folds the log for the calls of a coordinator, system.get_state with at and audit.diff: one at a
// time. Its errors that a caller can do something about are *api.Error. It is a past.Reader.
type Calls struct {
	log  Source
	turn *semaphore.Weighted
}

// NewCalls returns Calls that read a log.
func NewCalls(log Source) *Calls { return &Calls{log: log, turn: semaphore.NewWeighted(1)} }

// State returns the state of the fleet at a position.
func (c *Calls) State(ctx context.Context, at position.Position, limit int) (*api.PastState, error) {
	return travel(ctx, c, func() (*api.PastState, error) {
		s, err := State(ctx, c.options(limit), at)
		if err == nil {
			s.Queues, s.Limits, s.Schedules = within(s.Queues, room), within(s.Limits, room), within(s.Schedules, room)
			s.Instances, s.Tasks = within(s.Instances, room), within(s.Tasks, room)
		}
		return s, err
	})
}

// Diff returns what changed between two positions.
func (c *Calls) Diff(ctx context.Context, from, to position.Position, limit int) (*api.PastDiff, error) {
	return travel(ctx, c, func() (*api.PastDiff, error) {
		d, err := Diff(ctx, c.options(limit), from, to)
		if err == nil {
			d.Tasks, d.Instances, d.Others = within(d.Tasks, room), within(d.Instances, room), within(d.Others, room)
		}
		return d, err
	})
}

func (c *Calls) options(limit int) Options {
	return Options{Log: c.log, Limit: limit, MaxBytes: callBytes}
}

// travel runs a fold when it is its turn.
func travel[R any](ctx context.Context, c *Calls, fold func() (*R, error)) (*R, error) {
	if err := c.turn.Acquire(ctx, 1); err != nil {
		return nil, errTooLong
	}
	defer c.turn.Release(1)
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
