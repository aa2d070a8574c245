package command

import (
	"context"
	"errors"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/taskview"
)

// ErrTimeout is the cause of a context that ended by its method's timeout. In any other case the
// caller gave the call up.
var ErrTimeout = errors.New("the method's timeout has expired")

// sign returns what the error of a call says about the infrastructure. Nil means that it works.
func (c *Call) sign(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, taskview.ErrBusy) {
		return breaker.ErrNoSign // it waited for its turn; Postgres was not asked
	}
	failed, _ := APIError(err)
	switch failed.Outcome() {
	case api.OutcomeInvalid, api.OutcomeUnauthorized, api.OutcomeRateLimited:
		return breaker.ErrNoSign // perhaps nothing was asked, or only Redis
	case api.OutcomeUnavailable, api.OutcomeLost:
		if errors.Is(err, taskview.ErrNotConfigured) {
			return nil // without Postgres none can be away, and Redis has replied
		}
	case api.OutcomeFault:
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, taskview.ErrUnavailable) {
			return breaker.ErrNoSign
		}
	default:
		return nil
	}
	if ctx.Err() != nil && (c.late || !errors.Is(context.Cause(ctx), ErrTimeout)) {
		return breaker.ErrNoSign // the caller gave up, or spent the time on sending its request
	}
	return breaker.ErrInfrastructure
}
