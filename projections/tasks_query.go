package projections

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// TaskPage is a page of a query's result.
type TaskPage struct {
	// Tasks are the API's task objects. The users' JSON in them is unchanged.
	Tasks []json.RawMessage
	// Total counts all matching tasks, whatever the limit.
	Total int64
	// At is the last event that the view had applied when the page was read.
	At events.ID
}

// taskOrders are the columns that tasks can be listed by. Tasks are numbered as they are created,
// so their numbers order them by createdAt and then by id.
var taskOrders = map[string]string{
	"createdAt": "num", "updatedAt": "updated_at", "completedAt": "completed_at", "priority": "priority", "status": "status",
}

// maxPageBytes bounds the task objects of a page, because users' metadata and results may be long.
const maxPageBytes = 16 << 20

// ErrPageTooLarge is returned by List if the tasks of a page exceed 16 MiB. Five tasks never do.
var ErrPageTooLarge = errors.New("the tasks of the page exceed 16 MiB")

// List reads a page and the total in one snapshot. It returns ErrPageTooLarge,
// events.ErrForeignLog, an error for an unknown order, or an error of Postgres.
func (t *Tasks) List(ctx context.Context, q api.TaskQuery) (TaskPage, error) {
	sql, args, err := listSQL(q)
	if err != nil {
		return TaskPage{}, err
	}
	conn, err := t.cfg.Pool.acquire(ctx)
	if err != nil {
		return TaskPage{}, fmt.Errorf("list tasks: %w", err)
	}
	defer conn.Release()
	rows, err := conn.Query(ctx, t.sql(sql), args...)
	if err != nil {
		return TaskPage{}, fmt.Errorf("list tasks: %w", err)
	}
	defer rows.Close()
	page := TaskPage{Tasks: []json.RawMessage{}}
	size := 0
	at := ""
	for rows.Next() {
		var r taskRow
		var log *string
		if err := rows.Scan(&page.Total, &at, &log, &r.id, &r.text, &r.status, &r.priority, &r.assignedTo, &r.attempt,
			&r.metadata, &r.result, &r.err, &r.createdAt, &r.updatedAt, &r.completedAt); err != nil {
			return TaskPage{}, fmt.Errorf("read a task: %w", err)
		}
		if err := t.compare(log); err != nil {
			return TaskPage{}, err
		}
		if r.id != nil { // for an empty page, the only row holds just the total
			task := r.json()
			if size += len(task); size > maxPageBytes && len(page.Tasks) > 0 {
				return TaskPage{}, ErrPageTooLarge
			}
			page.Tasks = append(page.Tasks, task)
		}
	}
	if err := rows.Err(); err != nil {
		return TaskPage{}, fmt.Errorf("list tasks: %w", err)
	}
	if page.At, err = t.position(at, nil); err != nil {
		return TaskPage{}, err
	}
	return page, nil
}

// requiresRole is the condition that metadata.roles contains a role. It reads JSON as text, and never
// as jsonb, because a number in a user's metadata may be too large for jsonb, which would fail the
// whole list. Most rows are excluded without parsing their JSON: a role that is in it, and not
// spelled with escapes, is in its text.
const requiresRole = `(strpos(metadata::text, $%[1]d) > 0 OR strpos(metadata::text, E'\\') > 0) AND EXISTS (
  SELECT FROM (SELECT metadata -> 'roles' AS list OFFSET 0) roles,
              json_array_elements(CASE WHEN json_typeof(list) = 'array' THEN list ELSE '[]' END) r
  WHERE json_typeof(r) = 'string' AND r #>> '{}' = $%[1]d)`

// listSQL returns one statement for the total and the page, because one statement sees one
// snapshot.
func listSQL(q api.TaskQuery) (string, []any, error) {
	orderBy := q.OrderBy
	if orderBy == "" {
		orderBy = "createdAt"
	}
	column, ok := taskOrders[orderBy]
	if !ok {
		return "", nil, fmt.Errorf("tasks cannot be ordered by %q; the orders are %s", q.OrderBy, strings.Join(api.TaskOrders, ", "))
	}
	direction := " ASC"
	if q.Descending {
		direction = " DESC"
	}
	order := "num" + direction
	if column != "num" {
		order = column + direction + ", " + order
	}
	if column == "completed_at" {
		order = column + direction + " NULLS LAST, num" + direction
	}

	var args []any
	var conditions []string
	filter := func(column string, value any) {
		args = append(args, value)
		conditions = append(conditions, column+" = $"+strconv.Itoa(len(args)))
	}
	if q.Status != "" {
		filter("status", q.Status)
	}
	if q.AssignedTo != "" {
		filter("assigned_to", q.AssignedTo)
	}
	if q.Priority != nil {
		filter("priority", *q.Priority)
	}
	if q.Role != "" {
		args = append(args, q.Role)
		conditions = append(conditions, fmt.Sprintf(requiresRole, len(args)))
	}
	if q.Text != "" {
		args = append(args, q.Text)
		conditions = append(conditions, fmt.Sprintf("strpos(lower(text), lower($%d)) > 0", len(args)))
	}
	where := ""
	if len(conditions) > 0 {
		where = " WHERE " + strings.Join(conditions, " AND ")
	}
	args = append(args, q.Limit, q.Offset)
	return fmt.Sprintf(`
SELECT counted.total, coalesce(counted.at, '0-0'), counted.log, p.id, p.text, p.status, p.priority, p.assigned_to, p.attempt, p.metadata::text, p.result::text,
       p.error::text, p.created_at, p.updated_at, p.completed_at
FROM (SELECT count(*) AS total, (SELECT id FROM {schema}projection_checkpoints WHERE name = 'tasks') AS at,
             (SELECT to_jsonb(c) ->> 'log' FROM {schema}projection_checkpoints c WHERE name = 'tasks') AS log FROM {schema}tasks%[1]s) counted
LEFT JOIN (SELECT * FROM {schema}tasks%[1]s ORDER BY %[2]s LIMIT $%[3]d OFFSET $%[4]d) p ON true
ORDER BY %[2]s`, where, order, len(args)-1, len(args)), args, nil
}

// taskRow is a row as List reads it. All columns but the total may be null, because an empty page
// still has one row.
type taskRow struct {
	id, text, status      *string
	priority, attempt     *int64
	assignedTo            *string
	metadata, result, err *string
	createdAt, updatedAt  *time.Time
	completedAt           *time.Time
}

// json writes the task object by hand, because encoding/json would change the spelling of the
// users' JSON.
func (r taskRow) json() json.RawMessage {
	var b bytes.Buffer
	b.Grow(r.size())
	text := func(name string, value *string) {
		b.WriteString(name)
		if value == nil {
			b.WriteString("null")
			return
		}
		b.Write(jsontext.Quote(*value))
	}
	document := func(name string, value *string) {
		b.WriteString(name)
		if value == nil {
			b.WriteString("null")
			return
		}
		b.WriteString(*value)
	}
	moment := func(name string, at *time.Time) {
		b.WriteString(name)
		if at == nil {
			b.WriteString("null")
			return
		}
		b.WriteString(at.UTC().Format(`"` + events.TimeLayout + `"`))
	}
	text(`{"id":`, r.id)
	text(`,"text":`, r.text)
	text(`,"status":`, r.status)
	b.WriteString(`,"priority":` + number(*r.priority))
	text(`,"assignedTo":`, r.assignedTo)
	b.WriteString(`,"attempt":` + number(*r.attempt))
	document(`,"metadata":`, r.metadata)
	document(`,"result":`, r.result)
	document(`,"error":`, r.err)
	moment(`,"createdAt":`, r.createdAt)
	moment(`,"updatedAt":`, r.updatedAt)
	moment(`,"completedAt":`, r.completedAt)
	b.WriteByte('}')
	return b.Bytes()
}

// size estimates the size of the task object, so that a long one is not copied as it grows.
func (r taskRow) size() int {
	size := 512 // names, numbers, times
	for _, text := range []*string{r.text, r.metadata, r.result, r.err} {
		if text != nil {
			size += len(*text)
		}
	}
	return size
}
