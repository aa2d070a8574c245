package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// Events is the projection that keeps the index of events in Postgres: one row for each event, with
// the task and the instances that it concerns. It answers task.history, instance.history and
// event.list. A row has the whole event, so that a story can be read after the log was trimmed.
//
// It is independent of the task views: it has its own checkpoint and lease, and neither waits for
// the other. A flush that includes Postgres empties it; any other flush leaves its rows.
type Events struct {
	*postgresStore
	building building
}

// NewEvents returns the projection. It does not call Postgres.
func NewEvents(cfg PostgresConfig) *Events {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	x := &Events{postgresStore: &postgresStore{name: eventsName, what: "the rows of the event index", cfg: cfg}}
	x.empty = cfg.Pool.emptyEvents
	return x
}

const eventsName = "events"

// EventRow is a row of the table events as stored. Nil is NULL.
type EventRow struct {
	Seq, MS         int64
	Task            *int64
	V               int16
	Type            string
	Instance, Other *string
	Actor           string
	Cause, Trace    *string
	Payload         string
	// Replaced reports that the event has text that SQL cannot store, and the row U+FFFD instead.
	Replaced bool
}

// EventRowOf returns the row of an event.
func EventRowOf(e *events.Envelope) EventRow {
	r := EventRow{Seq: e.Seq, MS: e.Timestamp, V: int16(e.V), Type: string(e.Type)} //nolint:gosec // versions count from 1
	subjects := e.Subjects()
	// A payload that is not as the scripts write it may name no task. It then has no story.
	if num, err := taskNumber(subjects.Task); err == nil {
		r.Task = &num
	}
	for i, column := range []**string{&r.Instance, &r.Other} {
		if i < len(subjects.Instances) {
			*column = r.text(&subjects.Instances[i])
		}
	}
	r.Actor, r.Cause, r.Trace = *r.text(&e.Actor), r.text(e.Cause), r.text(e.Trace)
	payload, replaced := jsontext.Readable(e.Payload)
	r.Payload, r.Replaced = string(payload), r.Replaced || replaced
	if !utf8.ValidString(r.Payload) {
		r.Payload, r.Replaced = strings.ToValidUTF8(r.Payload, "\ufffd"), true
	}
	return r
}

// text returns a text as the row stores it.
func (r *EventRow) text(text *string) *string {
	if text == nil || utf8.ValidString(*text) && !strings.Contains(*text, "\x00") {
		return text
	}
	stored := strings.ToValidUTF8(StoredText(*text), "\ufffd")
	r.Replaced = true
	return &stored
}

// eventColumns are the columns of a row in the order of EventRow.values and of the fields of
// EventRow.
var eventColumns = []string{"seq", "ms", "task", "v", "type", "instance", "other", "actor", "cause", "trace", "payload"}

func (r *EventRow) values() []any {
	return []any{r.Seq, r.MS, r.Task, r.V, r.Type, r.Instance, r.Other, r.Actor, r.Cause, r.Trace, r.Payload}
}

// eventRows are the rows of a batch.
type eventRows struct {
	emptied bool // a flush deleted all rows before these
	rows    []EventRow
	// replaced counts the events with text that SQL cannot store.
	replaced int
}

func eventRowsOf(batch events.Batch) (eventRows, error) {
	r := eventRows{rows: make([]EventRow, 0, len(batch.Entries))}
	for i := range batch.Entries {
		entry := &batch.Entries[i]
		if entry.Err != nil {
			continue
		}
		err := entry.Envelope.Known()
		if err == nil && entry.Envelope.Type == events.TypeSystemFlushed {
			var flushed events.SystemFlushed
			if flushed, err = events.PayloadAs[events.SystemFlushed](entry.Envelope); err == nil && flushed.Postgres != nil {
				r = eventRows{emptied: true, rows: r.rows[:0]}
			}
		}
		if err != nil {
			return r, fmt.Errorf("fold %s %s into %s: %w", entry.Envelope.Type, entry.ID, eventsName, err)
		}
		row := EventRowOf(&entry.Envelope)
		if row.Replaced {
			r.replaced++
		}
		r.rows = append(r.rows, row)
	}
	return r, nil
}

// Apply copies the rows of a batch into the table, in one transaction with the checkpoint.
func (x *Events) Apply(ctx context.Context, batch events.Batch) error {
	if len(batch.Entries) == 0 {
		return nil
	}
	r, err := eventRowsOf(batch)
	if err != nil {
		return err
	}
	err = pgx.BeginTxFunc(ctx, x.cfg.Pool, readCommitted, func(tx pgx.Tx) error {
		if err := x.lock(ctx, tx, batch.After); err != nil {
			return err
		}
		return x.write(ctx, tx, r, batch)
	})
	if err != nil {
		return fmt.Errorf("write the event index: %w", err)
	}
	if r.replaced > 0 {
		x.cfg.Logger.WarnContext(ctx, "events contain U+0000 or an unpaired surrogate, which SQL cannot store; the event index contains U+FFFD instead",
			"events", r.replaced, "last", batch.Last().String())
	}
	x.reached(batch.Last())
	x.tell(ctx, batch)
	return nil
}

func (x *Events) write(ctx context.Context, tx pgx.Tx, r eventRows, batch events.Batch) error {
	if r.emptied {
		if err := x.empty(ctx, tx); err != nil {
			return err
		}
	} else if _, err := tx.Exec(ctx, x.sql(`DELETE FROM {schema}events WHERE seq >= $1`), batch.Entries[0].ID.Seq); err != nil {
		// The checkpoint does not cover such rows. They exist only if something else changed the
		// table, for example a restore of the table without its checkpoint.
		return err
	}
	rows := pgx.CopyFromSlice(len(r.rows), func(i int) ([]any, error) { return r.rows[i].values(), nil })
	if _, err := tx.CopyFrom(ctx, x.cfg.Pool.table("events"), eventColumns, rows); err != nil {
		return fmt.Errorf("copy %d events: %w", len(r.rows), err)
	}
	statement, args := x.save(batch.Last())
	_, err := tx.Exec(ctx, statement, args...)
	return err
}

// applyIn is Apply in a transaction of the caller.
func (x *Events) applyIn(ctx context.Context, tx pgx.Tx, batch events.Batch) error {
	r, err := eventRowsOf(batch)
	if err != nil {
		return err
	}
	if err := x.lock(ctx, tx, batch.After); err != nil {
		return err
	}
	return x.write(ctx, tx, r, batch)
}

// beside returns the projection into the second place.
func (x *Events) beside() secondary {
	aside := NewEvents(x.cfg.secondPlace(x.name))
	return &postgresRebuild{Projection: aside, applyIn: aside.applyIn, live: x.postgresStore, place: aside.postgresStore, tables: eventsTables}
}

// Reset deletes the rows that the log can restore. It keeps those of events before base, which a
// trim or a flush removed from the log.
func (x *Events) Reset(ctx context.Context, base int64) error {
	return x.reset(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var keeps bool
		if err := tx.QueryRow(ctx, x.sql(`SELECT EXISTS (SELECT FROM {schema}events WHERE seq < $1)`), base).Scan(&keeps); err != nil {
			return err
		}
		if !keeps {
			return x.empty(ctx, tx)
		}
		_, err := tx.Exec(ctx, x.sql(`DELETE FROM {schema}events WHERE seq >= $1`), base)
		return err
	})
}

// keepsTrimmed reports that a rebuild needs only the events that the log still has, because Reset
// keeps the rows of the others.
func (x *Events) keepsTrimmed() bool { return true }

// emptyEvents deletes all rows at once. TRUNCATE takes no time, however many there are, but must
// wait for other readers of the table, such as a backup, and needs a right of its own. If it cannot
// have the table within a second, the rows are deleted one by one.
func (p *Pool) emptyEvents(ctx context.Context, tx pgx.Tx) error {
	err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		for _, statement := range []string{`SET LOCAL lock_timeout = '1s'`, `TRUNCATE {schema}events`, `SET LOCAL lock_timeout TO DEFAULT`} {
			if _, err := tx.Exec(ctx, p.sql(statement)); err != nil {
				return err
			}
		}
		return nil
	})
	var answered *pgconn.PgError
	if errors.As(err, &answered) && (answered.Code == "55P03" || answered.Code == "42501") {
		_, err = tx.Exec(ctx, p.sql(`DELETE FROM {schema}events`))
	}
	if err != nil {
		return fmt.Errorf("empty the event index: %w", err)
	}
	return nil
}

// flushEvents deletes all rows in the transaction of a flush, also those of a fleet that keeps no
// index any more, and moves the checkpoint to the log's start. No batch is written meanwhile, because
// the checkpoint is locked first.
func (p *Pool) flushEvents(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, p.sql(resetCheckpoint), eventsName); err != nil {
		return fmt.Errorf("reset the event index: %w", err)
	}
	return p.emptyEvents(ctx, tx)
}

const (
	// toldBehind is how many events the index is behind when its progress is logged.
	toldBehind = 20_000
	// tellEvery is how often.
	tellEvery = 10 * time.Second
)

// building is what the log was told about a build of the index, which takes minutes for a long log.
type building struct {
	told time.Time // zero unless the index is far behind
	end  int64     // seq of the log's end then
}

// tell logs how far the index is, if it is far behind. Only one batch is applied at a time.
func (x *Events) tell(ctx context.Context, batch events.Batch) {
	begun, at := !x.building.told.IsZero(), batch.Last()
	if x.cfg.Log == nil || begun && at.Seq < x.building.end && time.Since(x.building.told) < tellEvery || !begun && len(batch.Entries) < batchSize {
		return
	}
	last, err := x.cfg.Log.Last(ctx)
	if err != nil {
		return // the next batch asks again
	}
	switch behind := last.Seq - at.Seq; {
	case behind > toldBehind:
		x.building.told, x.building.end = time.Now(), last.Seq
		x.cfg.Logger.InfoContext(ctx, "building the event index from the log; commands and the task view do not wait for it",
			"seq", at.Seq, "of", last.Seq)
	case begun:
		x.building = building{}
		x.cfg.Logger.InfoContext(ctx, "the event index has caught up with the log", "seq", at.Seq)
	}
}
