package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"github.com/claudebench/claudebench/events"
)

// TasksConfig configures the task views.
type TasksConfig struct {
	// Pool is the namespace's pool from OpenPool.
	Pool   *Pool
	Logger *slog.Logger // default slog.Default()

	// Identity is the log's identity from OpenLog. It is stored with the checkpoint and compared by
	// everything that reads or writes rows. "" disables the comparison.
	Identity string
	// Log checks whether a checkpoint that was stored without an identity fits. Required with
	// Identity.
	Log *events.Reader
	// TakeOver deletes the rows of another log instead of refusing them. Set it only if the caller
	// owns both stores.
	TakeOver bool
}

// Tasks is the projection into Postgres: a row for each task and for each session of an agent, views
// over them, and the queries of task.list and session.*. A flush that includes Postgres empties it;
// any other flush leaves its rows.
type Tasks struct {
	cfg TasksConfig
	waiters
}

// NewTasks returns the projection. It does not call Postgres.
func NewTasks(cfg TasksConfig) *Tasks {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Tasks{cfg: cfg}
}

// Name returns "tasks".
func (t *Tasks) Name() string { return "tasks" }

// sql returns a statement for the namespace's schema.
func (t *Tasks) sql(statement string) string { return t.cfg.Pool.sql(statement) }

// Prepare migrates the database and creates the checkpoint's row, which Apply locks.
func (t *Tasks) Prepare(ctx context.Context) error {
	if err := t.cfg.Pool.migrate(ctx, t.cfg.Logger); err != nil {
		return err
	}
	_, err := t.cfg.Pool.Exec(ctx, t.sql(insertCheckpoint), t.Name())
	if err != nil {
		return fmt.Errorf("prepare the checkpoint of tasks: %w", err)
	}
	return t.adopt(ctx)
}

// Checkpoint returns the last event applied.
func (t *Tasks) Checkpoint(ctx context.Context) (events.ID, error) {
	var text string
	var log *string
	err := t.cfg.Pool.queryRow(ctx, selectIdentity, []any{t.Name()}, &text, &log)
	if errors.Is(err, pgx.ErrNoRows) {
		return events.ID{}, nil
	}
	if err == nil {
		err = t.compare(log)
	}
	if err != nil {
		return events.ID{}, fmt.Errorf("read the checkpoint of tasks: %w", err)
	}
	id, err := events.ParseID(text)
	if err != nil {
		return events.ID{}, fmt.Errorf("read the checkpoint of tasks: %w", err)
	}
	return id, nil
}

// Apply folds a batch to one change for each task and session and writes them in one transaction.
func (t *Tasks) Apply(ctx context.Context, batch events.Batch) error {
	if len(batch.Entries) == 0 {
		return nil
	}
	fold := newTasksFold(len(batch.Entries))
	if err := foldAll(t.Name(), batch, fold.add); err != nil {
		return err
	}
	err := pgx.BeginTxFunc(ctx, t.cfg.Pool, readCommitted, func(tx pgx.Tx) error {
		if err := t.lock(ctx, tx, batch.After); err != nil {
			return err
		}
		return t.write(ctx, tx, fold, batch.Last())
	})
	if err != nil {
		return fmt.Errorf("write the task views: %w", err)
	}
	if fold.replaced > 0 {
		t.cfg.Logger.WarnContext(ctx, "events contain U+0000 or an unpaired surrogate, which SQL cannot store; their task rows contain U+FFFD instead",
			"events", fold.replaced, "last", fold.lastReplaced.String())
	}
	t.reached(batch.Last())
	return nil
}

// Reset deletes the rows that the log can restore. It keeps tasks and sessions that began before
// base: a flush removed their events from the log but left them in Postgres.
func (t *Tasks) Reset(ctx context.Context, base int64) error {
	if err := t.confirm(ctx); err != nil {
		return fmt.Errorf("reset the task views: %w", err)
	}
	err := pgx.BeginTxFunc(ctx, t.cfg.Pool, readCommitted, func(tx pgx.Tx) error {
		var stored string
		var log *string
		if err := tx.QueryRow(ctx, t.sql(lockIdentity), t.Name()).Scan(&stored, &log); err != nil {
			return err
		}
		if err := t.compare(log); err != nil {
			return err
		}
		var b pgx.Batch
		b.Queue(t.sql(`DELETE FROM {schema}tasks WHERE num >= $1`), base)
		for _, statement := range resetSessions {
			b.Queue(t.sql(statement), base)
		}
		b.Queue(t.sql(resetCheckpoint), t.Name())
		return tx.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		return fmt.Errorf("reset the task views: %w", err)
	}
	t.back()
	return nil
}

const (
	insertCheckpoint = `INSERT INTO {schema}projection_checkpoints (name, id, seq, at) VALUES ($1, '0-0', 0, to_timestamp(0)) ON CONFLICT DO NOTHING`
	setCheckpoint    = `UPDATE {schema}projection_checkpoints SET id = $2, seq = $3, at = $4 WHERE name = $1`
	resetCheckpoint  = `UPDATE {schema}projection_checkpoints SET id = '0-0', seq = 0, at = to_timestamp(0), sessions_after = 0 WHERE name = $1`
)

// readCommitted is the isolation level that the transactions expect, whatever the database's
// default.
var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

// lock locks the checkpoint's row until the transaction ends, and compares it.
func (t *Tasks) lock(ctx context.Context, tx pgx.Tx, after events.ID) error {
	var b pgx.Batch
	// Not waiting for the disk is safe: if Postgres crashes, it loses the checkpoint together with
	// the rows of its transaction, and the log restores both.
	b.Queue(`SET LOCAL synchronous_commit = off`)
	b.Queue(t.sql(lockIdentity), t.Name())
	results := tx.SendBatch(ctx, &b)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		return err
	}
	var stored string
	var log *string
	if err := results.QueryRow().Scan(&stored, &log); err != nil {
		return fmt.Errorf("lock the checkpoint: %w", err)
	}
	if err := t.compare(log); err != nil {
		return err
	}
	if stored != after.String() {
		return moved(t.Name(), after, stored)
	}
	return nil
}
