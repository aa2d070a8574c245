package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/migrations"
)

// TasksConfig is what the task views work on.
type TasksConfig struct {
	// Pool is what OpenPool gave for the namespace.
	Pool      *pgxpool.Pool
	Namespace string
	Logger    *slog.Logger // default slog.Default()
}

// Tasks is the projection into Postgres: a row for each task, views over them, and what task.list reads.
// A flush that includes Postgres empties it; after one that does not it keeps what it has.
type Tasks struct {
	cfg    TasksConfig
	schema string
	waiters
}

// OpenPool opens connections to the schema of a namespace. It does not connect yet: an error is a
// mistake in the URL.
func OpenPool(ctx context.Context, url, namespace string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil || misread(cfg) {
		return nil, unreadable(url, err)
	}
	if schema := migrations.Schema(namespace); schema != "" {
		if cfg.ConnConfig.RuntimeParams["search_path"] != "" {
			return nil, errors.New("the database URL sets search_path, and the namespace decides the schema: leave one of them out")
		}
		cfg.ConnConfig.RuntimeParams["search_path"] = pgx.Identifier{schema}.Sanitize()
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "claudebench"
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = maxConnect
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return pool, nil
}

// misread tells a URL in which a password was not encoded, so that its parts stand where others belong: the server's
// errors would tell them.
func misread(cfg *pgxpool.Config) bool {
	for name := range cfg.ConnConfig.RuntimeParams {
		if strings.Contains(name, "@") {
			return true
		}
	}
	return strings.Contains(cfg.ConnConfig.Database, "@")
}

// unreadable says what is wrong with a URL, but only where it cannot hold a password: nobody can tell which part of what cannot be
// read is the password.
func unreadable(url string, err error) error {
	if err != nil && !strings.Contains(url, "@") && !strings.Contains(url, "password") {
		return fmt.Errorf("read the database URL: %w", err)
	}
	return errors.New("read the database URL: it is not of the form postgres://user:password@host:port/database?sslmode=… " +
		"(in a password, letters such as / ? # @ : and % are written %2F, %3F, %23, %40, %3A and %25; or give it as PGPASSWORD)")
}

// maxConnect bounds one attempt to connect where the URL has no connect_timeout, so that callers of a database that is gone are told soon.
const maxConnect = 3 * time.Second

// NewTasks returns the projection. It does not call Postgres.
func NewTasks(cfg TasksConfig) *Tasks {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Tasks{cfg: cfg, schema: migrations.Schema(cfg.Namespace)}
}

// Name is "tasks".
func (t *Tasks) Name() string { return "tasks" }

// Prepare migrates the database and makes the checkpoint's row, which Apply locks.
func (t *Tasks) Prepare(ctx context.Context) error {
	if err := migrations.Up(ctx, t.cfg.Pool, t.schema, t.cfg.Logger); err != nil {
		return err
	}
	_, err := t.cfg.Pool.Exec(ctx,
		`INSERT INTO projection_checkpoints (name, id, seq, at) VALUES ($1, '0-0', 0, to_timestamp(0)) ON CONFLICT DO NOTHING`, t.Name())
	if err != nil {
		return fmt.Errorf("prepare the checkpoint of tasks: %w", err)
	}
	return nil
}

// Checkpoint is the last event applied.
func (t *Tasks) Checkpoint(ctx context.Context) (events.ID, error) {
	var text string
	err := t.cfg.Pool.QueryRow(ctx, `SELECT id FROM projection_checkpoints WHERE name = $1`, t.Name()).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return events.ID{}, nil
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

// Apply folds a batch to one change for each task and writes them in one transaction.
func (t *Tasks) Apply(ctx context.Context, batch events.Batch) error {
	if len(batch.Entries) == 0 {
		return nil
	}
	fold := newTasksFold(len(batch.Entries))
	if err := foldAll(t.Name(), batch, fold.add); err != nil {
		return err
	}
	err := pgx.BeginFunc(ctx, t.cfg.Pool, func(tx pgx.Tx) error {
		if err := t.lock(ctx, tx, batch.After); err != nil {
			return err
		}
		return t.write(ctx, tx, fold, batch.Last())
	})
	if err != nil {
		return fmt.Errorf("write the task views: %w", err)
	}
	if fold.replaced > 0 {
		t.cfg.Logger.WarnContext(ctx, "events hold U+0000 or an unpaired surrogate, which SQL cannot read; their task rows have U+FFFD in its place",
			"events", fold.replaced, "last", fold.lastReplaced.String())
	}
	t.reached(batch.Last().Seq)
	return nil
}

// Reset deletes the rows that the log can give again. Tasks created before base are of a time that a
// flush took out of the log and left in Postgres; they are kept.
func (t *Tasks) Reset(ctx context.Context, base int64) error {
	err := pgx.BeginFunc(ctx, t.cfg.Pool, func(tx pgx.Tx) error {
		var stored string
		if err := tx.QueryRow(ctx, lockCheckpoint, t.Name()).Scan(&stored); err != nil {
			return err
		}
		var b pgx.Batch
		b.Queue(`DELETE FROM tasks WHERE num >= $1`, base)
		b.Queue(setCheckpoint, t.Name(), events.ID{}.String(), 0, time.UnixMilli(0))
		return tx.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		return fmt.Errorf("reset the task views: %w", err)
	}
	t.back()
	return nil
}

const (
	lockCheckpoint = `SELECT id FROM projection_checkpoints WHERE name = $1 FOR UPDATE`
	setCheckpoint  = `UPDATE projection_checkpoints SET id = $2, seq = $3, at = $4 WHERE name = $1`
)

// lock takes the checkpoint's row until the transaction ends, and compares it.
func (t *Tasks) lock(ctx context.Context, tx pgx.Tx, after events.ID) error {
	var b pgx.Batch
	// Not waiting for the disk is safe: should Postgres crash, it loses the checkpoint together with what
	// was written beside it, and the log gives both again.
	b.Queue(`SET LOCAL synchronous_commit = off`)
	b.Queue(lockCheckpoint, t.Name())
	results := tx.SendBatch(ctx, &b)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		return err
	}
	var stored string
	if err := results.QueryRow().Scan(&stored); err != nil {
		return fmt.Errorf("lock the checkpoint: %w", err)
	}
	if stored != after.String() {
		return moved(t.Name(), after, stored)
	}
	return nil
}
