package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
)

// SessionPage is a page of sessions.
type SessionPage struct {
	Sessions []api.Session
	// Next continues the list as SessionQuery.Before; 0 if there are no more sessions.
	Next int64
	// At is the last event that the view had applied when the page was read.
	At events.ID
}

// withCheckpoint is the row that each of these queries returns even if it finds no session.
const withCheckpoint = `
SELECT coalesce(c.id, '0-0'), to_jsonb(c) ->> 'log', %s
FROM (SELECT 1) one
LEFT JOIN {schema}projection_checkpoints c ON c.name = 'tasks'
%s`

// Sessions reads a page in one snapshot. The error is events.ErrForeignLog or one of Postgres.
func (t *Tasks) Sessions(ctx context.Context, q api.SessionQuery) (SessionPage, error) {
	page := SessionPage{Sessions: []api.Session{}}
	sql, args := sessionsSQL(q)
	conn, err := t.cfg.Pool.acquire(ctx)
	if err != nil {
		return page, fmt.Errorf("list sessions: %w", err)
	}
	defer conn.Release()
	rows, err := conn.Query(ctx, t.sql(sql), args...)
	if err != nil {
		return page, fmt.Errorf("list sessions: %w", err)
	}
	var at string
	var log *string
	var r sessionRow
	var last int64
	_, err = pgx.ForEachRow(rows, append([]any{&at, &log}, r.to()...), func() error {
		if r.id == nil {
			return nil
		}
		if len(page.Sessions) == q.Limit {
			page.Next = last
			return nil
		}
		page.Sessions, last = append(page.Sessions, r.session()), *r.seq
		return nil
	})
	if err == nil {
		page.At, err = t.position(at, log)
	}
	if err != nil {
		return SessionPage{}, fmt.Errorf("list sessions: %w", err)
	}
	return page, nil
}

// sessionsSQL returns a statement for one session more than the page has.
func sessionsSQL(q api.SessionQuery) (string, []any) {
	var args []any
	var conditions []string
	filter := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, condition+strconv.Itoa(len(args)))
	}
	if q.InstanceID != "" {
		filter("instance_id = $", q.InstanceID)
	}
	if q.Before != 0 {
		filter("seq < $", q.Before)
	}
	if q.Active != nil {
		conditions = append(conditions, map[bool]string{true: "ended_at IS NULL", false: "ended_at IS NOT NULL"}[*q.Active])
	}
	where := ""
	if len(conditions) > 0 {
		where = " WHERE " + strings.Join(conditions, " AND ")
	}
	args = append(args, q.Limit+1)
	return fmt.Sprintf(withCheckpoint, shortColumns, fmt.Sprintf(
		`LEFT JOIN (SELECT * FROM {schema}sessions%s ORDER BY seq DESC LIMIT $%d) s ON true ORDER BY s.seq DESC`, where, len(args))), args
}

const shortColumns = `s.id, s.source, s.instance_id, s.seq, s.started_at, s.last_activity_at, s.ended_at, s.events, s.prompts`

// sessionRow is a row of shortColumns. All columns may be null, because a query that finds nothing
// still returns a row.
type sessionRow struct {
	id, source, instance   *string
	seq, events, prompts   *int64
	started, active, ended *time.Time
}

func (r *sessionRow) to() []any {
	return []any{&r.id, &r.source, &r.instance, &r.seq, &r.started, &r.active, &r.ended, &r.events, &r.prompts}
}

func (r *sessionRow) session() api.Session {
	s := api.Session{
		ID: *r.id, Source: r.source, InstanceID: r.instance, StartedAt: timeText(*r.started), LastActivityAt: timeText(*r.active),
		Events: *r.events, Prompts: *r.prompts,
	}
	if r.ended != nil {
		ended := timeText(*r.ended)
		s.EndedAt = &ended
	}
	return s
}

func timeText(at time.Time) string { return at.UTC().Format(events.TimeLayout) }

// selectSession reads a session and its tasks in one snapshot. Times of tasks are in ms.
var selectSession = fmt.Sprintf(withCheckpoint, shortColumns+`, coalesce(s.allowed, 0), coalesce(s.asked, 0), coalesce(s.denied, 0),
       s.tools::text, s.todos::text, coalesce(n.claimed, 0), coalesce(n.completed, 0), coalesce(n.failed, 0), n.recent::text`, `
LEFT JOIN {schema}sessions s ON s.id = $1
LEFT JOIN LATERAL (
  WITH claimed AS (SELECT * FROM {schema}session_tasks WHERE session = $1)
  SELECT count(*) AS claimed, count(*) FILTER (WHERE status = 'completed') AS completed, count(*) FILTER (WHERE status = 'failed') AS failed,
         (SELECT json_agg(json_build_object('id', task, 'status', status, 'attempt', attempt, 'claimed', (extract(epoch FROM claimed_at) * 1000)::bigint,
                          'completed', (extract(epoch FROM completed_at) * 1000)::bigint, 'duration', duration_ms))
          FROM (SELECT * FROM claimed ORDER BY claimed_at DESC, num DESC LIMIT 100) newest) AS recent
  FROM claimed) n ON s.id IS NOT NULL`)

// Session reads a session; nil if the view does not have it. at is the last event that the view had
// applied. The error is events.ErrForeignLog or one of Postgres.
func (t *Tasks) Session(ctx context.Context, id string) (session *api.SessionDetails, at events.ID, err error) {
	var r sessionRow
	var d api.SessionDetails
	var checkpoint string
	var log, tools, todos, recent *string
	to := append(append([]any{&checkpoint, &log}, r.to()...), &d.Decisions.Allow, &d.Decisions.Ask, &d.Decisions.Deny,
		&tools, &todos, &d.Tasks.Claimed, &d.Tasks.Completed, &d.Tasks.Failed, &recent)
	if err := t.cfg.Pool.queryRow(ctx, selectSession, []any{id}, to...); err != nil {
		return nil, at, fmt.Errorf("read a session: %w", err)
	}
	if at, err = t.position(checkpoint, log); err != nil || r.id == nil {
		return nil, at, err
	}
	d.Session, d.Todos = r.session(), []api.Value{}
	err = errors.Join(decodeText(tools, &d.Tools), decodeText(todos, &d.Todos))
	if err == nil {
		d.Tasks.Recent, err = recentTasks(recent)
	}
	if err != nil {
		return nil, at, fmt.Errorf("read session %s: %w", id, err)
	}
	return &d, at, nil
}

func decodeText(text *string, to any) error {
	if text == nil {
		return nil
	}
	return json.Unmarshal([]byte(*text), to)
}

// recentTasks reads the array that selectSession makes; null if it is empty.
func recentTasks(text *string) ([]api.SessionTask, error) {
	var rows []struct {
		ID               api.TaskID
		Status           string
		Attempt, Claimed int64
		Completed        *int64
		Duration         *int64
	}
	if err := decodeText(text, &rows); err != nil {
		return nil, err
	}
	tasks := make([]api.SessionTask, len(rows))
	for i, r := range rows {
		tasks[i] = api.SessionTask{ID: r.ID, Status: r.Status, Attempt: r.Attempt, ClaimedAt: timeText(time.UnixMilli(r.Claimed))}
		if r.Status != events.StatusInProgress && r.Completed != nil {
			ended := timeText(time.UnixMilli(*r.Completed))
			tasks[i].CompletedAt, tasks[i].DurationMS = &ended, r.Duration
		}
	}
	return tasks, nil
}
