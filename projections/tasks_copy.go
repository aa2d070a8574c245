package projections

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// minCopied is how many created tasks a batch must hold to be copied. COPY takes half of the time
// of an upsert for each row, but two round trips of its own.
const minCopied = 100

const (
	copyTasks = `
COPY {schema}tasks (num, id, status, priority, attempt, assigned_to, text, metadata, result, error,
                    created_at, updated_at, claimed_at, completed_at, waited_ms, duration_ms, seq) FROM STDIN (FORMAT binary)`
	copiedColumns = 17

	anyBetween = `SELECT EXISTS (SELECT FROM {schema}tasks WHERE num BETWEEN $1 AND $2)`
)

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
	if _, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(copyData(created)), t.sql(copyTasks)); err != nil {
		return false, fmt.Errorf("copy %d created tasks: %w", len(created), err)
	}
	return true, nil
}

// copyData returns rows in the binary format of COPY.
func copyData(rows []*taskChange) []byte {
	size := 0
	for _, c := range rows {
		size += c.copySize()
	}
	b := make([]byte, 0, size+32)
	b = append(b, "PGCOPY\n\xff\r\n\x00"...)
	b = append(b, 0, 0, 0, 0) // flags
	b = append(b, 0, 0, 0, 0) // length of the header's extension
	for _, c := range rows {
		b = c.appendCopy(b)
	}
	return append(b, 0xff, 0xff) // the end
}

// copySize estimates the size of a row.
func (c *taskChange) copySize() int {
	size := 200 + len(c.text)
	for _, s := range []*string{c.metadata, c.result, c.err} {
		if s != nil {
			size += len(*s)
		}
	}
	return size
}

// appendCopy appends a row: the number of columns, and for each column its length and its value.
func (c *taskChange) appendCopy(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, copiedColumns)
	b = appendBigint(b, c.num)
	b = appendText(b, "t-"+strconv.FormatInt(c.num, 10))
	b = appendText(b, c.status)
	b = binary.BigEndian.AppendUint16(append(b, 0, 0, 0, 2), uint16(c.priority)) //nolint:gosec // 0 to 100
	b = binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 4), uint32(c.attempt))  //nolint:gosec // one for each claim
	b = appendOptional(b, c.assignedTo)
	b = appendText(b, c.text)
	b = appendOptional(b, c.metadata)
	b = appendOptional(b, c.result)
	b = appendOptional(b, c.err)
	b = appendTime(b, c.createdAt)
	b = appendTime(b, c.updatedAt)
	b = appendOptionalTime(b, c.claimedAt)
	b = appendOptionalTime(b, c.completedAt)
	b = appendSince(b, c.claimedAt, c.waited)
	b = appendSince(b, c.completedAt, c.duration)
	return appendBigint(b, c.seq)
}

func appendBigint(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 8), uint64(n)) //nolint:gosec // two's complement
}

func appendText(b []byte, text string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(text))) //nolint:gosec // at most 1 MiB
	return append(b, text...)
}

func appendNull(b []byte) []byte { return append(b, 0xff, 0xff, 0xff, 0xff) }

func appendOptional(b []byte, text *string) []byte {
	if text == nil {
		return appendNull(b)
	}
	return appendText(b, *text)
}

// postgresEpoch is the year 2000, in ms since 1970.
const postgresEpoch = 946_684_800_000

// appendTime appends a time in ms since 1970 as a timestamptz, which counts µs since 2000.
func appendTime(b []byte, ms int64) []byte {
	return appendBigint(b, (ms-postgresEpoch)*1000)
}

func appendOptionalTime(b []byte, ms int64) []byte {
	if ms == 0 {
		return appendNull(b)
	}
	return appendTime(b, ms)
}

// appendSince appends a duration in ms, or NULL if the event that ends it has not happened.
func appendSince(b []byte, at, ms int64) []byte {
	if at == 0 {
		return appendNull(b)
	}
	return appendBigint(b, ms)
}
