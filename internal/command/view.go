package command

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// viewPatience is how long a method waits until the view has applied all events that were in the log
// before the call.
const viewPatience = 500 * time.Millisecond

// Awaited is a view in Postgres that can be waited for: a taskview.View or a taskview.EventIndex.
type Awaited interface {
	WaitFor(ctx context.Context, event events.ID, atMost time.Duration) error
}

// ReadView is the handler of a method that reads a view in Postgres. Nil means no Postgres. script
// counts the call and returns the ID of the log's last event. read is called once the view has
// applied that event, or after half a second, and returns the checkpoint of what it has read. It is
// called again if the view has moved back since the wait, because it may be rebuilt at any time. The
// result says how far behind the log that is; nil if it has everything.
func ReadView(ctx context.Context, c *Call, script lua.Bound[lua.NoArgs], view Awaited, shares *taskview.Shares,
	read func() (at events.ID, err error),
) (*api.Behind, error) {
	reply, err := Run(ctx, c, script, "", lua.NoArgs{})
	if err != nil {
		return nil, err
	}
	if view == nil {
		return nil, taskview.ErrNotConfigured
	}
	last, err := events.ParseID(fmt.Sprint(reply))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", script.Name, err)
	}
	leave, err := shares.Enter(ctx, cmp.Or(c.Caller, c.Addr))
	if err != nil {
		return nil, taskview.APIError(err)
	}
	defer leave()
	at, err := readCurrent(ctx, view, last, read)
	if err != nil {
		return nil, taskview.APIError(err)
	}
	if at.Covers(last) {
		return nil, nil
	}
	lag, err := taskview.ReadLag(ctx, c.scripts, at.String())
	if err != nil {
		return nil, err
	}
	return &api.Behind{Events: lag.Events, MS: lag.Age.Milliseconds()}, nil
}

func readCurrent(ctx context.Context, view Awaited, last events.ID, read func() (events.ID, error)) (events.ID, error) {
	for deadline := time.Now().Add(viewPatience); ; {
		if err := view.WaitFor(ctx, last, time.Until(deadline)); err != nil {
			return events.ID{}, err
		}
		at, err := read()
		if err != nil || at.Covers(last) || !time.Now().Before(deadline) {
			return at, err
		}
	}
}
