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
func (t *Tasks) compare(stored *string) error {
	if t.cfg.Identity == "" || stored == nil || *stored == t.cfg.Identity {
		return nil
	}
	return foreign(*stored, t.cfg.Identity)
}

// confirm checks that Redis still has the projection's log. Redis may have been replaced, or have
// come back empty, while this process ran.
func (t *Tasks) confirm(ctx context.Context) error {
	if t.cfg.Log == nil || t.cfg.Identity == "" || t.cfg.TakeOver {
		return nil
	}
	identity, err := t.cfg.Log.Identity(ctx)
	if err != nil || identity == t.cfg.Identity {
		return err
	}
	if identity == "" {
		identity = "without an identity (it was replaced or has lost its data)"
	}
	return foreign(t.cfg.Identity, identity)
}

func foreign(stored, identity string) error {
	return fmt.Errorf("the task views follow the log %s, but this Redis holds the log %s: %w; nothing was changed; "+
		"use another --database-url or --namespace for each fleet; if this log replaces the other, for example because Redis lost its data, "+
		"run 'claudebench rebuild tasks --take-over', which deletes the rows of the other log", stored, identity, events.ErrForeignLog)
}

// Identify compares the identity stored with the checkpoint, so that a coordinator refuses to start
// on another fleet's rows. It creates nothing. A database that is not migrated yet passes.
func (t *Tasks) Identify(ctx context.Context) error {
	var text string
	var stored *string
	err := t.cfg.Pool.queryRow(ctx, selectIdentity, []any{t.Name()}, &text, &stored)
	if errors.Is(err, pgx.ErrNoRows) || NotMigrated(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the identity of the task views' log: %w", err)
	}
	if t.cfg.TakeOver {
		return nil // Prepare migrates it
	}
	return t.compare(stored)
}

// adopt writes the identity next to the checkpoint. Rows of a version without identities are
// adopted if their checkpoint fits the log.
func (t *Tasks) adopt(ctx context.Context) error {
	if t.cfg.Identity == "" {
		return nil
	}
	return pgx.BeginTxFunc(ctx, t.cfg.Pool, readCommitted, func(tx pgx.Tx) error {
		var text string
		var stored *string
		if err := tx.QueryRow(ctx, t.sql(lockIdentity), t.Name()).Scan(&text, &stored); err != nil {
			return fmt.Errorf("read the identity of the task views' log: %w", err)
		}
		if stored != nil && *stored == t.cfg.Identity {
			return nil
		}
		if stored == nil {
			fits, err := t.fits(ctx, text)
			switch {
			case err != nil:
				return err
			case !fits && !t.cfg.TakeOver:
				return foreign("without an identity, at "+text, t.cfg.Identity)
			case fits:
				_, err := tx.Exec(ctx, t.sql(setIdentity), t.Name(), t.cfg.Identity)
				return err
			}
		}
		if !t.cfg.TakeOver {
			return t.compare(stored)
		}
		t.cfg.Logger.WarnContext(ctx, "rebuilding the task views, which followed another log", "log", t.cfg.Identity)
		var b pgx.Batch
		b.Queue(t.sql(`DELETE FROM {schema}tasks`))
		for _, statement := range emptySessions {
			b.Queue(t.sql(statement))
		}
		b.Queue(t.sql(resetCheckpoint), t.Name())
		b.Queue(t.sql(setIdentity), t.Name(), t.cfg.Identity)
		return tx.SendBatch(ctx, &b).Close()
	})
}

func (t *Tasks) fits(ctx context.Context, checkpoint string) (bool, error) {
	at, err := events.ParseID(checkpoint)
	if err != nil {
		return false, fmt.Errorf("read the checkpoint of tasks: %w", err)
	}
	if t.cfg.Log == nil {
		return at.IsZero(), nil
	}
	return t.cfg.Log.Fits(ctx, at)
}
