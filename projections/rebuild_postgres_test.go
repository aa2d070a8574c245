package projections_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/projections"
)

// What operators attach to the tables, and columns of their own, survive a rebuild that corrects rows.
func TestARebuildKeepsWhatIsAttached(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tasks", "events"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := caughtUp(t)
			b.sql(t, `CREATE VIEW own AS SELECT * FROM `+name)
			b.sql(t, `CREATE INDEX own_index ON `+name+` (seq)`)
			b.sql(t, `GRANT SELECT ON `+name+`, own TO pg_monitor`)
			b.sql(t, `ALTER TABLE `+name+` ADD COLUMN note text`)
			b.sql(t, `UPDATE `+name+` SET note = 'mine ' || seq`)
			const attached = `SELECT oid::text || relname, coalesce(relacl::text, '') FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname NOT LIKE 'pg_%'`
			notes := `SELECT seq::text, coalesce(note, '') FROM ` + name + ` WHERE note IS NOT NULL`
			objects, noted := b.rowsOf(t, attached), b.rowsOf(t, notes)
			b.sql(t, `UPDATE `+name+` SET seq = seq WHERE seq = 8`)
			if name == "tasks" {
				b.sql(t, `UPDATE tasks SET text = 'damaged'`)
			} else {
				b.sql(t, `UPDATE events SET actor = 'damaged'`)
			}
			found, err := b.runner(t).RebuildWith(t.Context(), name, projections.RebuildOptions{})
			if err != nil || !found.Replaced || len(found.Differences) != 1 || found.Differences[0].Changed != int64(len(noted)) {
				t.Fatalf("%+v, %v", found, err)
			}
			if diff := cmp.Diff(objects, b.rowsOf(t, attached)); diff != "" {
				t.Errorf("objects (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(noted, b.rowsOf(t, notes)); diff != "" {
				t.Errorf("notes (-before +after):\n%s", diff)
			}
			if left := b.rowsOf(t, `SELECT seq::text, '' FROM own WHERE to_jsonb(own) ->> 'text' = 'damaged' OR to_jsonb(own) ->> 'actor' = 'damaged'`); len(left) > 0 {
				t.Errorf("the view shows damaged rows %v", left)
			}
		})
	}
}

// A rebuild from a log that begins at a flush keeps the rows that the flush has kept, and no others.
func TestARebuildAfterAFlush(t *testing.T) {
	t.Parallel()
	for _, postgres := range []bool{false, true} {
		b := newBundle(t)
		h := sessionDay()
		many(h, 5)
		flushed := h.seq + 1
		h.flush(postgres)
		h.registerWith("s9", "w9", "worker")
		many(h, 5)
		b.publish(t, h.events...)
		_, stop := b.start(t, "one")
		b.caughtUp(t, h.seq)
		stop()
		if err := errors.Join(b.client.XTrimMinID(t.Context(), b.space.Events(), h.events[flushed-1].ID.String()).Err(),
			b.client.HSet(t.Context(), b.space.Log(), "base", flushed).Err()); err != nil {
			t.Fatal(err)
		}
		whole := b.views(t)
		if before := b.rowsOf(t, `SELECT seq::text, '' FROM events WHERE seq < 5`); (len(before) == 0) != postgres {
			t.Errorf("flushed %v: the index has %v", postgres, before)
		}
		b.sql(t, `UPDATE tasks SET text = 'damaged' WHERE num = (SELECT max(num) FROM tasks)`)
		b.sql(t, `DELETE FROM sessions WHERE id = 's9'`)
		b.sql(t, `DELETE FROM events WHERE seq = (SELECT max(seq) FROM events) - 1`)
		if postgres { // as a restore of old rows leaves them
			b.sql(t, `INSERT INTO tasks (num, id, status, priority, attempt, text, created_at, updated_at, seq) VALUES (2, 't-2', 'pending', 1, 0, 'x', now(), now(), 3)`)
			b.sql(t, `INSERT INTO events (seq, ms, v, type, actor, payload) VALUES (3, 3, 1, 'x', 'x', '{}')`)
		}
		for _, name := range []string{"tasks", "events"} {
			found, err := b.runner(t).RebuildWith(t.Context(), name, projections.RebuildOptions{})
			if err != nil || !found.Replaced {
				t.Fatalf("flushed %v: %+v, %v", postgres, found, err)
			}
		}
		if diff := cmp.Diff(whole, b.views(t)); diff != "" {
			t.Errorf("flushed %v (-want +got):\n%s", postgres, diff)
		}
	}
}

// Rows without a checkpoint, and far more differences than are told, are replaced too.
func TestARebuildOfAViewWithoutACheckpoint(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	h, _, _, _ := day()
	many(h, 3_500)
	b.publish(t, h.events...)
	_, stop := b.start(t, "one")
	b.caughtUp(t, h.seq)
	stop()
	whole := b.views(t)
	for _, name := range []string{"tasks", "events"} {
		b.sql(t, `DELETE FROM `+name)
		found, err := b.runner(t).RebuildWith(t.Context(), name, projections.RebuildOptions{})
		if err != nil || len(found.Differences) != 1 || len(found.Differences[0].First) != projections.FirstDifferences {
			t.Fatalf("of an empty table: %+v, %v", found, err)
		}
		b.sql(t, `UPDATE projection_checkpoints SET id = '0-0', seq = 0 WHERE name = '`+name+`'`)
		b.sql(t, `DELETE FROM `+name+` WHERE seq % 2 = 0`)
		if found, err = b.runner(t).RebuildWith(t.Context(), name, projections.RebuildOptions{}); err != nil || !found.Replaced || !found.At.IsZero() {
			t.Fatalf("without a checkpoint: %+v, %v", found, err)
		}
	}
	b.sql(t, `UPDATE projection_checkpoints SET sessions_after = 5 WHERE name = 'tasks'`)
	found, err := b.runner(t).RebuildWith(t.Context(), "tasks", projections.RebuildOptions{})
	if err != nil || !slices.Contains(b.described(found), "projection_checkpoints tasks sessions_after changed") {
		t.Errorf("sessions that are not from the log's start: %+v, %v", found, err)
	}
	if after, err := b.pool.SessionsAfter(t.Context()); err != nil || after != 0 {
		t.Errorf("sessions begin after %d, %v", after, err)
	}
	if diff := cmp.Diff(whole, b.views(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A rebuild compares and corrects every column of the tables.
func TestARebuildKnowsAllColumns(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	columns := b.rowsOf(t, `SELECT table_name || '.' || column_name, data_type FROM information_schema.columns WHERE table_schema = current_schema()
		AND table_name IN ('tasks', 'sessions', 'session_instances', 'schedules', 'events')`)
	for column, kind := range columns {
		columns[column] = ""
		if strings.HasPrefix(kind, "json") || kind == "ARRAY" {
			columns[column] = "json"
		}
	}
	if diff := cmp.Diff(columns, projections.RebuiltColumns()); diff != "" {
		t.Errorf("(-tables +rebuild):\n%s", diff)
	}
	if len(slices.Collect(maps.Keys(columns))) < 40 {
		t.Errorf("found only %v", columns)
	}
}
