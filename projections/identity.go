package projections

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
)

// OpenLog returns the log's identity. If the log has none, it assigns the one in the global state,
// because a log that lost its hash is still the same log, or else a new one. A coordinator calls it
// at startup.
func OpenLog(ctx context.Context, cfg RedisConfig) (string, error) {
	kept, err := cfg.Client.HGet(ctx, cfg.Keys.State(), "log").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("read the identity of the global state's log: %w", err)
	}
	if err := cfg.Client.HSetNX(ctx, cfg.Keys.Log(), "identity", cmp.Or(kept, rand.Text())).Err(); err != nil {
		return "", fmt.Errorf("store the identity of the log: %w", err)
	}
	identity, err := cfg.Client.HGet(ctx, cfg.Keys.Log(), "identity").Result()
	if err != nil {
		return "", fmt.Errorf("read the log's identity: %w", err)
	}
	return identity, nil
}

const (
	// The table of the previous version has no column log. It has none until this program takes the
	// lease from a coordinator of that version.
	selectIdentity = `SELECT id, to_jsonb(c) ->> 'log' FROM {schema}projection_checkpoints c WHERE name = $1`
	lockIdentity   = `SELECT id, log FROM {schema}projection_checkpoints WHERE name = $1 FOR UPDATE`
	setIdentity    = `UPDATE {schema}projection_checkpoints SET log = $2 WHERE name = $1`
)

// compare returns an error that wraps events.ErrForeignLog if the rows belong to another log than
// this projection's.
func (s *postgresStore) compare(stored *string) error {
	if s.cfg.Identity == "" || stored == nil || *stored == s.cfg.Identity {
		return nil
	}
	return s.foreign(*stored, s.cfg.Identity)
}

// confirm checks that Redis still has the projection's log. Redis may have been replaced, or have
// come back empty, while this process ran.
func (s *postgresStore) confirm(ctx context.Context) error {
	if s.cfg.Log == nil || s.cfg.Identity == "" || s.cfg.TakeOver {
		return nil
	}
	identity, err := s.cfg.Log.Identity(ctx)
	if err != nil || identity == s.cfg.Identity {
		return err
	}
	if identity == "" {
		identity = "without an identity (it was replaced or has lost its data)"
	}
	return s.foreign(s.cfg.Identity, identity)
}

func (s *postgresStore) foreign(stored, identity string) error {
	return fmt.Errorf("%s follow the log %s, but this Redis holds the log %s: %w; nothing was changed; "+
		"use another --database-url or --namespace for each fleet; if this log replaces the other, for example because Redis lost its data, "+
		"run 'claudebench rebuild %s --take-over', which deletes the rows of the other log", s.what, stored, identity, events.ErrForeignLog, s.name)
}

// Identify compares the identity stored with the checkpoint, so that a coordinator refuses to start
// on another fleet's rows. It creates nothing. A database that is not migrated yet passes.
func (s *postgresStore) Identify(ctx context.Context) error {
	var text string
	var stored *string
	err := s.cfg.Pool.queryRow(ctx, selectIdentity, []any{s.name}, &text, &stored)
	if errors.Is(err, pgx.ErrNoRows) || NotMigrated(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the identity of the log of %s: %w", s.what, err)
	}
	if s.cfg.TakeOver {
		return nil // Prepare migrates it
	}
	return s.compare(stored)
}

// adopt writes the identity next to the checkpoint. Rows of a version without identities are
// adopted if their checkpoint fits the log.
func (s *postgresStore) adopt(ctx context.Context) error {
	if s.cfg.Identity == "" {
		return nil
	}
	return pgx.BeginTxFunc(ctx, s.cfg.Pool, readCommitted, func(tx pgx.Tx) error {
		var text string
		var stored *string
		if err := tx.QueryRow(ctx, s.sql(lockIdentity), s.name).Scan(&text, &stored); err != nil {
			return fmt.Errorf("read the identity of the log of %s: %w", s.what, err)
		}
		if stored != nil && *stored == s.cfg.Identity {
			return nil
		}
		if stored == nil {
			fits, err := s.fits(ctx, text)
			switch {
			case err != nil:
				return err
			case !fits && !s.cfg.TakeOver:
				return s.foreign("without an identity, at "+text, s.cfg.Identity)
			case fits:
				_, err := tx.Exec(ctx, s.sql(setIdentity), s.name, s.cfg.Identity)
				return err
			}
		}
		if !s.cfg.TakeOver {
			return s.compare(stored)
		}
		s.cfg.Logger.WarnContext(ctx, "rebuilding "+s.what+", which followed another log", "log", s.cfg.Identity)
		if err := s.empty(ctx, tx); err != nil {
			return err
		}
		var b pgx.Batch
		b.Queue(s.sql(resetCheckpoint), s.name)
		b.Queue(s.sql(setIdentity), s.name, s.cfg.Identity)
		return tx.SendBatch(ctx, &b).Close()
	})
}

func (s *postgresStore) fits(ctx context.Context, checkpoint string) (bool, error) {
	at, err := s.parse(checkpoint)
	if err != nil {
		return false, err
	}
	if s.cfg.Log == nil {
		return at.IsZero(), nil
	}
	return s.cfg.Log.Fits(ctx, at)
}
