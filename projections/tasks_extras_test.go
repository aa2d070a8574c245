package projections_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
)

// extrasDay returns a log of tasks with extras: a log of every event that only they have.
func extrasDay() (h *history, ids []string) {
	h = newHistory()
	h.register("w1", "worker")
	h.register(`w "2"`, "worker")
	again := h.createWith("tried again", -1, 60_000, 3)
	h.claim(again, "w1")
	h.progressed(again, 12.5, `"a \"half\" / é"`, `{"n":1.0}`)
	h.now += 1000
	h.timeOut(again)
	h.retry(again, `{"reason":"TIMED_OUT","timeoutMs":60000}`, 1000)
	h.now += 1000
	h.due(again)
	h.claim(again, `w "2"`)
	h.finish(again, "null", `{"long":"`+strings.Repeat("é\\\\\u2028\x7f\\t", 200)+`"}`)
	lost := h.createWith("lost", 5000, 0, 0)
	h.now += 5000
	h.due(lost)
	h.block(lost)
	h.unblock(lost)
	h.claim(lost, "w1")
	h.lose(lost, "")
	h.claim(lost, "w1")
	h.progressed(lost, 50, "null", "null")
	h.requestCancel(lost, "no need")
	never := h.createWith("never", 60_000, 0, 2)
	h.cancel(never)
	dropped := h.create("dropped", 50, "null")
	h.claim(dropped, "w1")
	h.requestCancel(dropped, "because")
	h.now += 500
	h.cancel(dropped)
	revived := h.createWith("revived", 0, 60_000, 0)
	h.claim(revived, "w1")
	h.finish(revived, `{"half":1}`, `"no luck"`)
	h.revive(revived, events.StatusBlocked)
	h.claim(h.create("claimed", 50, "null"), "w1")
	return h, []string{again, lost, never, dropped, revived}
}

// Each split of the log into batches gives the same rows and objects.
func TestTaskRowsHoldExtras(t *testing.T) {
	t.Parallel()
	h, ids := extrasDay()
	for _, size := range []int{1, 2, 7, len(h.events)} {
		t.Run(fmt.Sprint("in batches of ", size), func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			b.prepare(t)
			for _, batch := range batches(events.ID{}, h.events, func() int { return size }) {
				b.apply(t, batch)
			}
			if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(h.state(), b.state(t)); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			page, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			long := h.tasks[ids[0]].errors[1]
			for i, wanted := range []string{
				`"failures":2,"losses":0,"runAt":"2023-11-14T22:13:22.000Z","errors":[{"attempt":1,"workerId":"w1","at":"2023-11-14T22:13:21.000Z","error":{"reason":"TIMED_OUT","timeoutMs":60000}},` + long +
					`],"retry":{"maxAttempts":3,"backoffMs":1000,"factor":1.5,"maxBackoffMs":3600000,"jitter":0.1},"timeoutMs":60000}`,
				`"failures":0,"losses":1,"runAt":"2023-11-14T22:13:27.000Z","errors":[],"progress":{"percent":50,"message":null,"data":null,"at":"2023-11-14T22:13:27.000Z"},` +
					`"cancelRequested":true,"cancellation":{"by":"boss","reason":"no need","requestedAt":"2023-11-14T22:13:27.000Z","cancelAt":"2023-11-14T22:13:57.000Z"}}`,
				`"failures":0,"losses":0,"runAt":"2023-11-14T22:14:27.000Z","errors":[],"retry":{"maxAttempts":2,"backoffMs":1000,"factor":1.5,"maxBackoffMs":3600000,"jitter":0.1},` +
					`"cancellation":{"by":"boss","reason":null,"requestedAt":null,"cancelAt":null}}`,
				`"failures":0,"losses":0,"runAt":null,"errors":[],"cancellation":{"by":"boss","reason":"because","requestedAt":"2023-11-14T22:13:27.000Z","cancelAt":"2023-11-14T22:13:57.000Z"}}`,
				`"failures":0,"losses":0,"runAt":null,"errors":[],"timeoutMs":60000}`,
			} {
				if _, got, _ := strings.Cut(string(page.Tasks[i]), `,"failures"`); `"failures"`+got != wanted {
					t.Errorf("%s:\n     %s\nwant %s", ids[i], got, wanted)
				}
			}
		})
	}
}

// A list keeps the last ten failures, wherever the batches end.
func TestTaskRowsKeepTheLastFailures(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 5, 40, 100} {
		b := newBundle(t)
		b.prepare(t)
		h := newHistory()
		id := h.createWith("x", 0, 0, 100)
		for i := range 23 {
			h.now += 1000
			h.claim(id, "w1")
			h.retry(id, fmt.Sprint(i), 0)
			h.due(id)
		}
		for _, batch := range batches(events.ID{}, h.events, func() int { return size }) {
			b.apply(t, batch)
		}
		if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
			t.Errorf("rows in batches of %d (-want +got):\n%s", size, diff)
		}
	}
}

// Rows that are newer than the checkpoint are not changed twice: no failure is listed again.
func TestExtrasOfRowsThatExist(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h, _ := extrasDay()
	half := len(h.events) / 2
	for _, from := range []int{0, half} {
		if from > 0 {
			if _, err := b.db.Exec(t.Context(), `UPDATE projection_checkpoints SET id = $1, seq = $2 WHERE name = 'tasks'`,
				h.events[from-1].ID.String(), from); err != nil {
				t.Fatal(err)
			}
		}
		after := events.ID{}
		if from > 0 {
			after = h.events[from-1].ID
		}
		for _, batch := range batches(after, h.events[from:], func() int { return 1 }) {
			if err := b.tasks.Apply(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		got := b.plainRows(t)
		for id, row := range h.wantedRows() {
			if h.tasks[id].created < h.events[half].Timestamp && got[id] != row {
				t.Errorf("from event %d: row of %s\n     %s\nwant %s", from, id, got[id], row)
			}
		}
	}
}

func TestViewsOfExtras(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h, _ := extrasDay()
	b.apply(t, oneBatch(h.events))
	for view, wanted := range map[string]string{
		`SELECT string_agg(concat_ws(':', text, worker, attempt, failures, losses, left(error::text, 8), failed_at AT TIME ZONE 'UTC'), ' ') FROM dead_letter`:                                    `tried again:w "2":2:2:0:{"long"::2023-11-14 22:13:22`,
		`SELECT string_agg(concat_ws(':', text, worker, attempt, percent, message, progressed_at = claimed_at, age > '0', cancel_requested, timeout_at IS NULL), ' ' ORDER BY text) FROM running`: `claimed:w1:1:t:f:t lost:w1:2:50:t:t:t:t`,
		`SELECT string_agg(concat_ws(':', instance, waiting, running, completed, failed, cancelled), ' ' ORDER BY instance) FROM load_by_instance`:                                                `w "2":0:0:0:1:0 w1:0:2:0:0:1`,
		`SELECT string_agg(concat_ws(':', completed, failed, avg_run_ms, cancelled), ' ') FROM throughput_by_minute`:                                                                              `0:1:0.0:2`,
		`SELECT string_agg(status || ':' || tasks, ' ' ORDER BY status) FROM tasks_by_status`:                                                                                                     `blocked:1 cancelled:2 failed:1 in_progress:2`,
		`SELECT tasks::text FROM waiting_and_running_times WHERE priority IS NULL`:                                                                                                                `1`,
	} {
		var got string
		if err := b.db.QueryRow(t.Context(), view).Scan(&got); err != nil || got != wanted {
			t.Errorf("%s\ngives %q, want %q (%v)", view, got, wanted, err)
		}
	}
}

func TestMetricsCountExtras(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h, _ := extrasDay()
	b.apply(t, oneBatch(h.events))
	want(t, "global", b.metrics(t, "global"), map[string]string{
		"tasksRetried": "1", "tasksTimedOut": "1", "tasksLost": "1", "tasksCancelled": "2", "tasksRevived": "1", "tasksProgressed": "2",
		"tasksFailed": "2", "tasksClaimed": "7", "runCount": "2",
	})
	want(t, "queues", b.metrics(t, "queues"), map[string]string{"pending": "0", "inProgress": "2", "scheduled": "0", "blocked": "1", "requeued": "1"})
	poisoned := newHistory()
	id := poisoned.create("poison", 50, "null")
	poisoned.claim(id, "w1")
	poisoned.lose(id, "")
	poisoned.claim(id, "w1")
	poisoned.tasks[id].losses++
	poisoned.finish(id, "null", `{"reason":"WORKER_LOST","losses":2,"instanceId":"w1"}`)
	other := newBundle(t)
	other.prepare(t)
	other.apply(t, oneBatch(poisoned.events))
	want(t, "global", other.metrics(t, "global"), map[string]string{"tasksLost": "2", "tasksFailed": "1"})
	if diff := cmp.Diff(poisoned.wantedRows(), other.plainRows(t)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	// A fleet that uses none of this has none of the fields.
	plain := newBundle(t)
	plain.prepare(t)
	h, _, _, _ = day()
	plain.apply(t, oneBatch(h.events))
	for field := range plain.state(t) {
		if slices.Contains([]string{"tasks.scheduled", "tasks.blocked", "tasks.cancelled"}, field) {
			t.Errorf("the state has %s", field)
		}
	}
}
