package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claudebench/claudebench/events"
)

// PostgresConfig configures the projections into Postgres.
type PostgresConfig struct {
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

// postgresStore is the store of a projection into Postgres: its checkpoint, with the identity of its
// log, and the calls that wait for it.
type postgresStore struct {
	name string
	what string // its rows, in errors: a noun in the plural
	cfg  PostgresConfig
	// empty deletes all rows.
	empty func(ctx context.Context, tx pgx.Tx) error
	waiters
}

// Name returns the projection's name.
func (s *postgresStore) Name() string { return s.name }

// outsideRedis says that Redis does not know the checkpoint, unless the holder of the lease tells it.
func (s *postgresStore) outsideRedis() {}

// sql returns a statement for the namespace's schema.
func (s *postgresStore) sql(statement string) string { return s.cfg.Pool.sql(statement) }

// Prepare migrates the database and creates the checkpoint's row, which Apply locks.
func (s *postgresStore) Prepare(ctx context.Context) error {
	if err := s.cfg.Pool.migrate(ctx, s.cfg.Logger); err != nil {
		return err
	}
	_, err := s.cfg.Pool.Exec(ctx, s.sql(insertCheckpoint), s.name)
	if err != nil {
		return fmt.Errorf("prepare the checkpoint of %s: %w", s.name, err)
	}
	return s.adopt(ctx)
}

// Checkpoint returns the last event applied.
func (s *postgresStore) Checkpoint(ctx context.Context) (events.ID, error) {
	var text string
	var log *string
	err := s.cfg.Pool.queryRow(ctx, selectIdentity, []any{s.name}, &text, &log)
	if errors.Is(err, pgx.ErrNoRows) {
		return events.ID{}, nil
	}
	if err == nil {
		err = s.compare(log)
	}
	if err != nil {
		return events.ID{}, fmt.Errorf("read the checkpoint of %s: %w", s.name, err)
	}
	return s.parse(text)
}

func (s *postgresStore) parse(checkpoint string) (events.ID, error) {
	id, err := events.ParseID(checkpoint)
	if err != nil {
		return events.ID{}, fmt.Errorf("read the checkpoint of %s: %w", s.name, err)
	}
	return id, nil
}

// position returns the checkpoint that a query read, and compares the log's identity. Nil was
// compared before.
func (s *postgresStore) position(at string, log *string) (events.ID, error) {
	if err := s.compare(log); err != nil {
		return events.ID{}, err
	}
	id, err := s.parse(at)
	if err != nil {
		return events.ID{}, err
	}
	if applied, _ := s.progress(); !id.Covers(applied) {
		s.back() // somebody rebuilds the projection, or Postgres crashed and lost its last batches
	}
	return id, nil
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
func (s *postgresStore) lock(ctx context.Context, tx pgx.Tx, after events.ID) error {
	var b pgx.Batch
	// Not waiting for the disk is safe: if Postgres crashes, it loses the checkpoint together with
	// the rows of its transaction, and the log restores both.
	b.Queue(`SET LOCAL synchronous_commit = off`)
	b.Queue(s.sql(lockIdentity), s.name)
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
	if err := s.compare(log); err != nil {
		return err
	}
	if stored != after.String() {
		return moved(s.name, after, stored)
	}
	return nil
}

// reset runs some statements and moves the checkpoint to the log's start, in one transaction.
func (s *postgresStore) reset(ctx context.Context, remove func(ctx context.Context, tx pgx.Tx) error) error {
	if err := s.confirm(ctx); err != nil {
		return fmt.Errorf("reset %s: %w", s.what, err)
	}
	err := pgx.BeginTxFunc(ctx, s.cfg.Pool, readCommitted, func(tx pgx.Tx) error {
		var stored string
		var log *string
		if err := tx.QueryRow(ctx, s.sql(lockIdentity), s.name).Scan(&stored, &log); err != nil {
			return err
		}
		if err := s.compare(log); err != nil {
			return err
		}
		if err := remove(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, s.sql(resetCheckpoint), s.name)
		return err
	})
	if err != nil {
		return fmt.Errorf("reset %s: %w", s.what, err)
	}
	s.back()
	return nil
}

// save stores the checkpoint.
func (s *postgresStore) save(to events.ID) (statement string, args []any) {
	return s.sql(setCheckpoint), []any{s.name, to.String(), to.Seq, time.UnixMilli(to.MS)}
}
