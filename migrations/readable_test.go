package migrations_test

import (
	"fmt"
	"testing"

	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/migrations"
)

// Rows that a version before wrote, with what SQL cannot read in their JSON, are mended; the others
// stay as they are.
func TestRowsAreMadeReadable(t *testing.T) {
	t.Parallel()
	pool := open(t, testenv.Postgres(t), "")
	if err := migrations.Up(t.Context(), pool, "", quiet); err != nil {
		t.Fatal(err)
	}
	insert := func(num int, metadata, result, fault string) {
		t.Helper()
		_, err := pool.Exec(t.Context(), `
INSERT INTO tasks (num, id, status, priority, attempt, text, metadata, result, error, created_at, updated_at, seq)
VALUES ($1, 't-' || $1::bigint, 'failed', 50, 1, 'x', $2::text::json, NULLIF($3::text, '')::json, NULLIF($4::text, '')::json, now(), now(), $1)`, num, metadata, result, fault)
		if err != nil {
			t.Fatal(err)
		}
	}
	const tasks = 50 // a few pages
	for num := 1; num <= tasks; num++ {
		switch num % 3 {
		case 0:
			insert(num, fmt.Sprintf(`{"k":"a\u0000", "n":%d.50}`, num), `"\udc00"`, `["\\u0000","\ud800"]`)
		case 1:
			insert(num, `{"k":"\\u0000 \ud83d\ude00"}`, "", "")
		default:
			insert(num, `{"k":"v"}`, "1.0", "")
		}
	}
	// As the version before left the database.
	if _, err := pool.Exec(t.Context(), `DELETE FROM goose_db_version WHERE version_id = 6`); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Up(t.Context(), pool, "", quiet); err != nil {
		t.Fatal(err)
	}
	var readable int
	if err := pool.QueryRow(t.Context(), `SELECT count(metadata->>'k') + count(result #>> '{}') + count(error->>1) FROM tasks`).Scan(&readable); err != nil {
		t.Errorf("SQL cannot read the rows: %v", err)
	}
	for num, want := range map[int][3]string{
		48: {`{"k":"a\ufffd", "n":48.50}`, `"\ufffd"`, `["\\u0000","\ufffd"]`},
		49: {`{"k":"\\u0000 \ud83d\ude00"}`, "", ""},
		50: {`{"k":"v"}`, "1.0", ""},
	} {
		var got [3]string
		err := pool.QueryRow(t.Context(), `SELECT metadata::text, COALESCE(result::text, ''), COALESCE(error::text, '') FROM tasks WHERE num = $1`, num).Scan(&got[0], &got[1], &got[2])
		if err != nil || got != want {
			t.Errorf("task %d has %s, want %s (%v)", num, got, want, err)
		}
	}
}
