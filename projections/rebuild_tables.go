package projections

import (
	"fmt"
	"slices"
	"strings"
)

// rebuiltTable is a table that a rebuild folds into a table beside it, compares and corrects. In its
// statements, {schema} stands before the name of a live table and {place} before that of the table
// beside it. l is a live row and a the row beside it.
type rebuiltTable struct {
	name string
	key  []string // the primary key
	// since is the column with the seq of the event that began the row.
	since string
	// columns are all columns that the projection writes. Others belong to the operator.
	columns []string
	json    []string // those of columns that have no equality
	// numbered reports that the key is one number, and that the fold changes a row only by itself. A row
	// that was equal then stays equal, so that only those that differed need to be corrected later.
	numbered bool
	// options of the table beside it, which then has no index but the primary key.
	options string
	// kept reports that the rows that began before the log are not copied, because no event changes them.
	kept bool
}

var (
	tasksTables = []rebuiltTable{
		{
			name: "tasks", key: []string{"num"}, since: "num", columns: taskColumnNames(), numbered: true, options: "WITH (fillfactor = 85)",
			json: []string{"metadata", "result", "error", "errors", "progress", "cancellation", "options"},
		},
		{
			name: "sessions", key: []string{"id"}, since: "first_seq", json: []string{"tools", "todos"},
			columns: []string{
				"id", "source", "instance_id", "first_seq", "seq", "started_at", "last_activity_at", "ended_at", "events", "prompts",
				"allowed", "asked", "denied", "tools", "todos", "kept",
			},
		},
		{
			name: "session_instances", key: []string{"instance_id", "since_seq"}, since: "since_seq",
			columns: []string{"instance_id", "since_seq", "session_id", "since_at", "until_at"},
		},
		{
			name: "schedules", key: []string{"id"}, since: "first_seq", json: []string{"task", "last_error"},
			columns: []string{
				"id", "cron", "timezone", "task", "paused", "catch_up", "next_tick", "last_tick", "last_task", "last_error",
				"fired", "first_seq", "seq", "created_at", "updated_at",
			},
		},
	}
	eventsTables = []rebuiltTable{
		{name: "events", key: []string{"seq"}, since: "seq", columns: eventColumns, numbered: true, options: "WITH (fillfactor = 100)", kept: true},
	}
)

func taskColumnNames() []string {
	names := slices.Clone(copiedColumns)
	for _, x := range extrasColumns {
		names = append(names, x.name)
	}
	return names
}

// list returns an expression for each column, separated by commas. %s in the format is the column.
func list(columns []string, format string) string {
	all := make([]string, len(columns))
	for i, column := range columns {
		all[i] = strings.ReplaceAll(format, "%s", column)
	}
	return strings.Join(all, ", ")
}

// comparable returns the columns of a side in a form that has an equality.
func (t rebuiltTable) comparable(side string) string {
	all := make([]string, len(t.columns))
	for i, column := range t.columns {
		all[i] = side + "." + column
		if slices.Contains(t.json, column) {
			all[i] += "::text"
		}
	}
	return strings.Join(all, ", ")
}

// differ is true for two rows with the same key that differ.
func (t rebuiltTable) differ() string {
	return fmt.Sprintf("(%s) IS DISTINCT FROM (%s)", t.comparable("l"), t.comparable("a"))
}

// match is true for rows with the same key.
func (t rebuiltTable) match() string {
	return strings.ReplaceAll(list(t.key, "l.%s = a.%s"), ", ", " AND ")
}

// create returns the statements that make the table beside the live one, without rows.
func (t rebuiltTable) create() []string {
	if t.options == "" {
		return []string{fmt.Sprintf(`CREATE UNLOGGED TABLE {place}%[1]s (LIKE {schema}%[1]s INCLUDING DEFAULTS INCLUDING INDEXES)`, t.name)}
	}
	return []string{
		fmt.Sprintf(`CREATE UNLOGGED TABLE {place}%[1]s (LIKE {schema}%[1]s INCLUDING DEFAULTS) %[2]s`, t.name, t.options),
		fmt.Sprintf(`ALTER TABLE {place}%s ADD PRIMARY KEY (%s)`, t.name, strings.Join(t.key, ", ")),
	}
}

// copyKept copies the rows that began before $1.
func (t rebuiltTable) copyKept() string {
	return fmt.Sprintf(`INSERT INTO {place}%[1]s (%[2]s) SELECT %[2]s FROM {schema}%[1]s WHERE %[3]s < $1`, t.name, list(t.columns, "%s"), t.since)
}

// compare returns a row for each difference, in the order of the key: the key, whether a side lacks
// the row, and for the first $1 the values of both sides. Live rows that began before $2 are left out.
func (t rebuiltTable) compare() string {
	keys := list(t.key, "coalesce(l.%s, a.%s)")
	return fmt.Sprintf(`
SELECT concat_ws(' ', %[2]s), l.%[3]s IS NULL, a.%[3]s IS NULL,
       CASE WHEN row_number() OVER same <= $1 THEN ARRAY[%[4]s] END,
       CASE WHEN row_number() OVER same <= $1 THEN ARRAY[%[5]s] END
FROM (SELECT * FROM {schema}%[1]s WHERE %[6]s >= $2) l FULL JOIN {place}%[1]s a ON %[7]s
WHERE l.%[3]s IS NULL OR a.%[3]s IS NULL OR %[8]s
WINDOW same AS (ORDER BY %[2]s)
ORDER BY %[2]s`, t.name, keys, t.key[0], list(t.columns, "l.%s::text"), list(t.columns, "a.%s::text"), t.since, t.match(), t.differ())
}

// correct returns the statements that make the live rows equal to those beside them: it deletes,
// updates and inserts only rows that differ. $1 is as in compare. With some, only rows whose key is in
// $2 are touched.
func (t rebuiltTable) correct(some bool) []string {
	in := func(side string) string {
		if !some {
			return ""
		}
		return fmt.Sprintf(" AND %s.%s = ANY ($2::bigint[])", side, t.key[0])
	}
	var set []string
	for _, column := range t.columns {
		if !slices.Contains(t.key, column) {
			set = append(set, column+" = a."+column)
		}
	}
	return []string{
		fmt.Sprintf(`DELETE FROM {schema}%[1]s l WHERE l.%[2]s >= $1%[3]s AND NOT EXISTS (SELECT FROM {place}%[1]s a WHERE %[4]s)`,
			t.name, t.since, in("l"), t.match()),
		fmt.Sprintf(`UPDATE {schema}%[1]s l SET %[2]s FROM {place}%[1]s a WHERE l.%[3]s >= $1%[4]s AND %[5]s AND %[6]s`,
			t.name, strings.Join(set, ", "), t.since, in("l"), t.match(), t.differ()),
		fmt.Sprintf(`INSERT INTO {schema}%[1]s (%[2]s) SELECT %[3]s FROM {place}%[1]s a WHERE a.%[4]s >= $1%[5]s AND NOT EXISTS (SELECT FROM {schema}%[1]s l WHERE %[6]s)`,
			t.name, list(t.columns, "%s"), list(t.columns, "a.%s"), t.since, in("a"), t.match()),
	}
}
