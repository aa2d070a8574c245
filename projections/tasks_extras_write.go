package projections

import (
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// extrasColumns are the columns of extras: the name, the type of the array that a statement takes, the
// value of a column in it, and what an update of an existing row sets. %[1]s in the latter is the value.
// A statement for tasks without extras only ends a time limit and forgets the progress of an earlier
// try, because it cannot know whether the row has them.
var extrasColumns = []struct{ name, array, value, set string }{
	{"run_at", "timestamptz", "%s", whether(colRunAt, "run_at")},
	{"failures", "integer", "%s", whether(colFailures, "failures")},
	{"losses", "integer", "%s", whether(colLosses, "losses")},
	{"errors", "text", "string_to_array(%s, E'\\x1e')::json[]", fmt.Sprintf(
		"CASE WHEN c.set & %d <> 0 THEN %%[1]s WHEN c.set & %d <> 0 THEN (t.errors || %%[1]s)[cardinality(t.errors || %%[1]s) - %d:] ELSE t.errors END",
		colOnlyErrors, colErrors, keptErrors-1)},
	{"progress", "text", "%s::json", fmt.Sprintf(
		"CASE WHEN c.set & %d <> 0 THEN %%[1]s WHEN c.set & %d <> 0 THEN NULL ELSE t.progress END", colProgress, colClaimed)},
	{"timeout_at", "timestamptz", "%s", fmt.Sprintf(
		"CASE WHEN c.set & %d <> 0 THEN %%[1]s WHEN c.set & %d <> 0 THEN NULL ELSE t.timeout_at END", colTimeout, colStatus)},
	{"cancellation", "text", "%s::json", fmt.Sprintf(
		"CASE WHEN c.set & %d <> 0 THEN %%[1]s WHEN c.set & %d <> 0 THEN coalesce(t.cancellation, %%[1]s) ELSE t.cancellation END",
		colCancellation, colFirstCancellation)},
	{"options", "text", "%s::json", "t.options"}, // never change
}

// whether returns the expression of a column that one bit sets.
func whether(bit column, name string) string {
	return fmt.Sprintf("CASE WHEN c.set & %d <> 0 THEN %%[1]s ELSE t.%s END", bit, name)
}

// The statements for tasks without extras, and for tasks with extras.
var (
	insertTasks = fmt.Sprintf(insertFormat, "", "", "",
		", run_at = NULL, failures = 0, losses = 0, errors = NULL, progress = NULL, timeout_at = NULL, cancellation = NULL, options = NULL")
	updateTasks = fmt.Sprintf(updateFormat, assignments()+fmt.Sprintf(`  progress = CASE WHEN c.set & %d <> 0 THEN NULL ELSE t.progress END,
  timeout_at = CASE WHEN c.set & %d <> 0 THEN NULL ELSE t.timeout_at END,
`, colClaimed, colStatus), "", "")
	insertExtras, updateExtras = extrasStatements()
)

func extrasStatements() (insert, update string) {
	var names, values, arrays, excluded, set strings.Builder
	const first = 17 // the parameter of the first extra in both statements
	for i, x := range extrasColumns {
		fmt.Fprintf(&names, ", %s", x.name)
		fmt.Fprintf(&values, ", "+x.value, x.name)
		fmt.Fprintf(&arrays, ", $%d::%s[]", first+i, x.array)
		fmt.Fprintf(&excluded, ", %[1]s = excluded.%[1]s", x.name)
		fmt.Fprintf(&set, "  %s = ", x.name)
		if strings.Contains(x.set, "%") {
			fmt.Fprintf(&set, x.set, fmt.Sprintf(x.value, "c."+x.name))
		} else {
			set.WriteString(x.set)
		}
		set.WriteString(",\n")
	}
	return fmt.Sprintf(insertFormat, &names, &values, &arrays, &excluded), fmt.Sprintf(updateFormat, assignments()+set.String(), &arrays, &names)
}

// taskExtrasColumns holds the changes with extras by column: those of created tasks, and those of
// existing rows.
type taskExtrasColumns struct{ inserted, updated extrasArrays }

// extrasArrays holds changes by column, in the order of extrasColumns.
type extrasArrays struct {
	taskColumns
	runAt, timeoutAt                        []*time.Time
	failures, losses                        []int32
	errors, progress, cancellation, options []*string
}

func (n *taskExtrasColumns) add(c *taskChange) {
	if c.created {
		n.inserted.add(c)
	} else {
		n.updated.add(c)
	}
}

// queue adds the statements of the changes, if there are any.
func (n *taskExtrasColumns) queue(b *pgx.Batch, t *Tasks) {
	if i := &n.inserted; len(i.num) > 0 {
		b.Queue(t.sql(insertExtras), i.arguments(i.taskColumns.inserted())...)
	}
	if u := &n.updated; len(u.num) > 0 {
		b.Queue(t.sql(updateExtras), u.arguments(u.taskColumns.updated())...)
	}
}

func (n *extrasArrays) add(c *taskChange) {
	n.taskColumns.add(c)
	x := c.extras
	n.runAt = append(n.runAt, moment(x.runAt))
	n.failures = append(n.failures, int32(x.failures)) //nolint:gosec // one for each try
	n.losses = append(n.losses, int32(x.losses))       //nolint:gosec // one for each claim
	var errors *string
	if len(x.errors) > 0 {
		// No JSON has this character: in a string it is escaped.
		list := strings.Join(x.errors, "\x1e")
		errors = &list
	}
	n.errors = append(n.errors, errors)
	n.progress = append(n.progress, x.progress)
	n.timeoutAt = append(n.timeoutAt, moment(x.timeoutAt))
	n.cancellation = append(n.cancellation, x.cancellation)
	n.options = append(n.options, x.options)
}

// arguments returns those of a statement, which begin with those of the other columns.
func (n *extrasArrays) arguments(others []any) []any {
	return append(others, n.runAt, n.failures, n.losses, n.errors, n.progress, n.timeoutAt, n.cancellation, n.options)
}
