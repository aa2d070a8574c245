package projections

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// taskConditions builds the WHERE clause of a statement over the tasks, and its arguments. Every
// value of a caller is an argument.
type taskConditions struct {
	args []any
	all  []string
}

func (c *taskConditions) arg(value any) string {
	c.args = append(c.args, value)
	return "$" + strconv.Itoa(len(c.args))
}

// add adds a condition with one argument, whose place in it is %[1]s.
func (c *taskConditions) add(condition string, value any) {
	c.all = append(c.all, fmt.Sprintf(condition, c.arg(value)))
}

// where returns the clause, "" if there is no condition.
func (c *taskConditions) where() string {
	if len(c.all) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.all, " AND ")
}

// filter adds the conditions of a filter. The first ones can use an index; the searches of texts and
// of JSON read every row that the others leave.
func (c *taskConditions) filter(f api.TaskFilter) {
	switch len(f.Statuses) {
	case 0:
	case 1:
		c.add("status = %[1]s", f.Statuses[0])
	default:
		c.add("status = ANY(%[1]s)", f.Statuses)
	}
	if f.AssignedTo != "" {
		c.add("assigned_to = %[1]s", f.AssignedTo)
	}
	if f.Priority != nil {
		c.add("priority = %[1]s", *f.Priority)
	}
	if f.NotCalledOff {
		c.all = append(c.all, "cancellation IS NULL")
	}
	if !f.CreatedAfter.IsZero() {
		c.add("created_at >= %[1]s", f.CreatedAfter)
	}
	if !f.CreatedBefore.IsZero() {
		c.add("created_at < %[1]s", f.CreatedBefore)
	}
	if !f.UpdatedAfter.IsZero() {
		c.add("updated_at >= %[1]s", f.UpdatedAfter)
	}
	if !f.UpdatedBefore.IsZero() {
		c.add("updated_at < %[1]s", f.UpdatedBefore)
	}
	if f.Role != "" {
		c.add(requiresRole, f.Role)
	}
	if f.Text != "" {
		c.add("strpos(lower(text), lower(%[1]s)) > 0", f.Text)
	}
	if f.Error != "" {
		c.add(errorContains, f.Error)
	}
	for name, value := range jsontext.Members(f.Metadata) {
		c.member(name, string(value))
	}
}

// requiresRole is the condition that metadata.roles contains a role. It reads JSON as text, and never
// as jsonb, because a number in a user's metadata may be too large for jsonb, which would fail the
// whole list. Most rows are excluded without parsing their JSON: a role that is in it, and not
// spelled with escapes, is in its text.
const requiresRole = `(strpos(metadata::text, %[1]s) > 0 OR strpos(metadata::text, E'\\') > 0) AND EXISTS (
  SELECT FROM (SELECT metadata -> 'roles' AS list OFFSET 0) roles,
              json_array_elements(CASE WHEN json_typeof(list) = 'array' THEN list ELSE '[]' END) r
  WHERE json_typeof(r) = 'string' AND r #>> '{}' = %[1]s)`

// errorContains is the condition that the error contains a text. A string is searched as the text
// that it stands for, and any other error as its JSON. The index tasks_error has the rows that have
// an error.
const errorContains = `error IS NOT NULL AND
  strpos(lower(CASE WHEN json_typeof(error) = 'string' THEN error #>> '{}' ELSE error::text END), lower(%[1]s)) > 0`

const (
	// jsonString matches a string of JSON, in Go and in Postgres.
	jsonString = `"([^"\\]|\\.)*"`
	// extremeNumber matches, in JSON without its strings, a number that jsonb may not hold: one with
	// an exponent of four digits, or with 255 digits.
	extremeNumber = `[eE][+-]?0*[1-9][0-9]{3}|[0-9]{255}`
)

var (
	jsonStrings    = regexp.MustCompile(jsonString)
	extremeNumbers = regexp.MustCompile(extremeNumber)
)

// extreme reports whether a value of JSON has a number that jsonb may not hold.
func extreme(value string) bool {
	return extremeNumbers.MatchString(value) && extremeNumbers.MatchString(jsonStrings.ReplaceAllString(value, ""))
}

// member adds the condition that the metadata has a member with an equal value. jsonb compares
// numbers by value and ignores the order of members, but fails on an extreme number, and one row
// with such a number would fail every list. So a value that has one equals only the same text. Most
// rows are excluded without parsing their JSON: a name or a string that is in it, and not spelled
// with escapes, is in its text.
func (c *taskConditions) member(name, value string) {
	needle := name
	if value[0] == '"' {
		needle = jsontext.Unquote([]byte(value))
	}
	condition := fmt.Sprintf("metadata IS NOT NULL AND (strpos(metadata::text, %s) > 0 OR strpos(metadata::text, E'\\\\') > 0)", c.arg(needle))
	if extreme(value) {
		c.all = append(c.all, condition+fmt.Sprintf(" AND (metadata -> %s::text)::text = %s", c.arg(name), c.arg(value)))
		return
	}
	c.all = append(c.all, condition+fmt.Sprintf(` AND EXISTS (
  SELECT FROM (SELECT metadata -> %[1]s::text AS value OFFSET 0) member
  WHERE CASE WHEN value::text ~ %[2]s AND regexp_replace(value::text, %[3]s, '', 'g'::text) ~ %[2]s THEN false ELSE value::jsonb = %[4]s::text::jsonb END)`,
		c.arg(name), c.arg(extremeNumber), c.arg(jsonString), c.arg(value)))
}

// MatchingTasks are the first tasks behind a number that match a filter.
type MatchingTasks struct {
	IDs []string // in order of their numbers
	// Last is the number of the last of them, behind which to continue; 0 if there are none.
	Last int64
	// At is the last event that the view had applied.
	At events.ID
}

// Matching returns the IDs of at most limit matching tasks whose number is greater than after, in the
// order of their numbers, which is that of their creation. Fewer than limit means that there are no
// more. The error is events.ErrForeignLog or one of Postgres.
func (t *Tasks) Matching(ctx context.Context, f api.TaskFilter, after int64, limit int) (MatchingTasks, error) {
	found := MatchingTasks{IDs: []string{}}
	c := &taskConditions{}
	c.filter(f)
	c.add("num > %[1]s", after)
	conn, err := t.cfg.Pool.acquire(ctx)
	if err != nil {
		return found, fmt.Errorf("find tasks: %w", err)
	}
	defer conn.Release()
	rows, err := conn.Query(ctx, t.sql(fmt.Sprintf(`
SELECT coalesce(c.id, '0-0'), to_jsonb(c) ->> 'log', p.num, p.id
FROM (SELECT 1) one
LEFT JOIN {schema}projection_checkpoints c ON c.name = 'tasks'
LEFT JOIN (SELECT num, id FROM {schema}tasks%s ORDER BY num LIMIT %s) p ON true
ORDER BY p.num`, c.where(), c.arg(limit))), c.args...)
	if err != nil {
		return found, fmt.Errorf("find tasks: %w", err)
	}
	defer rows.Close()
	var at string
	var log *string
	for rows.Next() {
		var num *int64
		var id *string
		if err := rows.Scan(&at, &log, &num, &id); err != nil {
			return found, fmt.Errorf("read the ID of a task: %w", err)
		}
		if num != nil { // without a match, the only row holds just the checkpoint
			found.IDs, found.Last = append(found.IDs, *id), *num
		}
	}
	if err := rows.Err(); err != nil {
		return found, fmt.Errorf("find tasks: %w", err)
	}
	found.At, err = t.position(at, log)
	return found, err
}
