package projections_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
)

func (b *bundle) scheduleRows(t testing.TB) map[string]string {
	t.Helper()
	return b.rowsOf(t, `SELECT id, row_to_json(schedules)::text FROM schedules`)
}

// scheduleDay is a log with schedules that change, fire, fail, and are deleted and made anew.
func scheduleDay() *history {
	h := newHistory()
	moment := func(n int) string {
		return time.UnixMilli(h.now).Add(time.Duration(n) * time.Hour).UTC().Format(events.TimeLayout)
	}
	put := func(id string, paused, created bool) {
		h.now++
		p := events.ScheduleChanged{ID: id, Cron: "@hourly", Timezone: "UTC", Task: json.RawMessage(fmt.Sprintf(`{"text":"%d"}`, h.now)), CatchUp: "one", Paused: paused, Created: created}
		if !paused {
			p.NextTick = new(moment(1))
		}
		h.emit(events.TypeScheduleChanged, p)
	}
	made := map[string]int64{}
	fire := func(id, failure string) {
		h.now++
		p := events.ScheduleFired{ID: id, Due: moment(-1), Tick: moment(-1), NextTick: moment(1), Error: json.RawMessage("null")}
		if failure == "" {
			made[id]++
			p.TaskID = new(fmt.Sprintf("t-%d", h.seq+2))
		} else {
			p.Error = json.RawMessage(failure)
		}
		p.Fired = made[id]
		h.emit(events.TypeScheduleFired, p)
		if failure == "" {
			h.create("x", 50, "null")
		}
	}
	put("a", false, true)
	put("b", true, true)
	fire("a", "")
	fire("a", "")
	put("a", false, false)
	fire("a", `{"reason":"MISSED"}`)
	put("c", false, true)
	h.emit(events.TypeScheduleDeleted, events.ScheduleDeleted{ID: "c", DeletedBy: "x"})
	put("c", false, true)
	fire("c", "")
	put("d", false, true)
	h.emit(events.TypeScheduleDeleted, events.ScheduleDeleted{ID: "d", DeletedBy: "x"})
	fire("a", "")
	put("a", true, false)
	return h
}

// The rows are the same, however the log is cut into batches, and after the log is applied again.
func TestSchedulesAreTheFoldOfTheLog(t *testing.T) {
	t.Parallel()
	h := scheduleDay()
	whole := newBundle(t)
	whole.prepare(t)
	whole.apply(t, oneBatch(h.events))
	want := whole.scheduleRows(t)
	var a struct {
		Fired, Seq int64
		Paused     bool
		Next       *string         `json:"next_tick"`
		LastTask   *string         `json:"last_task"`
		LastError  json.RawMessage `json:"last_error"`
	}
	if err := json.Unmarshal([]byte(want["a"]), &a); err != nil {
		t.Fatal(err)
	}
	if len(want) != 3 || a.Fired != 3 || !a.Paused || a.Next != nil || a.LastTask == nil || string(a.LastError) != "null" || a.Seq != h.seq {
		t.Errorf("the rows are %v", want)
	}
	for size := range 4 {
		b := newBundle(t)
		b.prepare(t)
		for _, batch := range batches(events.ID{}, h.events, func() int { return size + 1 }) {
			b.apply(t, batch)
		}
		if diff := cmp.Diff(want, b.scheduleRows(t)); diff != "" {
			t.Errorf("batches of %d: -want +got\n%s", size+1, diff)
		}
	}
	if err := whole.tasks.Reset(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if rows := whole.scheduleRows(t); len(rows) != 0 {
		t.Errorf("a reset left %v", rows)
	}
	if err := whole.tasks.Apply(t.Context(), oneBatch(h.events)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, whole.scheduleRows(t)); diff != "" {
		t.Errorf("applied again: -want +got\n%s", diff)
	}
}

// A flush deletes the rows, whether it includes Postgres or not.
func TestAFlushDeletesSchedules(t *testing.T) {
	t.Parallel()
	for _, postgres := range []bool{false, true} {
		h := scheduleDay()
		before := len(h.events)
		h.flush(postgres)
		h.emit(events.TypeScheduleChanged, events.ScheduleChanged{ID: "new", Cron: "@daily", Timezone: "UTC", Task: json.RawMessage(`{}`), CatchUp: "one", Paused: true, Created: true})
		for _, size := range []int{before, len(h.events)} {
			b := newBundle(t)
			b.prepare(t)
			for _, batch := range batches(events.ID{}, h.events, func() int { return size }) {
				b.apply(t, batch)
			}
			if rows := b.scheduleRows(t); len(rows) != 1 || rows["new"] == "" {
				t.Errorf("postgres %t, %d at once: %v", postgres, size, rows)
			}
		}
	}
}
