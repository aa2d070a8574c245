package projections

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claudebench/claudebench/events"
)

// ErrNoTaskViews means that the database has no task views: the projection has never run there.
var ErrNoTaskViews = errors.New("the database has no task views")

// NotMigrated reports whether err is Postgres's error for a missing schema or table.
func NotMigrated(err error) bool {
	var answered *pgconn.PgError
	return errors.As(err, &answered) && slices.Contains([]string{"42P01", "3F000", "42703"}, answered.Code)
}

// TaskRow is a row of the table tasks as stored. JSON is text, byte for byte; nil is NULL.
type TaskRow struct {
	Num                     int64
	ID                      string
	Status                  string
	Priority, Attempt       int64
	AssignedTo              *string
	Text                    string
	Metadata, Result, Error *string
	CreatedAt, UpdatedAt    time.Time
	ClaimedAt, CompletedAt  *time.Time
	Waited, Duration        *int64 // ms
	Seq                     int64
}

// HasTaskViews reports whether the tasks projection has ever run in this database.
func (p *Pool) HasTaskViews(ctx context.Context) (bool, error) {
	var has bool
	err := p.queryRow(ctx, `SELECT EXISTS (SELECT FROM {schema}projection_checkpoints WHERE name = 'tasks')`, nil, &has)
	if NotMigrated(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find the task views: %w", err)
	}
	return has, nil
}

// snapshotPage is how many rows are read at a time.
const snapshotPage = 2000

const selectTaskRows = `
SELECT num, id, status, priority::bigint, attempt::bigint, assigned_to, text, metadata::text, result::text, error::text,
       created_at, updated_at, claimed_at, completed_at, waited_ms, duration_ms, seq
FROM {schema}tasks WHERE num > $1 ORDER BY num LIMIT $2`

// SnapshotTasks reads the task views in one read-only transaction, so that they are consistent. It
// passes the checkpoint and the identity of the views' log to begin, then every row in order of Num
// to row. The identity is "" if a version without identities wrote the views. An error of begin or
// row stops it and is returned unchanged. The error wraps ErrNoTaskViews if there are no task
// views.
func SnapshotTasks(ctx context.Context, pool *Pool, begin func(at events.ID, log string) error, row func(TaskRow) error) error {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("read the task views: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	checkpoint, log, err := snapshotCheckpoint(ctx, tx, pool)
	if err != nil {
		return fmt.Errorf("read the task views: %w", err)
	}
	if err := begin(checkpoint, log); err != nil {
		return err
	}
	for last := int64(math.MinInt64); ; {
		rows, err := tx.Query(ctx, pool.sql(selectTaskRows), last, snapshotPage)
		if err != nil {
			return fmt.Errorf("read the task views: %w", err)
		}
		page, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TaskRow])
		if err != nil {
			return fmt.Errorf("read the task views: %w", err)
		}
		for i := range page {
			if err := row(page[i]); err != nil {
				return err
			}
		}
		if len(page) < snapshotPage {
			return nil
		}
		last = page[len(page)-1].Num
	}
}

// snapshotCheckpoint reads the checkpoint and the log's identity in a transaction. The ID is zero
// if there is no checkpoint.
func snapshotCheckpoint(ctx context.Context, tx pgx.Tx, pool *Pool) (at events.ID, log string, err error) {
	var text string
	var stored *string
	err = tx.QueryRow(ctx, pool.sql(selectIdentity), "tasks").Scan(&text, &stored)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return at, "", nil
	case NotMigrated(err):
		return at, "", ErrNoTaskViews
	case err != nil:
		return at, "", fmt.Errorf("read the checkpoint: %w", err)
	}
	if stored != nil {
		log = *stored
	}
	at, err = events.ParseID(text)
	return at, log, err
}
