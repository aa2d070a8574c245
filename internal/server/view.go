package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/projections"
)

// taskView lets task.list read the projection.
type taskView struct{ tasks *projections.Tasks }

func (v taskView) WaitFor(ctx context.Context, seq int64, atMost time.Duration) error {
	return unavailable(v.tasks.WaitFor(ctx, seq, atMost))
}

func (v taskView) List(ctx context.Context, q commands.TaskQuery) ([]json.RawMessage, int, error) {
	query := projections.TaskQuery{Limit: q.Limit, Offset: q.Offset, OrderBy: q.OrderBy, Descending: q.Order == "desc"}
	if q.Status != "" {
		query.Status = &q.Status
	}
	if q.AssignedTo != "" {
		query.AssignedTo = &q.AssignedTo
	}
	if q.Priority != nil {
		query.Priority = new(int64(*q.Priority))
	}
	page, err := v.tasks.List(ctx, query)
	return page.Tasks, int(page.Total), unavailable(err)
}

// unavailable tells a Postgres that cannot be reached, or has not been migrated yet, from a fault of ours.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	var answered *pgconn.PgError
	if errors.As(err, &answered) {
		switch answered.Code[:2] {
		case "08", "53", "57", "58", "3F": // connection, resources, shutdown, system, no schema yet
		default:
			if answered.Code != "42P01" { // no table yet
				return err
			}
		}
	}
	return fmt.Errorf("%w: %w", commands.ErrViewUnavailable, err)
}
