package projections

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"github.com/claudebench/claudebench/events"
)

// Tasks is the projection into Postgres: a row for each task and for each session of an agent, views
// over them, and the queries of task.list and session.*. A flush that includes Postgres empties it;
// any other flush leaves its rows.
type Tasks struct{ *postgresStore }

// NewTasks returns the projection. It does not call Postgres.
func NewTasks(cfg PostgresConfig) *Tasks {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	t := &Tasks{&postgresStore{name: "tasks", what: "the task views", cfg: cfg}}
	t.empty = t.deleteAll
	return t
}

// deleteAll deletes all rows.
func (t *Tasks) deleteAll(ctx context.Context, tx pgx.Tx) error {
	var b pgx.Batch
	b.Queue(t.sql(`DELETE FROM {schema}tasks`))
	b.Queue(t.sql(emptySchedules))
	for _, statement := range emptySessions {
		b.Queue(t.sql(statement))
	}
	return tx.SendBatch(ctx, &b).Close()
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

// applyIn is Apply in a transaction of the caller.
func (t *Tasks) applyIn(ctx context.Context, tx pgx.Tx, batch events.Batch) error {
	fold := newTasksFold(len(batch.Entries))
	if err := foldAll(t.Name(), batch, fold.add); err != nil {
		return err
	}
	if err := t.lock(ctx, tx, batch.After); err != nil {
		return err
	}
	return t.write(ctx, tx, fold, batch.Last())
}

// beside returns the projection into the second place.
func (t *Tasks) beside() secondary {
	aside := NewTasks(t.cfg.secondPlace(t.name))
	return &postgresRebuild{Projection: aside, applyIn: aside.applyIn, live: t.postgresStore, place: aside.postgresStore, tables: tasksTables}
}

// Reset deletes the rows that the log can restore. It keeps tasks and sessions that began before
// base: a flush removed their events from the log but left them in Postgres.
func (t *Tasks) Reset(ctx context.Context, base int64) error {
	return t.reset(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue(t.sql(`DELETE FROM {schema}tasks WHERE num >= $1`), base)
		b.Queue(t.sql(resetSchedules), base)
		for _, statement := range resetSessions {
			b.Queue(t.sql(statement), base)
		}
		return tx.SendBatch(ctx, &b).Close()
	})
}
