package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/claudebench/claudebench/events"
)

// EventsCheckpoint returns the last event that the event index has applied, and the identity of its
// log. The result is false if the database has no index.
func (p *Pool) EventsCheckpoint(ctx context.Context) (at events.ID, log string, has bool, err error) {
	var text string
	var stored *string
	err = p.queryRow(ctx, selectIdentity, []any{eventsName}, &text, &stored)
	if errors.Is(err, pgx.ErrNoRows) || NotMigrated(err) {
		return at, "", false, nil
	}
	if err == nil {
		at, err = events.ParseID(text)
	}
	if err != nil {
		return at, "", false, fmt.Errorf("read the checkpoint of the event index: %w", err)
	}
	return at, orEmpty(stored), true, nil
}

// selectEventRows reads a page of rows, and the checkpoint of the same snapshot.
const selectEventRows = `
SELECT c.seq, e.seq, e.ms, e.task, e.v, e.type, e.instance, e.other, e.actor, e.cause, e.trace, e.payload
FROM {schema}projection_checkpoints c
LEFT JOIN LATERAL (SELECT * FROM {schema}events WHERE seq BETWEEN $1 AND $2 ORDER BY seq LIMIT $3) e ON true
WHERE c.name = 'events' ORDER BY e.seq`

// ReadEventRows calls row with each row of the event index from one seq to another, in order. It
// reads them page by page, so that it delays nobody who empties the table. The error wraps
// ErrCheckpointMoved if the index is rebuilt or flushed meanwhile: a checkpoint below to. An error of
// row is returned unchanged.
func (p *Pool) ReadEventRows(ctx context.Context, from, to int64, row func(*EventRow) error) error {
	for {
		n, last, err := p.readEventPage(ctx, from, to, row)
		if err != nil || n < snapshotPage {
			return err
		}
		from = last + 1
	}
}

func (p *Pool) readEventPage(ctx context.Context, from, to int64, row func(*EventRow) error) (n int, last int64, err error) {
	rows, err := p.Query(ctx, p.sql(selectEventRows), from, to, snapshotPage)
	if err != nil {
		return 0, 0, fmt.Errorf("read the event index: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r EventRow
		var checkpoint int64
		var seq, ms *int64
		var v *int16
		var typ, actor, payload *string
		if err := rows.Scan(&checkpoint, &seq, &ms, &r.Task, &v, &typ, &r.Instance, &r.Other, &actor, &r.Cause, &r.Trace, &payload); err != nil {
			return 0, 0, fmt.Errorf("read the event index: %w", err)
		}
		if checkpoint < to {
			return 0, 0, fmt.Errorf("read the event index: %w", ErrCheckpointMoved)
		}
		if seq == nil { // an empty page has one row
			break
		}
		r.Seq, r.MS, r.V, r.Type, r.Actor, r.Payload = *seq, *ms, *v, *typ, *actor, *payload
		n, last = n+1, r.Seq
		if err := row(&r); err != nil {
			return 0, 0, err
		}
	}
	if err := rows.Err(); err != nil {
		return 0, 0, fmt.Errorf("read the event index: %w", err)
	}
	return n, last, nil
}
