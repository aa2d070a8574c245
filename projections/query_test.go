package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/projections"
)

// listed returns the ids that a query finds, and the total.
func (b *bundle) listed(t *testing.T, q api.TaskQuery) ([]string, int64) {
	t.Helper()
	page, err := b.tasks.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return idsOf(t, page.Tasks), page.Total
}

// idsOf returns the ids of task objects.
func idsOf(t *testing.T, tasks []json.RawMessage) []string {
	t.Helper()
	ids := []string{}
	for _, raw := range tasks {
		var task struct{ ID string }
		if err := json.Unmarshal(raw, &task); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, task.ID)
	}
	return ids
}

func TestListFiltersOrdersAndPages(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	for i := range 12 { // t-1 … t-12, four priorities, two in each ms
		h.create(fmt.Sprint("task ", i), int64(10*(i%4)), "null")
		h.now += int64(i % 2)
	}
	for _, id := range []string{"t-3", "t-7"} {
		h.assign(id, "w1")
	}
	h.claim("t-3", "w1")
	h.finish("t-3", "null", "")
	h.claim("t-4", "w2")
	b.apply(t, oneBatch(h.events))

	for name, c := range map[string]struct {
		q     api.TaskQuery
		ids   string
		total int64
	}{
		"all":               {api.TaskQuery{Limit: 3}, "t-1 t-2 t-3", 12},
		"numbers, not text": {api.TaskQuery{Limit: 3, Offset: 8}, "t-9 t-10 t-11", 12},
		"last first":        {api.TaskQuery{Limit: 2, Descending: true}, "t-12 t-11", 12},
		"beyond the end":    {api.TaskQuery{Limit: 2, Offset: 50}, "", 12},
		"status":            {api.TaskQuery{TaskFilter: api.TaskFilter{Statuses: []string{"completed"}}, Limit: 10}, "t-3", 1},
		"assigned":          {api.TaskQuery{TaskFilter: api.TaskFilter{AssignedTo: "w1"}, Limit: 10}, "t-3 t-7", 2},
		"priority":          {api.TaskQuery{TaskFilter: api.TaskFilter{Priority: new(20)}, Limit: 10}, "t-3 t-7 t-11", 3},
		"all three":         {api.TaskQuery{TaskFilter: api.TaskFilter{Priority: new(20), AssignedTo: "w1", Statuses: []string{"pending"}}, Limit: 10}, "t-7", 1},
		"none":              {api.TaskQuery{TaskFilter: api.TaskFilter{AssignedTo: "w1' OR true --"}, Limit: 10}, "", 0},
		"by priority":       {api.TaskQuery{Limit: 4, OrderBy: "priority", Descending: true}, "t-12 t-8 t-4 t-11", 12},
		"by status":         {api.TaskQuery{Limit: 3, OrderBy: "status"}, "t-3 t-4 t-1", 12},
		"by updatedAt":      {api.TaskQuery{Limit: 3, OrderBy: "updatedAt"}, "t-1 t-2 t-5", 12},
		"by completedAt":    {api.TaskQuery{Limit: 2, OrderBy: "completedAt", Descending: true}, "t-3 t-12", 12},
	} {
		ids, total := b.listed(t, c.q)
		if got := strings.Join(ids, " "); got != c.ids || total != c.total {
			t.Errorf("%s: %d tasks, %q, want %d, %q", name, total, got, c.total, c.ids)
		}
	}
	for _, order := range api.TaskOrders {
		for _, descending := range []bool{false, true} {
			var all []string
			for offset := 0; offset < 12; offset += 5 {
				ids, _ := b.listed(t, api.TaskQuery{Limit: 5, Offset: offset, OrderBy: order, Descending: descending})
				all = append(all, ids...)
			}
			if slices.Sort(all); len(slices.Compact(all)) != 12 {
				t.Errorf("pages by %s overlap: %v", order, all)
			}
		}
	}
	if _, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 1, OrderBy: "num; DROP TABLE tasks"}); err == nil {
		t.Error("an unknown order is taken")
	}
}

// Users' data may be long, so a page is limited in bytes as well.
func TestAPageHoldsABoundedNumberOfBytes(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	for range 20 {
		h.create("x", 50, `{"long":"`+strings.Repeat("x", 1<<20)+`"}`)
	}
	b.apply(t, oneBatch(h.events))
	if _, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 20}); !errors.Is(err, projections.ErrPageTooLarge) {
		t.Errorf("a page of 20 MiB: %v", err)
	}
	if ids, total := b.listed(t, api.TaskQuery{Limit: 15}); len(ids) != 15 || total != 20 {
		t.Errorf("%d tasks of %d are listed", len(ids), total)
	}
}

func TestViewsSayWhatTheRowsHold(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	for i := range 4 {
		id := h.create("x", int64(50+i%2), "null")
		h.now += 100
		h.claim(id, "w1")
		h.now += 1000 * int64(i+1)
		if i < 3 {
			h.finish(id, "null", "")
		}
	}
	b.apply(t, oneBatch(h.events))
	for view, wanted := range map[string]string{
		`SELECT string_agg(status || ':' || tasks || ':' || assigned, ' ' ORDER BY status) FROM tasks_by_status`:                              "completed:3:3 in_progress:1:1",
		`SELECT string_agg(concat_ws(':', instance, waiting, running, completed, failed), ' ') FROM load_by_instance`:                         "w1:0:1:3:0",
		`SELECT string_agg(concat_ws(':', minute AT TIME ZONE 'UTC', completed, failed, avg_run_ms), ' ') FROM throughput_by_minute`:          "2023-11-14 22:13:00:3:0:2000.0",
		`SELECT concat_ws(':', tasks, avg_wait_ms, p50_run_ms, p95_run_ms, max_run_ms) FROM waiting_and_running_times WHERE priority IS NULL`: "3:100.0:2000:3000:3000",
	} {
		var got string
		if err := b.db.QueryRow(t.Context(), view).Scan(&got); err != nil || got != wanted {
			t.Errorf("%s\ngives %q, want %q (%v)", view, got, wanted, err)
		}
	}
}

func TestWaitForTheView(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	other := projections.NewTasks(projections.PostgresConfig{Pool: b.pool, Logger: quiet})
	h := newHistory()
	h.create("x", 50, "null")
	if err := b.tasks.WaitFor(t.Context(), events.ID{Seq: 1}, time.Millisecond); err != nil {
		t.Errorf("waiting in vain is an error: %v", err)
	}
	for name, waiter := range map[string]*projections.Tasks{"the one that applies": b.tasks, "another": other} {
		h.create("x", 50, "null")
		at, err := b.tasks.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		last := h.events[len(h.events)-1].ID
		go func() { done <- waiter.WaitFor(t.Context(), last, time.Minute) }()
		if err := b.tasks.Apply(t.Context(), batches(at, h.events[at.Seq:], func() int { return 10 })[0]); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s waits on", name)
		}
	}
}

// Another process may reset the view. What this process has applied does not matter then.
func TestAPageTellsHowFarTheViewIs(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	h.create("x", 50, "null")
	b.apply(t, oneBatch(h.events))
	last := h.events[len(h.events)-1].ID
	at := func() events.ID {
		page, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		return page.At
	}
	if got := at(); got != last {
		t.Errorf("the page is of %s, want %s", got, last)
	}
	other := projections.NewTasks(projections.PostgresConfig{Pool: b.pool, Logger: quiet})
	if err := other.Reset(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got := at(); !got.IsZero() {
		t.Errorf("after a reset the page is of %s", got)
	}
	waited := make(chan error, 1)
	go func() { waited <- b.tasks.WaitFor(t.Context(), last, time.Minute) }()
	if err := other.Apply(t.Context(), oneBatch(h.events)); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if got := at(); got != last {
		t.Errorf("after a wait the page is of %s, want %s", got, last)
	}
}

// A read that waits for a connection while others use them all does not mean that Postgres failed.
func TestAWaitForAConnectionIsTold(t *testing.T) {
	t.Parallel()
	namespace := testenv.Namespace(t)
	pool, err := projections.OpenPool(t.Context(), withSettings(t, testenv.Postgres(t), "pool_max_conns", "1"), namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	tasks := projections.NewTasks(projections.PostgresConfig{Pool: pool, Logger: quiet})
	if err := tasks.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	held, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := tasks.List(ctx, api.TaskQuery{Limit: 1}); !errors.Is(err, projections.ErrBusy) {
		t.Errorf("List: %v", err)
	}
	if _, err := tasks.Checkpoint(ctx); !errors.Is(err, projections.ErrBusy) {
		t.Errorf("Checkpoint: %v", err)
	}
	held.Release()
	if _, err := tasks.List(t.Context(), api.TaskQuery{Limit: 1}); err != nil {
		t.Errorf("List: %v", err)
	}
}
