package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/projections"
)

// taskView is the projection of tasks and sessions as commands read it.
type taskView struct{ tasks *projections.Tasks }

func (v taskView) WaitFor(ctx context.Context, event events.ID, atMost time.Duration) error {
	return unavailable(v.tasks.WaitFor(ctx, event, atMost))
}

func (v taskView) List(ctx context.Context, q api.TaskQuery) (taskview.Page, error) {
	page, err := v.tasks.List(ctx, q)
	if errors.Is(err, projections.ErrPageTooLarge) {
		return taskview.Page{}, taskview.ErrPageTooLarge
	}
	return taskview.Page{Tasks: page.Tasks, Total: int(page.Total), Next: page.Next, At: page.At}, unavailable(err)
}

func (v taskView) Matching(ctx context.Context, f api.TaskFilter, after int64, limit int) (taskview.Matches, error) {
	found, err := v.tasks.Matching(ctx, f, after, limit)
	return taskview.Matches(found), unavailable(err)
}

func (v taskView) Sessions(ctx context.Context, q api.SessionQuery) (taskview.SessionPage, error) {
	page, err := v.tasks.Sessions(ctx, q)
	return taskview.SessionPage(page), unavailable(err)
}

func (v taskView) Session(ctx context.Context, id string) (*api.SessionDetails, events.ID, error) {
	session, at, err := v.tasks.Session(ctx, id)
	return session, at, unavailable(err)
}

// Checkpoint requires the database to be available and migrated.
func (v taskView) Checkpoint(ctx context.Context) (string, error) {
	at, err := v.tasks.Checkpoint(ctx)
	return at.String(), unavailable(err)
}

// eventIndex is the projection of events as commands read it.
type eventIndex struct{ events *projections.Events }

func (v eventIndex) WaitFor(ctx context.Context, event events.ID, atMost time.Duration) error {
	return unavailable(v.events.WaitFor(ctx, event, atMost))
}

func (v eventIndex) Checkpoint(ctx context.Context) (string, error) {
	at, err := v.events.Checkpoint(ctx)
	return at.String(), unavailable(err)
}

func (v eventIndex) Events(ctx context.Context, q api.EventQuery) (taskview.EventPage, error) {
	page, err := v.events.List(ctx, q)
	return taskview.EventPage(page), unavailable(err)
}

// Position, Flush and Decide implement taskview.Rows.
func (v taskView) Position(ctx context.Context) (seq, at int64, err error) {
	id, err := v.tasks.Checkpoint(ctx)
	return id.Seq, id.MS, unavailable(err)
}

func (v taskView) Flush(ctx context.Context, id string, upTo int64) (int64, error) {
	n, err := v.tasks.Flush(ctx, id, upTo)
	if errors.Is(err, projections.ErrRowsKept) {
		err = fmt.Errorf("%w: %w", taskview.ErrRowsKept, err)
	}
	return n, unavailable(err)
}

func (v taskView) Decide(ctx context.Context, id string) (tasks int64, deleted bool, err error) {
	tasks, deleted, err = v.tasks.Decide(ctx, id)
	return tasks, deleted, unavailable(err)
}

// unavailable reports a Postgres that cannot be reached, or is not migrated yet, as
// taskview.ErrUnavailable. Other errors are faults of the coordinator.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, projections.ErrBusy) {
		return fmt.Errorf("%w: %w", taskview.ErrBusy, err)
	}
	var answered *pgconn.PgError
	if errors.As(err, &answered) && !projections.NotMigrated(err) {
		switch answered.Code[:2] {
		// Classes: connection, password, database, resources, shutdown, system.
		case "08", "28", "3D", "53", "57", "58":
		default:
			if !projections.Pooled(err) {
				return err
			}
		}
	}
	return fmt.Errorf("%w: %w", taskview.ErrUnavailable, err)
}
