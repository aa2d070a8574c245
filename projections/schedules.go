package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claudebench/claudebench/events"
)

// Schedules are few and small, so a batch is folded to one change for each schedule: all that the
// last schedule.changed says, and what the last tick has left. A batch that says nothing about
// schedules runs none of these statements.
const (
	upsertSchedules = `
INSERT INTO {schema}schedules AS old (id, cron, timezone, task, paused, catch_up, next_tick, fired, first_seq, seq, created_at, updated_at)
SELECT id, cron, timezone, task::json, paused, catch_up, next_tick, 0, first_seq, seq, created_at, updated_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::text[], $7::timestamptz[], $8::bigint[], $9::bigint[], $10::timestamptz[], $11::timestamptz[])
  AS new (id, cron, timezone, task, paused, catch_up, next_tick, first_seq, seq, created_at, updated_at)
ON CONFLICT (id) DO UPDATE SET
  cron = excluded.cron, timezone = excluded.timezone, task = excluded.task, paused = excluded.paused, catch_up = excluded.catch_up,
  next_tick = excluded.next_tick, seq = excluded.seq, updated_at = excluded.updated_at
WHERE old.seq < excluded.seq`

	updateSchedules = `
UPDATE {schema}schedules s SET next_tick = c.next_tick, last_tick = c.last_tick, last_task = c.last_task, last_error = c.last_error::json,
  fired = c.fired, seq = c.seq
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
  AS c (id, next_tick, last_tick, last_task, last_error, fired, seq)
WHERE s.id = c.id AND s.seq <= c.seq`

	deleteSchedules = `DELETE FROM {schema}schedules WHERE id = ANY ($1)`
	emptySchedules  = `DELETE FROM {schema}schedules`
	resetSchedules  = `DELETE FROM {schema}schedules WHERE first_seq >= $1`

	selectSchedules = `
SELECT id, cron, timezone, task::text, paused, catch_up, next_tick, last_tick, last_task, last_error::text, fired, seq, created_at, updated_at
FROM {schema}schedules ORDER BY id COLLATE "C"`
)

// ScheduleRow is a row of the table schedules as stored. JSON is text, byte for byte; nil is NULL.
type ScheduleRow struct {
	ID, Cron, Timezone, Task string
	Paused                   bool
	CatchUp                  string
	NextTick, LastTick       *time.Time
	LastTask, LastError      *string
	Fired, Seq               int64
	CreatedAt, UpdatedAt     time.Time
}

// scheduleChange is what a batch does to a schedule.
type scheduleChange struct {
	deleted bool // the row that was there before the batch
	gone    bool // there is no row after the batch
	changed *events.ScheduleChanged
	fired   *events.ScheduleFired
	next    *string
	// firstSeq and createdAt are those of the first schedule.changed of the batch, which matter if the
	// schedule has no row yet. updatedAt is that of the last one, seq that of the last event. Times are
	// in ms.
	firstSeq, createdAt, updatedAt, seq int64
}

// schedulesFold is what a batch does to the schedules.
type schedulesFold struct {
	emptied bool // a flush deleted all rows; only what follows it is in changes
	changes map[string]*scheduleChange
}

// addSchedule folds an event about a schedule. ok is false for any other event.
func (f *schedulesFold) addSchedule(e *events.Envelope) (ok bool, err error) {
	switch e.Type {
	case events.TypeScheduleChanged:
		p, err := events.PayloadAs[events.ScheduleChanged](*e)
		if err != nil {
			return true, err
		}
		c := f.change(p.ID)
		c.changed, c.next, c.updatedAt, c.seq, c.gone = &p, p.NextTick, e.Timestamp, e.Seq, false
		if c.firstSeq == 0 {
			c.firstSeq, c.createdAt = e.Seq, e.Timestamp
		}
	case events.TypeScheduleFired:
		p, err := events.PayloadAs[events.ScheduleFired](*e)
		if err != nil {
			return true, err
		}
		c := f.change(p.ID)
		c.fired, c.next, c.seq = &p, &p.NextTick, e.Seq
	case events.TypeScheduleDeleted:
		p, err := events.PayloadAs[events.ScheduleDeleted](*e)
		if err != nil {
			return true, err
		}
		*f.change(p.ID) = scheduleChange{deleted: true, gone: true}
	default:
		return false, nil
	}
	return true, nil
}

func (f *schedulesFold) change(id string) *scheduleChange {
	if f.changes == nil {
		f.changes = map[string]*scheduleChange{}
	}
	c := f.changes[id]
	if c == nil {
		c = &scheduleChange{}
		f.changes[id] = c
	}
	return c
}

// flushed forgets everything: a flush deletes all schedules.
func (f *schedulesFold) flushed() { *f = schedulesFold{emptied: true} }

// queueSchedules queues the changes of a batch.
func (t *Tasks) queueSchedules(b *pgx.Batch, f *schedulesFold) error {
	if f.emptied {
		b.Queue(t.sql(emptySchedules))
	}
	var deleted, ids, crons, zones, tasks, catchUps, firedIDs []string
	var paused []bool
	var nexts, firedNexts, firedTicks []*time.Time
	var lastTasks, lastErrors []*string
	var firstSeqs, seqs, firedSeqs, counts []int64
	var created, updated []time.Time
	for id, c := range f.changes {
		id = StoredText(id)
		if c.deleted {
			deleted = append(deleted, id)
		}
		next, err := moments(c.next)
		if err != nil || c.gone {
			if err != nil {
				return err
			}
			continue
		}
		if p := c.changed; p != nil {
			task, _ := StoredJSON(p.Task)
			ids, crons, zones, tasks = append(ids, id), append(crons, StoredText(p.Cron)), append(zones, StoredText(p.Timezone)), append(tasks, task)
			paused, catchUps, nexts = append(paused, p.Paused), append(catchUps, p.CatchUp), append(nexts, next)
			firstSeqs, seqs = append(firstSeqs, c.firstSeq), append(seqs, c.seq)
			created, updated = append(created, time.UnixMilli(c.createdAt)), append(updated, time.UnixMilli(c.updatedAt))
		}
		if p := c.fired; p != nil {
			tick, err := moments(&p.Tick)
			if err != nil {
				return err
			}
			failure, _ := StoredJSON(p.Error)
			firedIDs, firedNexts, firedTicks = append(firedIDs, id), append(firedNexts, next), append(firedTicks, tick)
			lastTasks, lastErrors = append(lastTasks, p.TaskID), append(lastErrors, orNull(failure))
			counts, firedSeqs = append(counts, p.Fired), append(firedSeqs, c.seq)
		}
	}
	if len(deleted) > 0 {
		b.Queue(t.sql(deleteSchedules), deleted)
	}
	if len(ids) > 0 {
		b.Queue(t.sql(upsertSchedules), ids, crons, zones, tasks, paused, catchUps, nexts, firstSeqs, seqs, created, updated)
	}
	if len(firedIDs) > 0 {
		b.Queue(t.sql(updateSchedules), firedIDs, firedNexts, firedTicks, lastTasks, lastErrors, counts, firedSeqs)
	}
	return nil
}

// moments returns a time of the log; nil for nil.
func moments(text *string) (*time.Time, error) {
	if text == nil {
		return nil, nil
	}
	at, err := time.Parse(events.TimeLayout, *text)
	if err != nil {
		return nil, fmt.Errorf("read a time of a schedule: %w", err)
	}
	return &at, nil
}

// snapshotSchedules reads all rows at once, because they are few. A database that was not migrated
// since has none.
func snapshotSchedules(ctx context.Context, tx pgx.Tx, pool *Pool, row func(ScheduleRow) error) error {
	inner, err := tx.Begin(ctx) // a savepoint, because the error of a missing table ends a transaction
	if err != nil {
		return err
	}
	defer inner.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	rows, err := inner.Query(ctx, pool.sql(selectSchedules))
	var all []ScheduleRow
	if err == nil {
		all, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ScheduleRow])
	}
	if NotMigrated(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range all {
		if err := row(all[i]); err != nil {
			return err
		}
	}
	return nil
}
