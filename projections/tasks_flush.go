package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ErrRowsKept is wrapped by the error of Flush if the rows were certainly not deleted and that call
// will not delete them. After any other error the outcome is open; Decide returns it.
var ErrRowsKept = errors.New("the rows of the task views are kept")

const (
	writeFlush = `INSERT INTO {schema}system_flushes (id, deleted) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`
	readFlush  = `SELECT deleted, tasks_deleted FROM {schema}system_flushes WHERE id = $1`
	countFlush = `UPDATE {schema}system_flushes SET tasks_deleted = $2 WHERE id = $1`
)

// Flush deletes all rows and records how many tasks under the flush's id, in one transaction. Called
// again with the same id, it returns the same count. Unless the views have applied upTo, the seq of
// the last event, nothing is deleted, so that the count is exact.
//
// The checkpoint goes back to the log's start. If Redis forgets the flush in a crash, and so keeps
// the log, the rows are folded again from it and the two agree.
func (t *Tasks) Flush(ctx context.Context, id string, upTo int64) (tasks int64, err error) {
	tx, err := t.cfg.Pool.BeginTx(ctx, readCommitted)
	if err != nil {
		return 0, fmt.Errorf("flush the task views: %w: %w", ErrRowsKept, err)
	}
	// After a commit it does nothing. If the rollback fails, pgx closes the connection.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	tasks, err = t.flush(ctx, tx, id, upTo)
	if err != nil {
		return 0, fmt.Errorf("flush the task views: %w: %w", ErrRowsKept, err)
	}
	if err := tx.Commit(ctx); err != nil {
		return 0, fmt.Errorf("flush the task views: %w", err)
	}
	t.back()
	return tasks, nil
}

func (t *Tasks) flush(ctx context.Context, tx pgx.Tx, id string, upTo int64) (tasks int64, err error) {
	written, err := tx.Exec(ctx, t.sql(writeFlush), id, true)
	if err != nil {
		return 0, err
	}
	if written.RowsAffected() == 0 {
		tasks, deleted, err := t.readDecision(ctx, tx, id)
		if err == nil && !deleted {
			err = errors.New("the flush was undone")
		}
		return tasks, err
	}
	var at int64
	var log *string
	err = tx.QueryRow(ctx, t.sql(`SELECT seq, log FROM {schema}projection_checkpoints WHERE name = $1 FOR UPDATE`), t.Name()).Scan(&at, &log)
	if err != nil {
		return 0, fmt.Errorf("lock the checkpoint: %w", err)
	}
	if err := t.compare(log); err != nil {
		return 0, err
	}
	if at < upTo {
		return 0, fmt.Errorf("the views have applied the log only up to seq %d of %d", at, upTo)
	}
	gone, err := tx.Exec(ctx, t.sql(`DELETE FROM {schema}tasks`))
	if err != nil {
		return 0, err
	}
	if err := t.cfg.Pool.flushEvents(ctx, tx); err != nil {
		return 0, err
	}
	var b pgx.Batch
	b.Queue(t.sql(emptySchedules))
	for _, statement := range emptySessions {
		b.Queue(t.sql(statement))
	}
	b.Queue(t.sql(resetCheckpoint), t.Name())
	b.Queue(t.sql(countFlush), id, gone.RowsAffected())
	return gone.RowsAffected(), tx.SendBatch(ctx, &b).Close()
}

// Decide reports whether the rows were deleted under a flush's id, and how many. If they were not,
// they never will be: it waits for a transaction that is deleting them, and writes a note that
// stops a later one.
func (t *Tasks) Decide(ctx context.Context, id string) (tasks int64, deleted bool, err error) {
	if _, err := t.cfg.Pool.Exec(ctx, t.sql(writeFlush), id, false); err != nil {
		return 0, false, fmt.Errorf("decide on a flush: %w", err)
	}
	tasks, deleted, err = t.readDecision(ctx, t.cfg.Pool, id)
	if err != nil {
		return 0, false, fmt.Errorf("decide on a flush: %w", err)
	}
	return tasks, deleted, nil
}

func (t *Tasks) readDecision(ctx context.Context, from interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, id string,
) (tasks int64, deleted bool, err error) {
	err = from.QueryRow(ctx, t.sql(readFlush), id).Scan(&deleted, &tasks)
	return tasks, deleted, err
}
