package projections_test

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
)

// copied returns a history whose tasks are copied as one batch: tasks in every status, with and
// without each optional column.
func copied() *history {
	h, _, _, _ := day()
	members := []byte(`{"line":18,"é":null}`)
	for i := range 100 {
		id := h.create("text "+strconv.Itoa(i)+" é\t\\N\n", int64(i), []string{"null", `{"line":17,"x":"\\u0000"}`}[i%2])
		h.now += int64(i)
		if i%3 == 0 {
			h.update(id, events.TaskChanges{MetadataChanges: members})
		}
		if i%5 > 0 {
			h.claim(id, "w:3 é")
			h.now += int64(i)
		}
		if i%5 > 1 {
			h.finish(id, `{"ok":1.0}`, []string{"", `"no \"luck\""`}[i%2])
		}
	}
	return h
}

func TestCopiedRows(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := copied()
	if err := b.tasks.Apply(t.Context(), oneBatch(h.events)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	// The next rows follow those of the first batch.
	before := len(h.events)
	many(h, 200)
	for _, batch := range batches(h.events[before-1].ID, h.events[before:], func() int { return 150 }) {
		if err := b.tasks.Apply(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
		t.Errorf("rows after more batches (-want +got):\n%s", diff)
	}
}

// Rows that the checkpoint does not cover are replaced. A table has some if it was restored from a
// backup that is newer than that of the checkpoint.
func TestCreatedRowsThatExistAreReplaced(t *testing.T) {
	t.Parallel()
	for name, remaining := range map[string]string{"all": "true", "the first": "num = (SELECT min(num) FROM tasks)", "the last": "num = (SELECT max(num) FROM tasks)", "some": "num % 7 = 0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			b.prepare(t)
			h := copied()
			if err := b.tasks.Apply(t.Context(), oneBatch(h.events)); err != nil {
				t.Fatal(err)
			}
			for _, change := range []string{
				`DELETE FROM tasks WHERE NOT (` + remaining + `)`,
				`UPDATE tasks SET text = 'another', metadata = NULL, result = '7', claimed_at = now()`,
				`UPDATE projection_checkpoints SET id = '0-0', seq = 0 WHERE name = 'tasks'`,
			} {
				if _, err := b.db.Exec(t.Context(), change); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(b.rows(t)); n == 0 {
				t.Fatal("no row remains")
			}
			if err := b.tasks.Apply(t.Context(), oneBatch(h.events)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}
