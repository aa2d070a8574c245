package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// The sessions of a batch are read, folded in memory and written whole: a session is a small row,
// few change in a batch, and what one event means depends on those before. A batch that says
// nothing about sessions runs none of these statements.
const (
	sessionColumns = `id, source, instance_id, first_seq, seq, started_at, last_activity_at, ended_at, events, prompts,
       allowed, asked, denied, tools::text, todos::text, kept`
	instanceColumns = `instance_id, since_seq, session_id, since_at, until_at`

	// $1 holds sessions, $2 instances.
	selectSessions = `
SELECT ` + sessionColumns + ` FROM {schema}sessions
WHERE id = ANY ($1) OR id IN (SELECT session_id FROM {schema}session_instances WHERE instance_id = ANY ($2) AND until_at IS NULL)`

	selectHeld = `
SELECT ` + instanceColumns + ` FROM {schema}session_instances
WHERE until_at IS NULL AND (session_id = ANY ($1)
   OR session_id IN (SELECT session_id FROM {schema}session_instances WHERE instance_id = ANY ($2) AND until_at IS NULL))`

	upsertSessions = `
INSERT INTO {schema}sessions (id, source, instance_id, first_seq, seq, started_at, last_activity_at, ended_at, events, prompts,
                      allowed, asked, denied, tools, todos, kept)
SELECT id, source, instance_id, first_seq, seq, started_at, last_activity_at, ended_at, events, prompts,
       allowed, asked, denied, tools::json, todos::json, kept
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], $16::boolean[])
  AS new (id, source, instance_id, first_seq, seq, started_at, last_activity_at, ended_at, events, prompts,
          allowed, asked, denied, tools, todos, kept)
ON CONFLICT (id) DO UPDATE SET
  source = excluded.source, instance_id = excluded.instance_id, first_seq = excluded.first_seq, seq = excluded.seq,
  started_at = excluded.started_at, last_activity_at = excluded.last_activity_at, ended_at = excluded.ended_at,
  events = excluded.events, prompts = excluded.prompts, allowed = excluded.allowed, asked = excluded.asked,
  denied = excluded.denied, tools = excluded.tools, todos = excluded.todos, kept = excluded.kept`

	upsertInstances = `
INSERT INTO {schema}session_instances (instance_id, since_seq, session_id, since_at, until_at)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::timestamptz[], $5::timestamptz[])
ON CONFLICT (instance_id, since_seq) DO UPDATE SET until_at = excluded.until_at`

	keepSessions  = `UPDATE {schema}sessions SET kept = true, ended_at = coalesce(ended_at, $1) WHERE NOT kept`
	keepInstances = `UPDATE {schema}session_instances SET until_at = $1 WHERE until_at IS NULL`
)

// emptySessions deletes all rows of sessions, resetSessions those since a seq.
var (
	emptySessions = []string{`DELETE FROM {schema}sessions`, `DELETE FROM {schema}session_instances`}
	resetSessions = []string{`DELETE FROM {schema}sessions WHERE first_seq >= $1`, `DELETE FROM {schema}session_instances WHERE since_seq >= $1`}
)

// writeSessions folds the steps of a batch into the rows of sessions, and queues the changes.
func (t *Tasks) writeSessions(ctx context.Context, tx pgx.Tx, b *pgx.Batch, f *tasksFold) error {
	if f.emptied {
		for _, statement := range emptySessions {
			b.Queue(t.sql(statement))
		}
	}
	if len(f.sessions) == 0 {
		return nil
	}
	fold := NewSessionFold()
	if !f.emptied {
		if err := t.loadSessions(ctx, tx, fold, f.sessions); err != nil {
			return fmt.Errorf("read the sessions of a batch: %w", err)
		}
	}
	flushed := false
	for i := range f.sessions {
		step := &f.sessions[i]
		if step.what == events.TypeSystemFlushed && !flushed {
			flushed = true
			b.Queue(t.sql(keepSessions), time.UnixMilli(step.at))
			b.Queue(t.sql(keepInstances), time.UnixMilli(step.at))
		}
		fold.apply(step)
	}
	return t.queueSessions(b, fold)
}

// loadSessions reads the sessions that the steps are about into the fold.
func (t *Tasks) loadSessions(ctx context.Context, tx pgx.Tx, fold *SessionFold, steps []sessionStep) error {
	var sessions, instances []string
	for i := range steps {
		step := &steps[i]
		if step.session != "" {
			sessions = append(sessions, step.session)
		}
		switch step.what {
		case events.TypeInstanceRegistered, events.TypeInstanceUnregistered, events.TypeInstanceFailed:
			instances = append(instances, step.instance)
		}
	}
	if len(sessions)+len(instances) == 0 {
		return nil
	}
	var b pgx.Batch
	b.Queue(t.sql(selectSessions), sessions, instances).Query(func(rows pgx.Rows) error {
		return scanSessions(rows, func(s *Session) error { fold.sessions[s.ID] = s; return nil })
	})
	b.Queue(t.sql(selectHeld), sessions, instances).Query(func(rows pgx.Rows) error {
		return scanInstances(rows, func(i *SessionInstance) error { fold.hold(i); return nil })
	})
	return tx.SendBatch(ctx, &b).Close()
}

// queueSessions queues what the fold has changed.
func (t *Tasks) queueSessions(b *pgx.Batch, fold *SessionFold) error {
	var c sessionsByColumn
	for _, s := range fold.sessions {
		if s.changed {
			if err := c.add(s); err != nil {
				return err
			}
		}
	}
	if len(c.id) > 0 {
		b.Queue(t.sql(upsertSessions), c.id, c.source, c.instance, c.firstSeq, c.seq, c.startedAt, c.lastActivityAt, c.endedAt,
			c.events, c.prompts, c.allowed, c.asked, c.denied, c.tools, c.todos, c.kept)
	}
	var instance, session []string
	var seq []int64
	var since []time.Time
	var until []*time.Time
	for _, i := range fold.instances {
		instance, session, seq = append(instance, i.InstanceID), append(session, i.SessionID), append(seq, i.SinceSeq)
		since, until = append(since, time.UnixMilli(i.Since)), append(until, moment(i.Until))
	}
	if len(instance) > 0 {
		b.Queue(t.sql(upsertInstances), instance, seq, session, since, until)
	}
	return nil
}

// sessionsByColumn holds rows by column.
type sessionsByColumn struct {
	id, tools                      []string
	source, instance, todos        []*string
	firstSeq, seq, events, prompts []int64
	allowed, asked, denied         []int64
	startedAt, lastActivityAt      []time.Time
	endedAt                        []*time.Time
	kept                           []bool
}

func (c *sessionsByColumn) add(s *Session) error {
	tools, err := s.toolsJSON()
	if err != nil {
		return err
	}
	c.id, c.source, c.instance = append(c.id, s.ID), append(c.source, orNull(s.Source)), append(c.instance, orNull(s.InstanceID))
	c.firstSeq, c.seq = append(c.firstSeq, s.FirstSeq), append(c.seq, s.Seq)
	c.startedAt, c.lastActivityAt = append(c.startedAt, time.UnixMilli(s.StartedAt)), append(c.lastActivityAt, time.UnixMilli(s.LastActivityAt))
	c.endedAt = append(c.endedAt, moment(s.EndedAt))
	c.events, c.prompts = append(c.events, s.Events), append(c.prompts, s.Prompts)
	c.allowed, c.asked, c.denied = append(c.allowed, s.Allowed), append(c.asked, s.Asked), append(c.denied, s.Denied)
	c.tools, c.todos, c.kept = append(c.tools, tools), append(c.todos, orNull(s.Todos)), append(c.kept, s.Kept)
	return nil
}

// toolsJSON returns the tools as the row stores them.
func (s *Session) toolsJSON() (string, error) {
	if len(s.Tools) == 0 {
		return "[]", nil
	}
	text, err := jsontext.Marshal(s.Tools)
	if err != nil {
		return "", fmt.Errorf("encode the tools of a session: %w", err)
	}
	return string(text), nil
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// moment returns a time in ms as a column that may be NULL stores it.
func moment(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	at := time.UnixMilli(ms)
	return &at
}

func milliseconds(at *time.Time) int64 {
	if at == nil {
		return 0
	}
	return at.UnixMilli()
}

// scanSessions reads rows of sessionColumns.
func scanSessions(rows pgx.Rows, each func(*Session) error) error {
	var s Session
	var source, instance, todos *string
	var tools string
	var started, last time.Time
	var ended *time.Time
	to := []any{
		&s.ID, &source, &instance, &s.FirstSeq, &s.Seq, &started, &last, &ended, &s.Events, &s.Prompts,
		&s.Allowed, &s.Asked, &s.Denied, &tools, &todos, &s.Kept,
	}
	_, err := pgx.ForEachRow(rows, to, func() error {
		read := s
		read.Source, read.InstanceID, read.Todos = orEmpty(source), orEmpty(instance), orEmpty(todos)
		read.StartedAt, read.LastActivityAt, read.EndedAt = started.UnixMilli(), last.UnixMilli(), milliseconds(ended)
		if err := json.Unmarshal([]byte(tools), &read.Tools); err != nil {
			return fmt.Errorf("read the tools of session %s: %w", s.ID, err)
		}
		return each(&read)
	})
	return err
}

// scanInstances reads rows of instanceColumns.
func scanInstances(rows pgx.Rows, each func(*SessionInstance) error) error {
	var i SessionInstance
	var since time.Time
	var until *time.Time
	_, err := pgx.ForEachRow(rows, []any{&i.InstanceID, &i.SinceSeq, &i.SessionID, &since, &until}, func() error {
		read := i
		read.Since, read.Until = since.UnixMilli(), milliseconds(until)
		return each(&read)
	})
	return err
}
