package projections

import (
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// extrasColumns are the columns of extras: the name, the type of the array that a statement takes, the
// value of a column in the row c of the array, and what an update of an existing row sets. A statement
// for tasks without extras only ends a time limit and forgets the progress of an earlier try, because
// it cannot know whether the row has them.
var extrasColumns = []struct{ name, array, value, set string }{
	{"run_at", "timestamptz", "c.run_at", either("run_at", when{colRunAt, "c.run_at"})},
	{"failures", "integer", "c.failures", either("failures", when{colFailures, "c.failures"})},
	{"losses", "integer", "c.losses", either("losses", when{colLosses, "c.losses"})},
	{"errors", "text", newErrors, either("errors", when{colOnlyErrors, newErrors}, when{colErrors, lastErrors})},
	{"progress", "text", "c.progress::json", either("progress", when{colProgress, "c.progress::json"}, when{colClaimed, "NULL"})},
	{"timeout_at", "timestamptz", "c.timeout_at", either("timeout_at", when{colTimeout, "c.timeout_at"}, when{colStatus, "NULL"})},
	{"cancellation", "text", "c.cancellation::json", either("cancellation",
		when{colCancellation, "c.cancellation::json"}, when{colFirstCancellation, "coalesce(t.cancellation, c.cancellation::json)"})},
	{"options", "text", "c.options::json", "t.options"}, // never change
}

// newErrors are the errors of a change. No JSON has the character between them: in a string it is
// escaped.
const newErrors = `string_to_array(c.errors, E'\x1e')::json[]`

// lastErrors are the last ones of a row's errors and those of a change.
var lastErrors = fmt.Sprintf("(t.errors || %[1]s)[cardinality(t.errors || %[1]s) - %[2]d:]", newErrors, keptErrors-1)

// when is the value of a column if a bit is set.
type when struct {
	bit   column
	value string
}

// either returns the value that a row's column gets: that of the first bit that is set in the change,
// or else the row's own.
func either(name string, cases ...when) string {
	var b strings.Builder
	b.WriteString("CASE")
	for _, c := range cases {
		fmt.Fprintf(&b, " WHEN c.set & %d <> 0 THEN %s", c.bit, c.value)
	}
	b.WriteString(" ELSE t." + name + " END")
	return b.String()
}

// The statements for tasks without extras, and for tasks with extras.
var (
	insertTasks = fmt.Sprintf(insertFormat, "", "", "",
		", run_at = NULL, failures = 0, losses = 0, errors = NULL, progress = NULL, timeout_at = NULL, cancellation = NULL, options = NULL")
	updateTasks = fmt.Sprintf(updateFormat, assignments()+assignment("progress", either("progress", when{colClaimed, "NULL"}))+
		assignment("timeout_at", either("timeout_at", when{colStatus, "NULL"})), "", "")
	insertExtras, updateExtras = extrasStatements()
)

func extrasStatements() (insert, update string) {
	var names, values, arrays, excluded strings.Builder
	const first = 17 // the parameter of the first extra in both statements
	set := assignments()
	for i, x := range extrasColumns {
		fmt.Fprintf(&names, ", %s", x.name)
		fmt.Fprintf(&values, ", %s", x.value)
		fmt.Fprintf(&arrays, ", $%d::%s[]", first+i, x.array)
		fmt.Fprintf(&excluded, ", %[1]s = excluded.%[1]s", x.name)
		set += assignment(x.name, x.set)
	}
	return fmt.Sprintf(insertFormat, &names, &values, &arrays, &excluded), fmt.Sprintf(updateFormat, set, &arrays, &names)
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
