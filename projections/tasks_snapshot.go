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

	RunAt, TimeoutAt *time.Time
	Failures, Losses int64
	// Errors are the last failures, each a JSON object, separated by commas.
	Errors, Progress, Cancellation, Options *string
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
       created_at, updated_at, claimed_at, completed_at, waited_ms, duration_ms, seq,
       %s
FROM {schema}tasks WHERE num > $1 ORDER BY num LIMIT $2`

// The columns of extras, and what stands for them in a table of an earlier version.
const (
	snapshotExtras = `run_at, timeout_at, failures::bigint, losses::bigint, array_to_string(errors, ','), progress::text, cancellation::text, options::text`
	withoutExtras  = `NULL::timestamptz, NULL::timestamptz, 0::bigint, 0::bigint, NULL::text, NULL::text, NULL::text, NULL::text`
	hasExtras      = `SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = '{schema}tasks'::regclass AND attname = 'cancellation' AND NOT attisdropped)`
)

// Snapshot receives the views' rows as of one moment. An error of one of its functions stops the
// reading and is returned unchanged.
type Snapshot struct {
	// Begin is called first. log is the identity of the views' log, "" if a version without
	// identities wrote them. Sessions are folded from the event after sessionsAfter; it is -1 if a
	// version without sessions wrote the views.
	Begin func(at events.ID, log string, sessionsAfter int64) error
	// Task is called with each task, in the order of Num, then Session and Instance with each
	// session and each instance that had one, in no order.
	Task     func(TaskRow) error
	Session  func(*Session) error
	Instance func(*SessionInstance) error
	// Schedule is called with each schedule, in no order.
	Schedule func(ScheduleRow) error
}

// ReadSnapshot reads the views in one read-only transaction, so that they are consistent. The error
// wraps ErrNoTaskViews if there are no views.
func ReadSnapshot(ctx context.Context, pool *Pool, to Snapshot) error {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("read the task views: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	checkpoint, log, after, err := snapshotCheckpoint(ctx, tx, pool)
	if err != nil {
		return fmt.Errorf("read the task views: %w", err)
	}
	if err := to.Begin(checkpoint, log, after); err != nil {
		return err
	}
	if err := snapshotTasks(ctx, tx, pool, to.Task); err != nil || after < 0 {
		return err
	}
	if err := snapshotSessions(ctx, tx, pool, to); err != nil {
		return fmt.Errorf("read the sessions: %w", err)
	}
	if err := snapshotSchedules(ctx, tx, pool, to.Schedule); err != nil {
		return fmt.Errorf("read the schedules: %w", err)
	}
	return nil
}

func snapshotTasks(ctx context.Context, tx pgx.Tx, pool *Pool, row func(TaskRow) error) error {
	extras := snapshotExtras
	var has bool
	if err := tx.QueryRow(ctx, pool.sql(hasExtras)).Scan(&has); err != nil {
		return fmt.Errorf("read the task views: %w", err)
	}
	if !has {
		extras = withoutExtras
	}
	statement := pool.sql(fmt.Sprintf(selectTaskRows, extras))
	for last := int64(math.MinInt64); ; {
		rows, err := tx.Query(ctx, statement, last, snapshotPage)
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

// snapshotSessions reads all rows at once, because they are short: the driver does not keep them.
func snapshotSessions(ctx context.Context, tx pgx.Tx, pool *Pool, to Snapshot) error {
	rows, err := tx.Query(ctx, pool.sql(`SELECT `+sessionColumns+` FROM {schema}sessions`))
	if err != nil {
		return err
	}
	if err := scanSessions(rows, to.Session); err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, pool.sql(`SELECT `+instanceColumns+` FROM {schema}session_instances`)); err != nil {
		return err
	}
	return scanInstances(rows, to.Instance)
}

// The tables of earlier versions have no column log, and none of sessions.
const selectSnapshot = `
SELECT id, to_jsonb(c) ->> 'log', coalesce((to_jsonb(c) ->> 'sessions_after')::bigint, -1)
FROM {schema}projection_checkpoints c WHERE name = 'tasks'`

// SessionsAfter returns the seq after which sessions are folded; see Snapshot. It is 0 if there are
// no views.
func (p *Pool) SessionsAfter(ctx context.Context) (after int64, err error) {
	var id string
	var log *string
	err = p.queryRow(ctx, selectSnapshot, nil, &id, &log, &after)
	if errors.Is(err, pgx.ErrNoRows) || NotMigrated(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find where sessions begin: %w", err)
	}
	return after, nil
}

// snapshotCheckpoint reads the checkpoint, the log's identity and where sessions begin, in a
// transaction. The ID is zero if there is no checkpoint.
func snapshotCheckpoint(ctx context.Context, tx pgx.Tx, pool *Pool) (at events.ID, log string, after int64, err error) {
	var text string
	var stored *string
	err = tx.QueryRow(ctx, pool.sql(selectSnapshot)).Scan(&text, &stored, &after)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return at, "", 0, nil
	case NotMigrated(err):
		return at, "", 0, ErrNoTaskViews
	case err != nil:
		return at, "", 0, fmt.Errorf("read the checkpoint: %w", err)
	}
	at, err = events.ParseID(text)
	return at, orEmpty(stored), after, err
}
