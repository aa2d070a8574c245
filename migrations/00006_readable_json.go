package migrations

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// readablePage is how many rows makeReadable holds at a time. A row may have 3 MiB.
const readablePage = 16

// perhapsUnreadable finds escapes of U+0000 and of surrogates, paired ones too.
const perhapsUnreadable = `\\u(0000|[dD][89a-fA-F])`

// makeReadable replaces what SQL cannot read in the rows' JSON, as the projection does since this
// version. It is Go because the rule is Go: no pattern of Postgres tells an escape from an escaped
// backslash.
func makeReadable(ctx context.Context, tx pgx.Tx) error {
	for last := int64(0); ; {
		rows, err := unreadableRows(ctx, tx, last)
		if err != nil {
			return fmt.Errorf("read the tasks with escapes: %w", err)
		}
		for _, r := range rows {
			if !r.replace() {
				continue
			}
			_, err := tx.Exec(ctx, `UPDATE tasks SET metadata = $2::text::json, result = $3::text::json, error = $4::text::json WHERE num = $1`,
				r.num, r.documents[0], r.documents[1], r.documents[2])
			if err != nil {
				return fmt.Errorf("make the JSON of task %d readable: %w", r.num, err)
			}
		}
		if len(rows) < readablePage {
			return nil
		}
		last = rows[len(rows)-1].num
	}
}

type jsonRow struct {
	num       int64
	documents [3]*string // metadata, result, error
}

// replace reports whether anything in the row was unreadable.
func (r *jsonRow) replace() (any bool) {
	for i, d := range r.documents {
		if d == nil {
			continue
		}
		if text, replaced := jsontext.Readable([]byte(*d)); replaced {
			readable := string(text)
			r.documents[i], any = &readable, true
		}
	}
	return any
}

func unreadableRows(ctx context.Context, tx pgx.Tx, after int64) ([]jsonRow, error) {
	rows, err := tx.Query(ctx, `
SELECT num, metadata::text, result::text, error::text FROM tasks
WHERE num > $1 AND (metadata::text ~ $2 OR result::text ~ $2 OR error::text ~ $2)
ORDER BY num LIMIT $3`, after, perhapsUnreadable, readablePage)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r jsonRow, err error) {
		err = row.Scan(&r.num, &r.documents[0], &r.documents[1], &r.documents[2])
		return r, err
	})
}
