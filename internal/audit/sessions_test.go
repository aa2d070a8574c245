package audit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/audit"
)

// hooked is a day with a session s1 that has a row in every state.
func hooked(t *testing.T) *day {
	t.Helper()
	d := newDay(t, true)
	for _, e := range []struct {
		typ     events.Type
		payload string
	}{
		{events.TypeHookPromptSubmitted, `{"source":"claude-code","name":"X","sessionId":"s1","instanceId":"w1","content":null}`},
		{events.TypeHookToolFinished, `{"source":"claude-code","name":"X","sessionId":"s1","tool":"Bash","durationMs":7,"outcome":"ok","content":null}`},
		{events.TypeHookDecided, `{"source":"claude-code","name":"X","sessionId":"s1","tool":"Bash","decision":"deny","rule":1,"reason":null}`},
		{events.TypeTodoUpdated, `{"source":"claude-code","sessionId":"s1","instanceId":"w1","todos":[{"id":"1","text":"<é>","status":"pending"}],"dropped":0}`},
		{events.TypeHookSessionEnded, `{"source":"claude-code","name":"X","sessionId":"s2","content":null}`},
	} {
		seq := d.forge(t, e.typ, e.payload, 1)
		last, err := events.ParseID(d.entry(t, -1))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.client.HSet(t.Context(), d.space.Log(), "seq", seq, "ms", last.MS).Err(); err != nil {
			t.Fatal(err)
		}
	}
	d.project(t)
	return d
}

func TestSessionDamageIsNamed(t *testing.T) {
	t.Parallel()
	row := func(field, value string) []string {
		return []string{"Postgres row of session s1: " + field + " is " + value, ", but the log says "}
	}
	for sql, parts := range map[string][]string{
		`UPDATE sessions SET prompts = 7 WHERE id = 's1'`:                                           row("prompts", `"7"`),
		`UPDATE sessions SET events = 7 WHERE id = 's1'`:                                            row("events", `"7"`),
		`UPDATE sessions SET denied = 0 WHERE id = 's1'`:                                            row("denied", `"0"`),
		`UPDATE sessions SET source = NULL WHERE id = 's1'`:                                         row("source", "not set"),
		`UPDATE sessions SET instance_id = 'x' WHERE id = 's1'`:                                     row("instance_id", `"x"`),
		`UPDATE sessions SET seq = 1 WHERE id = 's1'`:                                               row("seq", `"1"`),
		`UPDATE sessions SET tools = '[]' WHERE id = 's1'`:                                          row("tools", "not set"),
		`UPDATE sessions SET todos = '[]' WHERE id = 's1'`:                                          row("todos", `"[]"`),
		`UPDATE sessions SET kept = true WHERE id = 's1'`:                                           row("kept", `"true"`),
		`UPDATE sessions SET ended_at = started_at WHERE id = 's1'`:                                 row("ended_at", `"`),
		`UPDATE sessions SET last_activity_at = last_activity_at + interval '1 ms' WHERE id = 's1'`: row("last_activity_at", `"`),
		`UPDATE sessions SET ended_at = NULL WHERE id = 's2'`:                                       {"session s2: ended_at is not set"},
		`DELETE FROM sessions WHERE id = 's2'`:                                                      {"session s2: it is missing, but the log contains the session"},
		`UPDATE sessions SET id = 's9' WHERE id = 's2'`:                                             {"session s9: it exists, but the log does not contain this session"},
		`UPDATE session_instances SET session_id = 's2'`:                                            {"instance w1 with a session since seq 1: session_id is \"s2\", but the log says \"s1\""},
		`UPDATE session_instances SET until_at = since_at`:                                          {"instance w1 with a session since seq 1: until_at is "},
		`UPDATE session_instances SET since_seq = 2`:                                                {"instance w1 with a session since seq 2: it exists, but the log does not contain this registration"},
		`DELETE FROM session_instances`:                                                             {"instance w1 with a session since seq 1: it is missing"},
	} {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			d := hooked(t)
			report := d.verify(t)
			clean(t, report)
			if report.Sessions != 2 {
				t.Errorf("%d sessions were compared", report.Sessions)
			}
			tag, err := d.db.Exec(t.Context(), sql)
			if err != nil || tag.RowsAffected() != 1 {
				t.Fatalf("%v %v", tag, err)
			}
			names(t, d.verify(t), parts...)
		})
	}
}

// Sessions of a database that an earlier version filled begin where it was. A rebuild that moves this
// begin during the comparison is no violation.
func TestSessionsThatBeginLater(t *testing.T) {
	t.Parallel()
	d := hooked(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := d.db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`DELETE FROM sessions; DELETE FROM session_instances; UPDATE projection_checkpoints SET sessions_after = seq`)
	report := d.verify(t)
	clean(t, report)
	if report.Sessions != 0 {
		t.Errorf("%d sessions were compared", report.Sessions)
	}
	rebuild := &told{text: "comparing instances", then: func() { d.project(t) }}
	report = d.verify(t, func(o *audit.Options) { o.Progress = rebuild })
	clean(t, report)
	if report.Sessions != 2 {
		t.Errorf("%d sessions were compared after the rebuild", report.Sessions)
	}
	exec(`ALTER TABLE projection_checkpoints DROP COLUMN sessions_after; DROP TABLE sessions, session_instances CASCADE`)
	clean(t, d.verify(t, func(o *audit.Options) { o.Wait = time.Second }))
}

// A session that goes on after the log was trimmed, or after a flush that kept its row, is no
// violation.
func TestSessionsOlderThanTheLog(t *testing.T) {
	t.Parallel()
	d := hooked(t)
	if err := d.client.XTrimMinID(t.Context(), d.space.Events(), d.entry(t, 10)).Err(); err != nil {
		t.Fatal(err)
	}
	first, err := events.ParseID(d.entry(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.client.HSet(t.Context(), d.space.Log(), "base", fmt.Sprint(first.Seq)).Err(); err != nil {
		t.Fatal(err)
	}
	report := d.verify(t)
	clean(t, report)
	if report.Sessions != 2 {
		t.Errorf("%d sessions were read", report.Sessions)
	}
}
