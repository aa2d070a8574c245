package projections_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/testenv"
)

// randomHistory draws a valid log of up to 120 steps.
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
		switch step := rapid.IntRange(0, 40).Draw(t, "step"); {
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
			if id, ok := pick(events.StatusPending, events.StatusInProgress, events.StatusCompleted, events.StatusFailed); ok {
				h.remove(id)
			}
		case step < 35:
			if id, ok := pick(events.StatusPending, events.StatusInProgress); ok {
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
			h.flush(true)
		}
	}
	return h
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
	for id, t := range h.tasks {
		var waited, duration, assigned any
		if t.claimed != 0 {
			waited = t.waited
		}
		if t.completed != 0 {
			duration = t.duration
		}
		if t.assignedTo != "" {
			assigned = t.assignedTo
		}
		rows[id] = fmt.Sprint(t.status, t.priority, t.attempt, assigned, t.text, none(t.metadata), none(t.result), none(t.err),
			moment(t.created), moment(t.updated), moment(t.claimed), moment(t.completed), waited, duration, t.seq)
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
		claimed_at AT TIME ZONE 'UTC', completed_at AT TIME ZONE 'UTC', waited_ms, duration_ms, seq FROM tasks`)
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
		all[fmt.Sprint(values[0])] = fmt.Sprint(values[1:]...)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// Any split of a log into batches folds to the same result, which is the model's.
func TestBatchesOfAnySizeFoldToTheSame(t *testing.T) {
	t.Parallel()
	client, database := testenv.Client(t), testenv.Postgres(t)
	whole := bundleOn(t, client, database, testenv.Namespace(t))
	cut := bundleOn(t, client, database, testenv.Namespace(t))
	whole.prepare(t)
	cut.prepare(t)
	rapid.Check(t, func(rt *rapid.T) {
		for _, b := range []*bundle{whole, cut} {
			for _, p := range b.all {
				if err := p.Reset(t.Context(), 1); err != nil {
					rt.Fatal(err)
				}
			}
		}
		h := randomHistory(rt)
		whole.apply(t, oneBatch(h.events))
		for _, batch := range batches(events.ID{}, h.events, func() int { return rapid.IntRange(1, 30).Draw(rt, "size") }) {
			cut.apply(t, batch)
		}
		if diff := cmp.Diff(whole.views(t), cut.views(t)); diff != "" {
			rt.Fatalf("cut into batches it comes out otherwise (-whole +cut):\n%s", diff)
		}
		if diff := cmp.Diff(h.state(), cut.state(t)); diff != "" {
			rt.Fatalf("state (-model +got):\n%s", diff)
		}
		if diff := cmp.Diff(h.wantedRows(), cut.plainRows(t)); diff != "" {
			rt.Fatalf("rows (-model +got):\n%s", diff)
		}
		counters := slices.DeleteFunc(slices.Collect(maps.Keys(cut.metrics(t, "scaling"))), func(field string) bool {
			return len(field) < 8 || field[:8] != "claimed."
		})
		if len(counters) != len(h.instances) {
			rt.Fatalf("load is counted for %v, registered are %v", counters, h.instances)
		}
	})
}
