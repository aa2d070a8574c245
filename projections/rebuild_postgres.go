package projections

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claudebench/claudebench/events"
)

// postgresRebuild is the second place of a projection into Postgres: tables with the same columns and
// a prefix in the same schema. Postgres does not log them, and a crash empties them; the rebuild then
// fails. The live tables are never replaced: what operators attach to them, such as views, grants and
// indexes, stays. The rows that differ are corrected in one transaction.
type postgresRebuild struct {
	Projection // into the second place
	// applyIn applies a batch to the second place in a transaction of the caller.
	applyIn func(ctx context.Context, tx pgx.Tx, batch events.Batch) error
	live    *postgresStore
	place   *postgresStore
	tables  []rebuiltTable
	// keys are those of the rows of numbered tables that differed; nil if they are too many.
	keys map[string][]int64
}

// maxKeys bounds the rows that a correction finds by their keys. For more, it compares the tables again.
const maxKeys = 10_000

// checkpointsTable has no rows of its own in compare and correct.
const checkpointsTable = "projection_checkpoints"

// secondPlace returns the pool for the tables of a projection's second place.
func (p *Pool) secondPlace(projection string) *Pool {
	prefix := "rebuild_" + projection + "_"
	return &Pool{Pool: p.Pool, schema: p.schema, qualifier: p.qualifier + prefix, prefix: prefix}
}

// secondPlace returns the configuration of a projection into its second place.
func (c PostgresConfig) secondPlace(projection string) PostgresConfig {
	return PostgresConfig{Pool: c.Pool.secondPlace(projection), Logger: c.Logger, Identity: c.Identity}
}

func (r *postgresRebuild) sql(statement string) string {
	return r.live.sql(strings.ReplaceAll(statement, "{place}", r.place.cfg.Pool.qualifier))
}

func (r *postgresRebuild) dropTables(b *pgx.Batch) {
	for _, t := range r.tables {
		b.Queue(r.sql(`DROP TABLE IF EXISTS {place}` + t.name))
	}
	b.Queue(r.sql(`DROP TABLE IF EXISTS {place}` + checkpointsTable))
}

// open creates the tables anew, and copies the rows that began before the log into them.
func (r *postgresRebuild) open(ctx context.Context, base int64) error {
	err := pgx.BeginTxFunc(ctx, r.live.cfg.Pool, readCommitted, func(tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue(`SET LOCAL client_min_messages = warning`) // without a notice for each table that is not there
		r.dropTables(&b)
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return err
		}
		statements := []string{fmt.Sprintf(`CREATE UNLOGGED TABLE {place}%[1]s (LIKE {schema}%[1]s INCLUDING DEFAULTS INCLUDING INDEXES)`, checkpointsTable)}
		for _, t := range r.tables {
			statements = append(statements, t.create()...)
		}
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, r.sql(statement)); err != nil {
				return err
			}
		}
		for _, t := range r.tables {
			if base > 1 && !t.kept {
				if _, err := tx.Exec(ctx, r.sql(t.copyKept()), base); err != nil {
					return err
				}
			}
		}
		if _, err := tx.Exec(ctx, r.place.sql(insertCheckpoint), r.live.name); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, r.place.sql(setIdentity), r.live.name, orNull(r.live.cfg.Identity))
		return err
	})
	var answered *pgconn.PgError
	if errors.As(err, &answered) && answered.Code == "42501" {
		return fmt.Errorf("create the tables of the rebuild: %w (allow the user of --database-url to create tables: GRANT CREATE ON SCHEMA)", err)
	}
	if err != nil {
		return fmt.Errorf("create the tables of the rebuild: %w", err)
	}
	return nil
}

// drop drops the tables.
func (r *postgresRebuild) drop(ctx context.Context) error {
	return pgx.BeginTxFunc(ctx, r.live.cfg.Pool, readCommitted, func(tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue(`SET LOCAL client_min_messages = warning`)
		r.dropTables(&b)
		return tx.SendBatch(ctx, &b).Close()
	})
}

// position is where the live view is.
type position struct {
	at            events.ID
	sessionsAfter int64
}

// readLive reads the live view's checkpoint. With a lock of the row, no batch and no flush is written
// until the transaction ends.
func (r *postgresRebuild) readLive(ctx context.Context, tx pgx.Tx, lock string) (p position, err error) {
	var text string
	var log *string
	row := tx.QueryRow(ctx, r.live.sql(`SELECT id, log, sessions_after FROM {schema}projection_checkpoints WHERE name = $1 `+lock), r.live.name)
	if err := row.Scan(&text, &log, &p.sessionsAfter); err != nil {
		return p, fmt.Errorf("read the checkpoint of %s: %w", r.live.name, err)
	}
	if err := r.live.compare(log); err != nil {
		return p, err
	}
	p.at, err = r.live.parse(text)
	return p, err
}

// still checks that the second place is what this rebuild has folded, and keeps other rebuilds from
// changing it until the transaction ends.
func (r *postgresRebuild) still(ctx context.Context, tx pgx.Tx, b *rebuilding) error {
	var text string
	var log *string
	err := tx.QueryRow(ctx, r.place.sql(lockIdentity), r.live.name).Scan(&text, &log)
	if errors.Is(err, pgx.ErrNoRows) || NotMigrated(err) || err == nil && text != b.at.String() {
		return errLease
	}
	if err != nil {
		return fmt.Errorf("read the checkpoint of the second place: %w", err)
	}
	return nil
}

// since returns the seq from which rows are compared. The rows before are not in the second place, and
// stay, unless a flush that is in the log has deleted them.
func (b *rebuilding) since(t rebuiltTable) int64 {
	if t.kept && !b.emptied {
		return b.bounds.Base
	}
	return 0
}

// compare reads both sides in one snapshot of the database, so that the live view goes on meanwhile.
func (r *postgresRebuild) compare(ctx context.Context, b *rebuilding) error {
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead}
	err := pgx.BeginTxFunc(ctx, r.live.cfg.Pool, snapshot, func(tx pgx.Tx) error {
		live, err := r.readLive(ctx, tx, "")
		if err != nil {
			return err
		}
		if b.found.Uncompared, err = b.uncompared(ctx, live.at, ""); err != nil || b.found.Uncompared != "" {
			return err
		}
		if err := r.still(ctx, tx, b); err != nil {
			return err
		}
		if err := r.foldIn(ctx, tx, b, live.at); err != nil {
			return err
		}
		b.found.At, r.keys = live.at, map[string][]int64{}
		for _, t := range r.tables {
			if err := r.compareTable(ctx, tx, b, t); err != nil {
				return fmt.Errorf("compare the table %s: %w", t.name, err)
			}
		}
		if live.sessionsAfter != 0 {
			was, is := number(live.sessionsAfter), "0"
			b.found.Differences = append(b.found.Differences, Differences{
				Object: checkpointsTable, Changed: 1, First: []Difference{{Key: r.live.name, Column: "sessions_after", Live: &was, Rebuilt: &is}},
			})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("compare %s: %w", r.live.what, err)
	}
	return nil
}

// foldIn folds up to an event in a transaction.
func (r *postgresRebuild) foldIn(ctx context.Context, tx pgx.Tx, b *rebuilding, to events.ID) error {
	return b.foldWith(ctx, to, func(ctx context.Context, batch events.Batch) error { return r.applyIn(ctx, tx, batch) })
}

func (r *postgresRebuild) compareTable(ctx context.Context, tx pgx.Tx, b *rebuilding, t rebuiltTable) error {
	// Nothing has counted the new table's rows yet, and the plan depends on them.
	if _, err := tx.Exec(ctx, r.sql(`ANALYZE {place}`+t.name)); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, r.sql(t.compare()), FirstDifferences, b.since(t))
	if err != nil {
		return err
	}
	d := Differences{Object: t.name}
	keys := make([]int64, 0) // not nil: a table without differences needs no correction
	var key string
	var missing, extra bool
	var live, rebuilt []*string
	_, err = pgx.ForEachRow(rows, []any{&key, &missing, &extra, &live, &rebuilt}, func() error {
		d.countRow(t.columns, key, missing, extra, live, rebuilt)
		if keys != nil && t.numbered {
			n, err := strconv.ParseInt(key, 10, 64)
			if err != nil {
				return err
			}
			if keys = append(keys, n); len(keys) > maxKeys {
				keys = nil
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if t.numbered {
		r.keys[t.name] = keys
	}
	if d.Total() > 0 {
		b.found.Differences = append(b.found.Differences, d)
	}
	return nil
}

// countRow adds a row to the totals, and describes it if both sides' values are given.
func (d *Differences) countRow(columns []string, key string, missing, extra bool, live, rebuilt []*string) {
	there := "the row"
	switch {
	case missing:
		d.Missing++
	case extra:
		d.Extra++
	default:
		d.Changed++
	}
	switch {
	case live == nil:
	case missing:
		d.First = append(d.First, Difference{Key: key, Rebuilt: &there})
	case extra:
		d.First = append(d.First, Difference{Key: key, Live: &there})
	default:
		for i, column := range columns {
			if was, is := live[i], rebuilt[i]; (was == nil) != (is == nil) || was != nil && *was != *is {
				d.First = append(d.First, Difference{Key: key, Column: column, Live: was, Rebuilt: is})
			}
		}
	}
}

// replace corrects the live rows in one transaction. Readers see none or all of the corrections. The
// view stands still meanwhile, because the checkpoint is locked.
func (r *postgresRebuild) replace(ctx context.Context, b *rebuilding) error {
	compared := b.found.Uncompared == ""
	if !compared {
		if err := b.foldToEnd(ctx); err != nil {
			return err
		}
	} else if err := b.approach(ctx); err != nil {
		return err
	}
	err := pgx.BeginTxFunc(ctx, r.live.cfg.Pool, readCommitted, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = off`); err != nil { // see lock
			return err
		}
		live, err := r.readLive(ctx, tx, "FOR UPDATE")
		if err != nil {
			return err
		}
		// A flush that begins after this check waits for the lock, and then deletes the rows.
		if err := b.unchanged(ctx); err != nil {
			return err
		}
		if err := r.still(ctx, tx, b); err != nil {
			return err
		}
		further, err := b.within(ctx, live.at)
		if err != nil {
			return err
		}
		if further {
			if err := r.foldIn(ctx, tx, b, live.at); err != nil {
				return err
			}
		}
		return r.correct(ctx, tx, b, compared && further)
	})
	if err != nil {
		return fmt.Errorf("correct %s: %w", r.live.what, err)
	}
	r.live.back()
	return nil
}

// correct writes the differences and the checkpoint. If the live view has only moved on since it was
// compared, only rows that differed then can differ now.
func (r *postgresRebuild) correct(ctx context.Context, tx pgx.Tx, b *rebuilding, movedOn bool) error {
	for _, t := range r.tables {
		args := []any{b.since(t)}
		keys, known := r.keys[t.name]
		some := movedOn && known && keys != nil
		if some {
			args = append(args, keys)
		}
		for _, statement := range t.correct(some) {
			if _, err := tx.Exec(ctx, r.sql(statement), args...); err != nil {
				return fmt.Errorf("correct the table %s: %w", t.name, err)
			}
		}
	}
	_, err := tx.Exec(ctx, r.live.sql(`UPDATE {schema}projection_checkpoints SET id = $2, seq = $3, at = $4, sessions_after = 0 WHERE name = $1`),
		r.live.name, b.at.String(), b.at.Seq, time.UnixMilli(b.at.MS))
	return err
}
