package command

import (
	"context"
	"errors"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/taskview"
)

// ErrTimeout is the cause of a context that ended with its method's timeout. A call that ended by
// anything else was given up by its caller.
var ErrTimeout = errors.New("the method's timeout is over")

// sign is what a call that ended so tells of the infrastructure: nil that it works.
func (c *Call) sign(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, taskview.ErrBusy) {
		return breaker.ErrNoSign // it waited for us, and Postgres was not asked
	}
	failed, _ := APIError(err)
	switch failed.Outcome() {
	case api.OutcomeInvalid, api.OutcomeUnauthorized, api.OutcomeRateLimited:
		return breaker.ErrNoSign // perhaps nobody was asked, or Redis and not Postgres
	case api.OutcomeUnavailable, api.OutcomeLost:
		if errors.Is(err, taskview.ErrNotConfigured) {
			return nil // there is none to be away, and Redis has answered
		}
	case api.OutcomeFault:
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, taskview.ErrUnavailable) {
			return breaker.ErrNoSign
		}
	default:
		return nil
	}
	if ctx.Err() != nil && (c.late || !errors.Is(context.Cause(ctx), ErrTimeout)) {
		return breaker.ErrNoSign // the caller did not wait, or took the time itself to send the request
	}
	return breaker.ErrInfrastructure
}
