package server

import (
	"context"
	"errors"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/verification"
	"github.com/claudebench/claudebench/projections"
)

// verifyBytes is about how much memory the fold of a verification may hold in a coordinator. With
// what is read at a time, a verification takes at most about twice as much.
const verifyBytes = 256 << 20

var errUnread = errors.New("verify: Redis or Postgres could not be read; the log of the coordinator says why")

// verify returns what verifies the log for audit.verify. Its connections to Postgres are its own,
// so that the projections and task.list do not wait for it.
func (s *Server) verify(cfg *config.Config, space keys.Space) verification.Func {
	return func(ctx context.Context, step func(context.Context, verification.Position) error) (result api.AuditResult, err error) {
		o := audit.Options{
			Redis: s.redis, Keys: space, Archive: s.archive, MaxBytes: verifyBytes,
			Step: func(ctx context.Context, p audit.Position) error { return step(ctx, verification.Position(p)) },
		}
		if cfg.DatabaseURL != "" {
			if o.Postgres, err = projections.OpenPool(ctx, cfg.DatabaseURL, cfg.Namespace); err != nil {
				return result, err
			}
			defer o.Postgres.Close()
		}
		report, err := audit.Verify(ctx, o)
		switch {
		case err == nil:
		case ctx.Err() != nil, errors.Is(err, audit.ErrTooLarge), errors.Is(err, audit.ErrFlushed):
			return result, err
		default:
			// Every caller may read the result, and the error can name hosts and users.
			s.logger.WarnContext(ctx, "a store could not be read for the verification of the log", "error", err)
			return result, errUnread
		}
		result = api.AuditResult{
			Base: report.Base, LastSeq: report.Last.Seq, Events: report.Events, Tasks: report.Tasks, Instances: report.Instances, Rows: report.Rows,
			Postgres: report.Postgres, Damages: report.Violations, DamagesTotal: report.Total, Notes: report.Notes,
		}
		for _, gap := range report.Gaps {
			result.Gaps = append(result.Gaps, api.AuditGap{From: gap.From, To: gap.To, Reason: "missing"})
		}
		return result, nil
	}
}
