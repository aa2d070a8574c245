package projections

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// minCopied is how many created tasks a batch must hold to be copied. COPY takes half of the time
// of an upsert for each row, but two round trips of its own.
const minCopied = 100

const anyBetween = `SELECT EXISTS (SELECT FROM {schema}tasks WHERE num BETWEEN $1 AND $2)`

// copiedColumns are the columns of a row in the order of taskChange.row.
var copiedColumns = []string{
	"num", "id", "status", "priority", "attempt", "assigned_to", "text", "metadata", "result", "error",
	"created_at", "updated_at", "claimed_at", "completed_at", "waited_ms", "duration_ms", "seq",
}

// copyCreated copies the rows of created tasks into the table, if that is safe and pays. It reports
// whether it did. COPY has no ON CONFLICT, so it is safe only if none of the rows exists. Rows that
// the checkpoint does not cover exist only if something else changed the table, for example a
// restore of the table without its checkpoint. The lock of the checkpoint keeps other coordinators
// from adding rows between the check and the COPY.
func (t *Tasks) copyCreated(ctx context.Context, tx pgx.Tx, created []*taskChange) (copied bool, err error) {
	if len(created) < minCopied {
		return false, nil
	}
	lowest, highest := created[0].num, created[0].num
	for _, c := range created {
		lowest, highest = min(lowest, c.num), max(highest, c.num)
	}
	var exists bool
	if err := tx.QueryRow(ctx, t.sql(anyBetween), lowest, highest).Scan(&exists); err != nil || exists {
		return false, err
	}
	rows := pgx.CopyFromSlice(len(created), func(i int) ([]any, error) { return created[i].row(), nil })
	if _, err := tx.CopyFrom(ctx, t.cfg.Pool.table("tasks"), copiedColumns, rows); err != nil {
		return false, fmt.Errorf("copy %d created tasks: %w", len(created), err)
	}
	return true, nil
}

// row returns the values of a row.
func (c *taskChange) row() []any {
	values := []any{
		c.num, "t-" + strconv.FormatInt(c.num, 10), c.status, c.priority, c.attempt, c.assignedTo, c.text, c.metadata, c.result, c.err,
		time.UnixMilli(c.createdAt), time.UnixMilli(c.updatedAt), nil, nil, nil, nil, c.seq,
	}
	if c.claimedAt != 0 {
		values[12], values[14] = time.UnixMilli(c.claimedAt), c.waited
	}
	if c.completedAt != 0 {
		values[13], values[15] = time.UnixMilli(c.completedAt), c.duration // a cancelled task is not copied
	}
	return values
}
