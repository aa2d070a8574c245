package projections

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// EventPage is a page of events.
type EventPage struct {
	// Events are the API's event objects. The users' JSON in them is unchanged.
	Events []json.RawMessage
	// Next continues the list as EventQuery.Cursor; 0 if there are no more events.
	Next int64
	// At is the last event that the index had applied when the page was read.
	At events.ID
}

// List reads a page in one snapshot. A page whose events exceed 16 MiB ends early. The error is
// events.ErrForeignLog or one of Postgres.
func (x *Events) List(ctx context.Context, q api.EventQuery) (EventPage, error) {
	page, err := x.list(ctx, q)
	if err != nil {
		return EventPage{}, fmt.Errorf("list events: %w", err)
	}
	return page, nil
}

func (x *Events) list(ctx context.Context, q api.EventQuery) (EventPage, error) {
	page := EventPage{Events: []json.RawMessage{}}
	conn, err := x.cfg.Pool.acquire(ctx)
	if err != nil {
		return page, err
	}
	defer conn.Release()
	sql, args := eventsSQL(q)
	rows, err := conn.Query(ctx, x.sql(sql), args...)
	if err != nil {
		return page, err
	}
	defer rows.Close()
	var at string
	var log *string
	var found int
	var last int64
	for rows.Next() {
		var r listedEvent
		if err := rows.Scan(&at, &log, &found, &r.seq, &r.ms, &r.v, &r.typ, &r.actor, &r.cause, &r.trace, &r.payload); err != nil {
			return page, err
		}
		if r.seq != nil { // for an empty page, the only row holds just the checkpoint
			page.Events, last = append(page.Events, r.json()), *r.seq
		}
	}
	if err := rows.Err(); err != nil {
		return page, err
	}
	if found > len(page.Events) {
		page.Next = last
	}
	page.At, err = x.position(at, log)
	return page, err
}

// eventsSQL returns a statement for a page. It reads one event more than the page has, and stops
// before the event whose payload would exceed maxPageBytes, unless it is the first.
func eventsSQL(q api.EventQuery) (string, []any) {
	s := eventSelection{query: q}
	source := s.source()
	limit := s.arg(q.Limit)
	return fmt.Sprintf(`
WITH %[1]spage AS (
  SELECT f.*, row_number() OVER (ORDER BY %[3]s) AS n, sum(octet_length(payload)) OVER (ORDER BY %[3]s) AS bytes
  FROM (%[2]s ORDER BY %[3]s LIMIT %[4]s::bigint + 1) f)
SELECT coalesce(c.id, '0-0'), c.log, (SELECT count(*) FROM page), p.seq, p.ms, p.v, p.type, p.actor, p.cause, p.trace, p.payload
FROM (SELECT 1) one
LEFT JOIN {schema}projection_checkpoints c ON c.name = 'events'
LEFT JOIN page p ON p.n <= %[4]s AND (p.n = 1 OR p.bytes <= %[5]d)
ORDER BY p.n`, s.with, source, s.order(), limit, maxPageBytes), s.args
}

// eventSelection builds the part of the statement that selects the events.
type eventSelection struct {
	query api.EventQuery
	with  string // common table expressions
	args  []any
}

func (s *eventSelection) arg(value any) string {
	s.args = append(s.args, value)
	return "$" + strconv.Itoa(len(s.args))
}

func (s *eventSelection) order() string {
	if s.query.Descending {
		return "seq DESC"
	}
	return "seq"
}

const listedColumns = `SELECT e.seq, e.ms, e.v, e.type, e.actor, e.cause, e.trace, e.payload FROM {schema}events e WHERE `

// source returns a statement for the events, without order and limit. Each part of it reads an index
// in the order of the page and stops at the limit.
func (s *eventSelection) source() string {
	cursor := s.query.Cursor
	behind := "e.seq > "
	if s.query.Descending {
		behind = "e.seq < "
		if cursor == 0 {
			cursor = math.MaxInt64
		}
	}
	conditions := []string{behind + s.arg(cursor)}
	if s.query.Since > 0 {
		s.with = fmt.Sprintf(sinceSQL, s.arg(s.query.Since))
		conditions = append(conditions, "e.seq >= (SELECT max(low) FROM since)")
	}
	where := strings.Join(conditions, " AND ")
	part := func(condition string) string {
		return fmt.Sprintf("(%s%s AND %s ORDER BY e.%s LIMIT %d)", listedColumns, condition, where, s.order(), s.query.Limit+1)
	}
	switch {
	case s.query.Task != 0:
		return "SELECT * FROM " + part("e.task = "+s.arg(s.query.Task)) + " t"
	case s.query.Instance != "":
		instance := s.arg(s.query.Instance)
		return "SELECT * FROM (" + part("e.instance = "+instance) + " UNION ALL " + part("e.other = "+instance) + ") i"
	case s.query.Types != nil:
		return "SELECT l.* FROM unnest(" + s.arg(s.query.Types) + "::text[]) AS t (type), LATERAL " +
			part(`e.type = t.type AND e.type NOT LIKE 'task.%' AND e.type NOT LIKE 'hook.%'`) + " l"
	}
	return "SELECT * FROM " + part("true") + " a"
}

// sinceSQL finds the seq of the first event at or after a time, in ms, as low. It halves the range
// of seq again and again, because time rises with seq: an index by time would cost every event more.
const sinceSQL = `RECURSIVE since (low, high) AS (
  SELECT min(seq), max(seq) + 1 FROM {schema}events
  UNION ALL
  SELECT CASE WHEN probe.ms < %[1]s THEN probe.seq + 1 ELSE low END, CASE WHEN probe.ms < %[1]s THEN high ELSE (low + high) / 2 END
  FROM since, LATERAL (SELECT seq, ms FROM {schema}events WHERE seq >= (low + high) / 2 ORDER BY seq LIMIT 1) probe
  WHERE low < high), `

// listedEvent is a row as List reads it. All columns may be null, because an empty page still has one
// row.
type listedEvent struct {
	seq, ms      *int64
	v            *int16
	typ, actor   *string
	cause, trace *string
	payload      *string
}

// json writes the event object by hand, because encoding/json would change the spelling of the
// users' JSON.
func (r *listedEvent) json() json.RawMessage {
	var b bytes.Buffer
	b.Grow(len(*r.payload) + 256)
	text := func(name, value string) {
		b.WriteString(name)
		b.Write(jsontext.Quote(value))
	}
	b.WriteString(`{"seq":` + number(*r.seq))
	text(`,"id":`, events.ID{MS: *r.ms, Seq: *r.seq}.String())
	text(`,"type":`, *r.typ)
	b.WriteString(`,"v":` + number(int64(*r.v)) + `,"timestamp":` + number(*r.ms))
	if attempt := attemptOf(*r.typ, *r.payload); attempt != "" {
		b.WriteString(`,"attempt":` + attempt)
	}
	text(`,"actor":`, *r.actor)
	if r.cause != nil {
		text(`,"cause":`, *r.cause)
	}
	if r.trace != nil {
		text(`,"trace":`, *r.trace)
	}
	b.WriteString(`,"payload":` + *r.payload + `}`)
	return b.Bytes()
}

// attemptOf returns the attempt that the payload of a task's event names, "" for none.
func attemptOf(of, payload string) string {
	if !strings.HasPrefix(of, "task.") {
		return ""
	}
	for name, value := range jsontext.Members([]byte(payload)) {
		if name == "attempt" {
			return string(value)
		}
	}
	return ""
}
