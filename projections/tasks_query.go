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

// TaskPage is a part of what a query found.
type TaskPage struct {
	// Tasks are the API's task objects, the users' JSON in them as it was brought.
	Tasks []json.RawMessage
	// Total counts all that match, whatever the limit.
	Total int64
}

// taskOrders are the columns that tasks can be listed by. Tasks are numbered as they are created,
// so their numbers order them by createdAt and then by id.
var taskOrders = map[string]string{
	"createdAt": "num", "updatedAt": "updated_at", "completedAt": "completed_at", "priority": "priority", "status": "status",
}

// maxPageBytes bounds the task objects of a page, since users' metadata and results may be long.
const maxPageBytes = 16 << 20

// ErrPageTooLarge is what List answers when the tasks of a page hold more than 16 MiB. A page of
// five never does.
var ErrPageTooLarge = errors.New("the page's tasks hold more than 16 MiB")

// List reads a page and the total in one snapshot. An error other than ErrPageTooLarge,
// events.ErrForeignLog and that of an unknown order is Postgres's.
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
	for rows.Next() {
		var r taskRow
		var log *string
		if err := rows.Scan(&page.Total, &log, &r.id, &r.text, &r.status, &r.priority, &r.assignedTo, &r.attempt,
			&r.metadata, &r.result, &r.err, &r.createdAt, &r.updatedAt, &r.completedAt); err != nil {
			return TaskPage{}, fmt.Errorf("read a task: %w", err)
		}
		if err := t.compare(log); err != nil {
			return TaskPage{}, err
		}
		if r.id != nil { // the row that is there when the page is empty holds the total alone
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
	return page, nil
}

// listSQL is one statement for total and page, because one statement sees one snapshot.
func listSQL(q api.TaskQuery) (string, []any, error) {
	orderBy := q.OrderBy
	if orderBy == "" {
		orderBy = "createdAt"
	}
	column, ok := taskOrders[orderBy]
	if !ok {
		return "", nil, fmt.Errorf("tasks cannot be ordered by %q, but by %s", q.OrderBy, strings.Join(api.TaskOrders, ", "))
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
	where := ""
	if len(conditions) > 0 {
		where = " WHERE " + strings.Join(conditions, " AND ")
	}
	args = append(args, q.Limit, q.Offset)
	return fmt.Sprintf(`
SELECT counted.total, counted.log, p.id, p.text, p.status, p.priority, p.assigned_to, p.attempt, p.metadata::text, p.result::text,
       p.error::text, p.created_at, p.updated_at, p.completed_at
FROM (SELECT count(*) AS total, (SELECT to_jsonb(c) ->> 'log' FROM {schema}projection_checkpoints c WHERE name = 'tasks') AS log FROM {schema}tasks%[1]s) counted
LEFT JOIN (SELECT * FROM {schema}tasks%[1]s ORDER BY %[2]s LIMIT $%[3]d OFFSET $%[4]d) p ON true
ORDER BY %[2]s`, where, order, len(args)-1, len(args)), args, nil
}

// taskRow is a row as List reads it; all but the total may be null, see there.
type taskRow struct {
	id, text, status      *string
	priority, attempt     *int64
	assignedTo            *string
	metadata, result, err *string
	createdAt, updatedAt  *time.Time
	completedAt           *time.Time
}

// json writes the task object by hand: encoding/json would respell the users' JSON.
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

// size is about what the task object takes, so that a long one is not copied as it grows.
func (r taskRow) size() int {
	size := 512 // names, numbers, times
	for _, text := range []*string{r.text, r.metadata, r.result, r.err} {
		if text != nil {
			size += len(*text)
		}
	}
	return size
}
