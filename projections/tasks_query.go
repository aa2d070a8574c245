package projections

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	// Total counts all matching tasks, whatever the limit. It is 0 for a query with a cursor.
	Total int64
	// Next continues the list as TaskQuery.Cursor. It is 0 if there are no more tasks, and for an order
	// other than that by createdAt, in which tasks change places.
	Next int64
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

// List reads a page in one snapshot, and the total unless the query has a cursor. It returns
// ErrPageTooLarge, events.ErrForeignLog, an error for an unknown order, or an error of Postgres. A page
// with a cursor is never too large: it ends early.
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
	var found, last int64
	for rows.Next() {
		var r taskRow
		var log *string
		if err := rows.Scan(append([]any{
			&found, &at, &log, &r.num, &r.id, &r.text, &r.status, &r.priority, &r.assignedTo, &r.attempt,
			&r.metadata, &r.result, &r.err, &r.createdAt, &r.updatedAt, &r.completedAt,
		}, r.extras.targets()...)...); err != nil {
			return TaskPage{}, fmt.Errorf("read a task: %w", err)
		}
		if err := t.compare(log); err != nil {
			return TaskPage{}, err
		}
		if r.id != nil { // for an empty page, the only row holds just the total
			task := r.json()
			if size += len(task); size > maxPageBytes && len(page.Tasks) > 0 {
				if q.Cursor == 0 {
					return TaskPage{}, ErrPageTooLarge
				}
				break
			}
			page.Tasks, last = append(page.Tasks, task), *r.num
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return TaskPage{}, fmt.Errorf("list tasks: %w", err)
	}
	read := int64(len(page.Tasks))
	if q.Cursor == 0 {
		page.Total, read = found, read+int64(q.Offset)
	}
	if read < found && last != 0 && taskOrders[cmp.Or(q.OrderBy, "createdAt")] == "num" {
		page.Next = last
	}
	if page.At, err = t.position(at, nil); err != nil {
		return TaskPage{}, err
	}
	return page, nil
}

// listedTask are the columns of a page's tasks.
const listedTask = `p.num, p.id, p.text, p.status, p.priority, p.assigned_to, p.attempt, p.metadata::text, p.result::text,
       p.error::text, p.created_at, p.updated_at, p.completed_at` + listedExtras

// listSQL returns one statement for the page and a number of tasks, because one statement sees one
// snapshot. The number is the total, and with a cursor, that of the page or one more.
func listSQL(q api.TaskQuery) (string, []any, error) {
	orderBy := cmp.Or(q.OrderBy, "createdAt")
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

	c := &taskConditions{}
	c.filter(q.TaskFilter)
	if q.Cursor != 0 {
		if column != "num" || q.Offset != 0 {
			return "", nil, fmt.Errorf("a cursor in a list by %s from %d: it needs the order by createdAt and no offset", orderBy, q.Offset)
		}
		return c.behindSQL(q, order)
	}
	where := c.where()
	return fmt.Sprintf(`
SELECT counted.total, coalesce(counted.at, '0-0'), counted.log, %[5]s
FROM (SELECT count(*) AS total, (SELECT id FROM {schema}projection_checkpoints WHERE name = 'tasks') AS at,
             (SELECT to_jsonb(c) ->> 'log' FROM {schema}projection_checkpoints c WHERE name = 'tasks') AS log FROM {schema}tasks%[1]s) counted
LEFT JOIN (SELECT * FROM {schema}tasks%[1]s ORDER BY %[2]s LIMIT %[3]s OFFSET %[4]s) p ON true
ORDER BY %[2]s`, where, order, c.arg(q.Limit), c.arg(q.Offset), listedTask), c.args, nil
}

// behindSQL returns a statement for the page behind a cursor. It reads the rows from there on, in
// order, until it has found one more than the page has. Nothing is counted, so a page costs as much
// however many tasks there are.
func (c *taskConditions) behindSQL(q api.TaskQuery, order string) (string, []any, error) {
	if q.Descending {
		c.add("num < %[1]s", q.Cursor)
	} else {
		c.add("num > %[1]s", q.Cursor)
	}
	where := c.where()
	return fmt.Sprintf(`
WITH page AS (SELECT * FROM {schema}tasks%[1]s ORDER BY %[2]s LIMIT %[3]s::bigint + 1)
SELECT (SELECT count(*) FROM page), coalesce(c.id, '0-0'), to_jsonb(c) ->> 'log', %[4]s
FROM (SELECT 1) one
LEFT JOIN {schema}projection_checkpoints c ON c.name = 'tasks'
LEFT JOIN (SELECT * FROM page ORDER BY %[2]s LIMIT %[3]s) p ON true
ORDER BY p.%[2]s`, where, order, c.arg(q.Limit), listedTask), c.args, nil
}

// taskRow is a row as List reads it. All columns but the total may be null, because an empty page
// still has one row.
type taskRow struct {
	num                   *int64
	id, text, status      *string
	priority, attempt     *int64
	assignedTo            *string
	metadata, result, err *string
	createdAt, updatedAt  *time.Time
	completedAt           *time.Time
	extras                listedRow
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
	r.extras.write(&b, *r.status)
	b.WriteByte('}')
	return b.Bytes()
}

// size estimates the size of the task object, so that a long one is not copied as it grows.
func (r taskRow) size() int {
	size := 512 // names, numbers, times
	for _, text := range []*string{r.text, r.metadata, r.result, r.err, r.extras.errors, r.extras.progress} {
		if text != nil {
			size += len(*text)
		}
	}
	return size
}
