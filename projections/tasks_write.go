package projections

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claudebench/claudebench/events"
)

// Each statement takes its rows as one array per column, so a batch needs one statement, which each
// connection plans once. JSON is passed as text, because it must not be encoded again.
const (
	// The places are for the extras: their names, their values, their arrays, and what a conflict does.
	insertFormat = `
INSERT INTO {schema}tasks (num, id, status, priority, attempt, assigned_to, text, metadata, result, error,
                   created_at, updated_at, claimed_at, completed_at, waited_ms, duration_ms, seq%[1]s)
SELECT num, 't-' || num, status, priority, attempt, assigned_to, text, metadata::json, result::json, error::json,
       created_at, updated_at, claimed_at, completed_at, waited_ms, duration_ms, seq%[2]s
FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::bigint[], $15::bigint[], $16::bigint[]%[3]s)
  AS c (num, status, priority, attempt, assigned_to, text, metadata, result, error,
        created_at, updated_at, claimed_at, completed_at, waited_ms, duration_ms, seq%[1]s)
ON CONFLICT (num) DO UPDATE SET
  status = excluded.status, priority = excluded.priority, attempt = excluded.attempt, assigned_to = excluded.assigned_to,
  text = excluded.text, metadata = excluded.metadata, result = excluded.result, error = excluded.error,
  created_at = excluded.created_at, updated_at = excluded.updated_at, claimed_at = excluded.claimed_at,
  completed_at = excluded.completed_at, waited_ms = excluded.waited_ms, duration_ms = excluded.duration_ms, seq = excluded.seq%[4]s`

	selectMetadata = `SELECT num, metadata::text FROM {schema}tasks WHERE num = ANY ($1)`

	updateMetadata = `
UPDATE {schema}tasks t SET metadata = c.metadata::json
FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS c (num, metadata, seq)
WHERE t.num = c.num AND t.seq < c.seq`
)

// settable are the columns that an event may set in an existing row: the bit, and the expression.
var settable = []struct {
	bit           column
	name, changed string
}{
	{colStatus, "status", "c.status"},
	{colPriority, "priority", "c.priority"},
	{colAttempt, "attempt", "c.attempt"},
	{colAssignedTo, "assigned_to", "c.assigned_to"},
	{colText, "text", "c.text"},
	{colMetadata, "metadata", "c.metadata::json"},
	{colResult, "result", "c.result::json"},
	{colError, "error", "c.error::json"},
	{colClaimed, "claimed_at", "c.claimed_at"},
	{colClaimed, "waited_ms", "c.waited_ms"},
	{colCompleted, "completed_at", "c.completed_at"},
	{colCompleted, "duration_ms", "c.duration_ms"},
}

// updateFormat sets in each row the columns that its change has. The places are for the assignments,
// and for the arrays and the names of the extras.
const updateFormat = `
UPDATE {schema}tasks t SET
%[1]s  updated_at = c.updated_at, seq = c.seq
FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::bigint[], $14::bigint[], $15::bigint[], $16::integer[]%[2]s)
  AS c (num, status, priority, attempt, assigned_to, text, metadata, result, error,
        updated_at, claimed_at, completed_at, waited_ms, duration_ms, seq, set%[3]s)
WHERE t.num = c.num AND t.seq < c.seq`

// assignments returns the assignments of the columns that every task has.
func assignments() string {
	var set strings.Builder
	for _, s := range settable {
		set.WriteString(assignment(s.name, either(s.name, when{s.bit, s.changed})))
	}
	return set.String()
}

// assignment returns a line of an update.
func assignment(name, value string) string { return "  " + name + " = " + value + ",\n" }

// maxMerged is how many rows' metadata, of up to 1 MiB each, are in memory at a time for a merge.
const maxMerged = 32

// write queues the folded changes and the checkpoint in one round trip. If members must be merged
// into the metadata of rows, it does so first.
func (t *Tasks) write(ctx context.Context, tx pgx.Tx, f *tasksFold, to events.ID) error {
	if err := t.mergeMetadata(ctx, tx, f); err != nil {
		return err
	}
	var created []*taskChange
	var inserted, updated taskColumns
	var extras taskExtrasColumns
	for _, c := range f.order {
		switch {
		case c.deleted:
		case c.extras != nil:
			extras.add(c)
		case c.created:
			created = append(created, c)
		default:
			updated.add(c)
		}
	}
	var b pgx.Batch
	copied := false
	if f.emptied {
		b.Queue(t.sql(`DELETE FROM {schema}tasks`))
	} else {
		var err error
		if copied, err = t.copyCreated(ctx, tx, created); err != nil {
			return err
		}
	}
	if !copied {
		for _, c := range created {
			inserted.add(c)
		}
	}
	if len(inserted.num) > 0 {
		b.Queue(t.sql(insertTasks), inserted.inserted()...)
	}
	if len(updated.num) > 0 {
		b.Queue(t.sql(updateTasks), updated.updated()...)
	}
	extras.queue(&b, t)
	if len(f.deleted) > 0 {
		b.Queue(t.sql(`DELETE FROM {schema}tasks WHERE num = ANY ($1)`), f.deleted)
	}
	if err := t.writeSessions(ctx, tx, &b, f); err != nil {
		return err
	}
	if err := t.queueSchedules(&b, &f.schedules); err != nil {
		return err
	}
	statement, args := t.save(to)
	b.Queue(statement, args...)
	return tx.SendBatch(ctx, &b).Close()
}

// mergeMetadata merges in memory the metadata that the batch contains completely, and merges the
// rest into the rows. SQL cannot do it, because the text must equal the state's byte for byte.
func (t *Tasks) mergeMetadata(ctx context.Context, tx pgx.Tx, f *tasksFold) error {
	var rows []*taskChange
	for _, c := range f.order {
		switch {
		case c.deleted || c.members == nil:
		case c.created || c.set&colMetadata != 0:
			c.merge(c.metadata)
		default:
			rows = append(rows, c)
		}
	}
	if f.emptied {
		return nil // the rows are about to be deleted
	}
	for some := range slices.Chunk(rows, maxMerged) {
		if err := t.mergeRows(ctx, tx, some); err != nil {
			return err
		}
	}
	return nil
}

// mergeRows reads the rows' metadata and writes it merged. It does not change their seq, which says
// whether the other columns are still to be written.
func (t *Tasks) mergeRows(ctx context.Context, tx pgx.Tx, changes []*taskChange) error {
	byNum := make(map[int64]*taskChange, len(changes))
	nums := make([]int64, 0, len(changes))
	for _, c := range changes {
		byNum[c.num] = c
		nums = append(nums, c.num)
	}
	rows, err := tx.Query(ctx, t.sql(selectMetadata), nums)
	if err != nil {
		return err
	}
	var merged taskColumns
	var num int64
	var metadata *string
	_, err = pgx.ForEachRow(rows, []any{&num, &metadata}, func() error {
		c := byNum[num]
		c.merge(metadata)
		merged.num, merged.metadata, merged.seq = append(merged.num, num), append(merged.metadata, c.metadata), append(merged.seq, c.seq)
		c.metadata, c.set = nil, c.set&^colMetadata // written below, and not kept longer
		return nil
	})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, t.sql(updateMetadata), merged.num, merged.metadata, merged.seq)
	return err
}

// taskColumns holds changes by column.
type taskColumns struct {
	num, seq                          []int64
	status, text                      []string
	priority                          []int16
	attempt, set                      []int32
	assignedTo, metadata, result, err []*string
	createdAt, updatedAt              []time.Time
	claimedAt, completedAt            []*time.Time
	waited, duration                  []*int64
}

func (n *taskColumns) add(c *taskChange) {
	n.num = append(n.num, c.num)
	n.seq = append(n.seq, c.seq)
	n.status = append(n.status, c.status)
	n.text = append(n.text, c.text)
	n.priority = append(n.priority, int16(c.priority)) //nolint:gosec // 0 to 100
	n.attempt = append(n.attempt, int32(c.attempt))    //nolint:gosec // one for each claim
	n.set = append(n.set, int32(c.set))
	n.assignedTo = append(n.assignedTo, c.assignedTo)
	n.metadata = append(n.metadata, c.metadata)
	n.result = append(n.result, c.result)
	n.err = append(n.err, c.err)
	n.createdAt = append(n.createdAt, time.UnixMilli(c.createdAt))
	n.updatedAt = append(n.updatedAt, time.UnixMilli(c.updatedAt))
	var claimedAt, completedAt *time.Time
	var waited, duration *int64
	if c.claimedAt != 0 {
		at := time.UnixMilli(c.claimedAt)
		claimedAt, waited = &at, &c.waited
	}
	if c.completedAt != 0 {
		at := time.UnixMilli(c.completedAt)
		completedAt, duration = &at, c.ran()
	}
	n.claimedAt = append(n.claimedAt, claimedAt)
	n.waited = append(n.waited, waited)
	n.completedAt = append(n.completedAt, completedAt)
	n.duration = append(n.duration, duration)
}

// inserted returns the arguments of insertTasks.
func (n *taskColumns) inserted() []any {
	return []any{
		n.num, n.status, n.priority, n.attempt, n.assignedTo, n.text, n.metadata, n.result, n.err,
		n.createdAt, n.updatedAt, n.claimedAt, n.completedAt, n.waited, n.duration, n.seq,
	}
}

// updated returns the arguments of updateTasks.
func (n *taskColumns) updated() []any {
	return []any{
		n.num, n.status, n.priority, n.attempt, n.assignedTo, n.text, n.metadata, n.result, n.err,
		n.updatedAt, n.claimedAt, n.completedAt, n.waited, n.duration, n.seq, n.set,
	}
}

// ran returns how long a finished task ran, nil for a cancelled one.
func (c *taskChange) ran() *int64 {
	if c.status == events.StatusCancelled {
		return nil
	}
	return &c.duration
}
