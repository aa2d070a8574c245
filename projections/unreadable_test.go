package projections_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/projections"
)

// testdata/unreadable.jsonl is a log of a version that accepted U+0000 and unpaired surrogates.
func TestALogWithWhatSQLCannotReadIsFolded(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	var log bytes.Buffer
	b.tasks = projections.NewTasks(projections.PostgresConfig{Pool: b.pool, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	b.all[2] = b.tasks
	text, err := os.ReadFile("testdata/unreadable.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var batch events.Batch
	for line := range bytes.Lines(text) {
		entry, err := events.Decode(bytes.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		batch.Entries = append(batch.Entries, events.Entry{ID: entry.ID, Envelope: entry})
	}
	b.prepare(t)
	b.apply(t, batch)

	var keys int
	if err := b.db.QueryRow(t.Context(), `
SELECT count(*) FROM tasks WHERE metadata->>'k' <> '' OR result #>> '{}' <> '' OR error->>'e' <> '' OR metadata::jsonb @> '{"a":1}'`).Scan(&keys); err != nil || keys != 2 {
		t.Errorf("SQL reads %d rows, want 2: %v", keys, err)
	}
	for column, want := range map[string]string{
		"metadata": `{"k":"a\ufffdb","\ufffd":"\ufffd","fine":"\\u0000 \ud83d\ude00"}`, "result": `"\ufffd"`, "error": `{"e":"\ufffd"}`,
	} {
		var got string
		if err := b.db.QueryRow(t.Context(), `SELECT `+column+`::text FROM tasks WHERE num = 3`).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, want %s (%v)", column, got, want, err)
		}
	}
	if warned := log.String(); strings.Count(warned, "level=WARN") != 1 || !strings.Contains(warned, "events=3 last="+batch.Last().String()) {
		t.Errorf("logged %q", warned)
	}
}
