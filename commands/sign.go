package commands

import (
	"context"
	"errors"

	"github.com/claudebench/claudebench/internal/api"
)

// errMethodTimeout is the cause of a context that ended with its method's timeout. A call that ended by
// anything else was given up by its caller.
var errMethodTimeout = errors.New("the method's timeout is over")

// sign is what a call that ended so tells of the infrastructure: nil that it works.
func (c *call) sign(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	failed := apiError(err)
	switch api.OutcomeOf(failed) {
	case api.OutcomeInvalid, api.OutcomeUnauthorized, api.OutcomeRateLimited:
		return errNoSign // perhaps nobody was asked, or Redis and not Postgres
	case api.OutcomeUnavailable, api.OutcomeLost:
		if errors.Is(err, ErrNoPostgres) {
			return nil // there is none to be away, and Redis has answered
		}
	case api.OutcomeFault:
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrViewUnavailable) {
			return errNoSign
		}
	default:
		return nil
	}
	if ctx.Err() != nil && (c.late || !errors.Is(context.Cause(ctx), errMethodTimeout)) {
		return errNoSign // the caller did not wait, or took the time itself to send the request
	}
	return errInfrastructure
}
