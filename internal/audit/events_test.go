package audit_test

import (
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/audit"
)

// noted fails the test unless a report has a note, and no violation.
func noted(t *testing.T, report *audit.Report, note string) {
	t.Helper()
	clean(t, report)
	for _, n := range report.Notes {
		if n == note {
			return
		}
	}
	t.Errorf("%q is not among the notes %q", note, report.Notes)
}

func TestEventIndexDamageIsNamed(t *testing.T) {
	t.Parallel()
	row := func(field, value string) []string {
		return []string{"Postgres row of event 1: " + field + " is " + value, ", but the log says "}
	}
	for sql, parts := range map[string][]string{
		`UPDATE events SET ms = ms + 1 WHERE seq = 1`:                  row("ms", `"`),
		`UPDATE events SET task = 7 WHERE seq = 1`:                     row("task", `"7"`),
		`UPDATE events SET v = 7 WHERE seq = 1`:                        row("v", `"7"`),
		`UPDATE events SET type = 'x' WHERE seq = 1`:                   row("type", `"x"`),
		`UPDATE events SET instance = NULL WHERE seq = 1`:              row("instance", "not set"),
		`UPDATE events SET other = 'x' WHERE seq = 1`:                  row("other", `"x"`),
		`UPDATE events SET actor = 'x' WHERE seq = 1`:                  row("actor", `"x"`),
		`UPDATE events SET cause = 'x' WHERE seq = 1`:                  row("cause", `"x"`),
		`UPDATE events SET trace = 'x' WHERE seq = 1`:                  row("trace", `"x"`),
		`UPDATE events SET payload = '{}' WHERE seq = 1`:               row("payload", `"{}"`),
		`DELETE FROM events WHERE seq = 3`:                             {"Postgres row of event 3: it is missing, but the log contains task.created"},
		`DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)`: {"it is missing, but the log contains"},
		`INSERT INTO events SELECT 0, ms, task, v, type, instance, other, actor, cause, trace, payload FROM events WHERE seq = 1`: {"Postgres row of event 0: it exists, but the log does not contain this event"},
	} {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			d := newDay(t, true)
			report := d.verify(t)
			clean(t, report)
			if report.EventRows != report.Events || !report.Index {
				t.Errorf("%d rows were compared with %d events", report.EventRows, report.Events)
			}
			tag, err := d.db.Exec(t.Context(), sql)
			if err != nil || tag.RowsAffected() != 1 {
				t.Fatalf("%v %v", tag, err)
			}
			names(t, d.verify(t), parts...)
		})
	}
}

// An index that stands still is compared up to where it is, if no coordinator keeps it: the setting
// says that it is off. A coordinator that keeps it must bring it to the end.
func TestAnIndexThatIsOff(t *testing.T) {
	t.Parallel()
	d := newDay(t, true)
	exec := func(sql string) {
		t.Helper()
		if _, err := d.db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var id string
	if err := d.db.QueryRow(t.Context(), `SELECT ms || '-' || seq FROM events WHERE seq = 5`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	exec(`DELETE FROM events WHERE seq > 5; UPDATE projection_checkpoints SET seq = 5, id = '` + id + `' WHERE name = 'events'`)
	noted(t, d.verify(t), "No coordinator keeps the event index. It was compared only up to seq 5.")
	exec(`UPDATE events SET actor = 'x' WHERE seq = 5`)
	names(t, d.verify(t), "Postgres row of event 5: actor is")
	exec(`DELETE FROM projection_checkpoints WHERE name = 'events'`)
	noted(t, d.verify(t), "The event index was not compared: this database has none.")
	exec(`DROP TABLE events`)
	clean(t, d.verify(t))
}

// Rows of events that were trimmed from the log are no violation, and a rebuild keeps them.
func TestEventRowsOlderThanTheLog(t *testing.T) {
	t.Parallel()
	d := newDay(t, true)
	if err := d.client.XTrimMinID(t.Context(), d.space.Events(), d.entry(t, 5)).Err(); err != nil {
		t.Fatal(err)
	}
	first, err := events.ParseID(d.entry(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.client.HSet(t.Context(), d.space.Log(), "base", first.Seq).Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		report := d.verify(t)
		clean(t, report)
		if report.EventRows != report.Events+first.Seq-1 {
			t.Errorf("%d rows of %d events from %s", report.EventRows, report.Events, first)
		}
		if err := d.runner.Rebuild(t.Context(), "events"); err != nil {
			t.Fatal(err)
		}
	}
}

// A flush that keeps Postgres keeps the rows. One that includes Postgres leaves none: a row that
// comes back is a violation.
func TestEventRowsOfAFlush(t *testing.T) {
	t.Parallel()
	f := newFlushing(t)
	before := f.verify(t)
	clean(t, before)
	f.do(t, "system.flush", object{"confirm": flushAll, "includePostgres": false})
	f.project(t)
	report := f.verify(t)
	clean(t, report)
	if report.EventRows != before.EventRows+1 {
		t.Errorf("%d rows after the flush, %d before", report.EventRows, before.EventRows)
	}
	f.do(t, "system.flush", object{"confirm": flushAll, "includePostgres": true})
	if n := f.rowsOfIndex(t); n != 0 {
		t.Errorf("the flush left %d rows", n)
	}
	f.project(t)
	report = f.verify(t)
	clean(t, report)
	if report.EventRows != 1 || report.Events != 1 {
		t.Errorf("%d rows, %d events", report.EventRows, report.Events)
	}
	if _, err := f.db.Exec(t.Context(), `INSERT INTO events SELECT 7, ms, task, v, type, instance, other, actor, cause, trace, payload FROM events`); err != nil {
		t.Fatal(err)
	}
	names(t, f.verify(t), "Postgres row of event 7: it exists, but the log does not contain this event")
}

func (f *flushing) rowsOfIndex(t *testing.T) (n int) {
	t.Helper()
	if err := f.db.QueryRow(t.Context(), `SELECT count(*) FROM events`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
