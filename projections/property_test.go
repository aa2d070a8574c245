package projections_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/events"
)

// randomHistory draws a valid log of up to 120 steps, some of which are bursts.
func randomHistory(t *rapid.T) *history {
	h := newHistory()
	workers := []string{"w1", "w2", "w:3", "é \"4\""}
	roles := rapid.SliceOfN(rapid.SampledFrom([]string{"worker", "ops", "reviewer"}), 0, 3)
	document := rapid.SampledFrom([]string{"null", `{"a":1.0}`, `[]`, `"x"`, `{}`})
	metadata := rapid.SampledFrom([]string{"null", `{"a":1.0}`, `{}`, `{"b":[1,2.0],"<":null}`, `{"a":1,"c":2,"\u0061":3}`})
	members := rapid.SampledFrom([]string{`{"a":{"x":1e2}}`, `{}`, `{"c":null}`, `{"<":"é","b":12345678901234567890}`, `{"d":1,"a":0}`})
	pick := func(of ...string) (string, bool) {
		var ids []string
		for _, id := range h.ids {
			if slices.Contains(of, h.tasks[id].status) {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			return "", false
		}
		return rapid.SampledFrom(ids).Draw(t, "task"), true
	}
	h.create("the first", 50, "null")
	for range rapid.IntRange(1, 120).Draw(t, "steps") {
		h.now += rapid.SampledFrom([]int64{0, 0, 1, 700, 61_000}).Draw(t, "later")
		worker := rapid.SampledFrom(workers).Draw(t, "worker")
		_, registered := h.instances[worker]
		switch step := rapid.IntRange(0, 62).Draw(t, "step"); {
		case step < 12:
			h.create(rapid.StringMatching(`[a-zé<"\\]{1,12}`).Draw(t, "text"), rapid.Int64Range(0, 100).Draw(t, "priority"), metadata.Draw(t, "metadata"))
		case step < 19:
			if id, ok := pick(events.StatusPending); ok {
				h.claim(id, worker)
			}
		case step < 25:
			if id, ok := pick(events.StatusInProgress); ok {
				h.finish(id, document.Draw(t, "result"), rapid.SampledFrom([]string{"", `"failed"`}).Draw(t, "failure"))
			}
		case step < 28:
			if id, ok := pick(events.StatusPending, events.StatusInProgress); ok {
				h.assign(id, worker)
			}
		case step < 30:
			if id, ok := pick(events.StatusPending, events.StatusInProgress); ok && h.tasks[id].assignedTo != "" {
				h.unassign(id)
			}
		case step < 32:
			if id, ok := pick(events.StatusPending, events.StatusInProgress, events.StatusCompleted, events.StatusFailed,
				events.StatusScheduled, events.StatusBlocked, events.StatusCancelled); ok {
				h.remove(id)
			}
		case step < 35:
			if id, ok := pick(events.StatusPending, events.StatusInProgress, events.StatusScheduled); ok {
				priority := rapid.Int64Range(0, 100).Draw(t, "priority")
				switch rapid.IntRange(0, 5).Draw(t, "update") {
				case 0: // as version 1 wrote it
					h.update(id, events.TaskChanges{Priority: &priority, Metadata: json.RawMessage(`{"merged":true}`)})
				case 1:
					h.update(id, events.TaskChanges{Priority: &priority})
				default:
					h.update(id, events.TaskChanges{Priority: &priority, MetadataChanges: json.RawMessage(members.Draw(t, "members"))})
				}
			}
		case step < 37:
			h.register(worker, roles.Draw(t, "roles")...)
		case step < 40 && registered:
			h.leave(worker, step == 39)
		case step == 40:
			h.flush(rapid.Bool().Draw(t, "postgres"))
		case step > 50:
			randomExtras(t, h, worker, pick)
		case step > 43:
			randomSession(t, h, worker, registered)
		case step > 40:
			n := rapid.IntRange(2, 60).Draw(t, "many")
			h.createMany(n, metadata.Draw(t, "metadata"))
			h.claimMany(rapid.IntRange(0, n).Draw(t, "claimed"), worker)
			h.finishMany(rapid.IntRange(0, n).Draw(t, "finished"), document.Draw(t, "result"))
		}
	}
	return h
}

// randomSession draws a step of a session.
func randomSession(t *rapid.T, h *history, worker string, registered bool) {
	session := rapid.SampledFrom([]string{"s1", "s2", "s \"3\""}).Draw(t, "session")
	tool := rapid.SampledFrom([]string{"Bash", "Read", "é<"}).Draw(t, "tool")
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0, 1:
		h.registerWith(session, worker, "worker")
	case 2:
		if registered {
			h.leave(worker, rapid.Bool().Draw(t, "failed"))
		}
	case 3:
		h.hook(events.TypeHookSessionStarted, session, nil)
	case 4:
		h.hook(events.TypeHookPromptSubmitted, session, nil)
	case 5:
		h.use(session, tool, rapid.Int64Range(0, 5000).Draw(t, "ms"), rapid.SampledFrom([]string{"ok", "failed"}).Draw(t, "outcome"))
	case 6:
		h.decide(session, tool, rapid.SampledFrom([]string{"allow", "ask", "deny"}).Draw(t, "decision"))
	case 7:
		h.plan(session, events.Todo{ID: "1", Text: rapid.SampledFrom([]string{"a", "<b>", ""}).Draw(t, "todo"), Status: "pending"})
	case 8:
		h.hook(events.TypeHookSessionEnded, session, nil)
	default:
		h.hook(events.TypeHookNotified, session, nil)
	}
}

// wantedRows returns the model's tasks as their rows must be.
func (h *history) wantedRows() map[string]string {
	rows := map[string]string{}
	moment := func(ms int64) any {
		if ms == 0 {
			return nil
		}
		return time.UnixMilli(ms).UTC()
	}
	tasks := maps.Clone(h.left)
	maps.Copy(tasks, h.tasks)
	for id, t := range tasks {
		var waited, duration, assigned any
		if t.claimed != 0 {
			waited = t.waited
		}
		if t.completed != 0 && t.status != events.StatusCancelled {
			duration = t.duration
		}
		if t.assignedTo != "" {
			assigned = t.assignedTo
		}
		rows[id] = fmt.Sprint(t.status, t.priority, t.attempt, assigned, t.text, none(t.metadata), none(t.result), none(t.err),
			moment(t.created), moment(t.updated), moment(t.claimed), moment(t.completed), waited, duration, t.seq, t.wanted())
	}
	return rows
}

func none(document string) string {
	if document == "null" {
		return ""
	}
	return document
}

// plainRows returns the rows in the format of wantedRows.
func (b *bundle) plainRows(t testing.TB) map[string]string {
	t.Helper()
	rows, err := b.db.Query(t.Context(), `SELECT id, status, priority, attempt, assigned_to, text, coalesce(metadata::text, ''),
		coalesce(result::text, ''), coalesce(error::text, ''), created_at AT TIME ZONE 'UTC', updated_at AT TIME ZONE 'UTC',
		claimed_at AT TIME ZONE 'UTC', completed_at AT TIME ZONE 'UTC', waited_ms, duration_ms, seq, `+extrasSQL+` FROM tasks`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		const extras = 16 // the first of them
		all[fmt.Sprint(values[0])] = fmt.Sprint(append(values[1:extras:extras], fmt.Sprint(values[extras:]...))...)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
