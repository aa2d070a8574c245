package projections_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/projections"
)

// fits reports whether a task of the model matches a filter that this test uses.
func (m *task) fits(f api.TaskFilter) bool {
	return (f.Statuses == nil || slices.Contains(f.Statuses, m.status)) && (f.Priority == nil || int64(*f.Priority) == m.priority) && strings.Contains(m.text, f.Text)
}

// While tasks are created, changed and deleted between pages, each page has exactly the tasks that
// match behind the cursor at that moment. So no task is listed twice, and none is left out that
// matched all the time.
func TestPagesByCursorWhileTasksChange(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	applied := 0
	apply := func() {
		t.Helper()
		at := events.ID{}
		if applied > 0 {
			at = h.events[applied-1].ID
		}
		for _, batch := range batches(at, h.events[applied:], func() int { return len(h.events) }) {
			if err := b.tasks.Apply(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		applied = len(h.events)
	}
	for round := range uint64(60) {
		random := rand.New(rand.NewPCG(round, 7)) //nolint:gosec // a test needs no secret
		h.flush(true)
		for range 5 + random.IntN(40) {
			changeForList(h, random, 0)
		}
		apply()
		q := api.TaskQuery{TaskFilter: []api.TaskFilter{
			{}, {Statuses: []string{"pending"}}, {Statuses: []string{"pending", "in_progress"}, Text: "even"}, {Priority: new(1)}, {Text: "odd"},
		}[round%5], Limit: 1 + random.IntN(6), Descending: random.IntN(2) == 0}
		always := map[string]bool{} // the tasks that have matched since the first page
		for id, m := range h.tasks {
			always[id] = m.fits(q.TaskFilter)
		}
		var all []string
		for {
			page, err := b.tasks.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			var want []string // the tasks behind the cursor now
			for _, id := range h.ids {
				if n := numberOf(t, id); h.tasks[id].fits(q.TaskFilter) && (q.Cursor == 0 || q.Descending && n < q.Cursor || !q.Descending && n > q.Cursor) {
					want = append(want, id)
				}
			}
			if q.Descending {
				slices.Reverse(want)
			}
			more := len(want) > q.Limit
			want = want[:min(q.Limit, len(want))]
			got := idsOf(t, page.Tasks)
			if !slices.Equal(got, want) || more != (page.Next != 0) {
				t.Fatalf("round %d: the page behind %d of %+v is %v and continues behind %d, want %v and %t", round, q.Cursor, q, got, page.Next, want, more)
			}
			all = append(all, got...)
			if page.Next == 0 {
				break
			}
			q.Cursor = page.Next
			for range random.IntN(6) {
				changeForList(h, random, 3)
				for id := range always {
					always[id] = always[id] && h.tasks[id] != nil && h.tasks[id].fits(q.TaskFilter)
				}
			}
			apply()
		}
		if slices.Sort(all); len(slices.Compact(slices.Clone(all))) != len(all) {
			t.Errorf("round %d: a task is listed twice: %v", round, all)
		}
		for id, matched := range always {
			if matched && !slices.Contains(all, id) {
				t.Errorf("round %d: %s matched all the time and is not listed: %v", round, id, all)
			}
		}
	}
}

// changeForList changes a task, or creates one if there is none. One in oneIn changes creates a task; 0
// means all of them.
func changeForList(h *history, random *rand.Rand, oneIn int) {
	h.now += random.Int64N(2)
	if oneIn == 0 || len(h.ids) == 0 || random.IntN(oneIn) == 0 {
		h.create([]string{"odd", "even"}[random.IntN(2)], random.Int64N(3), "null")
		return
	}
	id := h.ids[random.IntN(len(h.ids))]
	priority := random.Int64N(3)
	text := []string{"odd", "even"}[random.IntN(2)]
	switch m := h.tasks[id]; {
	case random.IntN(5) == 0:
		h.remove(id)
	case m.status == events.StatusPending && random.IntN(2) == 0:
		h.claim(id, "w")
	case m.status == events.StatusInProgress && random.IntN(2) == 0:
		h.finish(id, "null", "")
	case m.status == events.StatusInProgress:
		h.unassign(id)
	default:
		h.update(id, events.TaskChanges{Priority: &priority, Text: &text})
	}
}

// A page by cursor ends before it would be too long, and the next one continues there.
func TestAPageByCursorEndsEarly(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	for range 35 {
		h.create("x", 50, `{"long":"`+strings.Repeat("x", 1<<20)+`"}`)
	}
	b.apply(t, oneBatch(h.events))
	q := api.TaskQuery{Limit: 2}
	var sizes []int
	for {
		page, err := b.tasks.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(page.Tasks))
		if q.Cursor = page.Next; q.Cursor == 0 {
			break
		}
		q.Limit = 20
	}
	if got := fmt.Sprint(sizes); got != "[2 15 15 3]" {
		t.Errorf("the pages have %s tasks", got)
	}
	if _, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 20}); !errors.Is(err, projections.ErrPageTooLarge) {
		t.Errorf("a page without a cursor: %v", err)
	}
}

func TestACursorNeedsItsOrder(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	for range 4 {
		h.create("x", 50, "null")
	}
	b.apply(t, oneBatch(h.events))
	for _, order := range api.TaskOrders {
		page, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 2, OrderBy: order})
		if wanted := order == "createdAt"; err != nil || (page.Next != 0) != wanted {
			t.Errorf("by %s the list continues behind %d, %v", order, page.Next, err)
		}
		if _, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 2, OrderBy: order, Cursor: 2}); (err == nil) != (order == "createdAt") {
			t.Errorf("a cursor by %s: %v", order, err)
		}
	}
	if _, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 2, Offset: 1, Cursor: 2}); err == nil {
		t.Error("a cursor with an offset is taken")
	}
	page, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 2, Offset: 1}) // a cursor may follow an offset
	if err != nil || page.Next != 3 {
		t.Errorf("behind an offset the list continues behind %d, %v", page.Next, err)
	}
	if page, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 2, Offset: 2}); err != nil || page.Next != 0 {
		t.Errorf("the last page continues behind %d, %v", page.Next, err)
	}
}

// What SQL cannot read was replaced in the rows, and a number that jsonb cannot hold is in some. Neither
// fails a search for other rows.
func TestListSearchesMetadataOfOlderLogs(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	h.create("t-1", 50, `{"a":"\u0000","b":1}`)
	h.create("t-2", 50, `{"a":"\ud800x","b":1e999999}`)
	h.create("t-3", 50, `{"\u0000":1,"a":1e999999}`)
	h.create("t-4", 50, `{"a":[1E999999,{"x":"1e999999"}],"b":1.000}`)
	h.create("t-5", 50, `{"c":{"sha":"5e1234\"1e9999","n":10e-1}}`)
	b.apply(t, oneBatch(h.events))
	for metadata, want := range map[string]string{
		`{"b":1}`: "t-1 t-4",
		`{"c":{"n":1,"sha":"\u0035e1234\"1e9999"}}`: "t-5",
		`{"a":"\ufffd"}`:                         "t-1",
		`{"a":"` + "\ufffd" + `x"}`:              "t-2",
		`{"b":1e999999}`:                         "t-2",
		`{"b":1E999999}`:                         "",
		`{"\ufffd":1}`:                           "t-3",
		`{"a":1e999999,"\ufffd":1.0}`:            "t-3",
		`{"a":[1E999999,{"x":"1e999999"}]}`:      "t-4",
		`{"a":"1e999999"}`:                       "",
		`{"a":"\ufffd","b":2}`:                   "",
		`{"a":"' OR true --","b' IS NULL --":1}`: "",
	} {
		ids, _ := b.listed(t, api.TaskQuery{TaskFilter: api.TaskFilter{Metadata: api.Object(metadata)}, Limit: 10})
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: %q, want %q", metadata, got, want)
		}
	}
}

// A range includes its beginning and not its end.
func TestListByTimes(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	first := h.now
	for range 4 { // t-1 to t-4, created one ms after the other
		h.create("x", 50, "null")
		h.now++
	}
	priority := int64(51)
	for _, id := range []string{"t-4", "t-3", "t-2"} {
		h.update(id, events.TaskChanges{Priority: &priority})
		h.now++
	}
	b.apply(t, oneBatch(h.events))
	ms := func(n int64) time.Time { return time.UnixMilli(first + n) }
	for want, f := range map[string]api.TaskFilter{
		"t-2 t-3 t-4":     {CreatedAfter: ms(1)},
		"t-1":             {CreatedBefore: ms(1)},
		"t-2 t-3":         {CreatedAfter: ms(1), CreatedBefore: ms(3)},
		"t-2":             {UpdatedAfter: ms(6)},
		"t-1 t-4":         {UpdatedBefore: ms(5)},
		"t-3":             {UpdatedAfter: ms(5), UpdatedBefore: ms(6)},
		"t-4":             {CreatedAfter: ms(3), UpdatedAfter: ms(4), UpdatedBefore: ms(5)},
		"t-1 t-2 t-3 t-4": {CreatedAfter: time.Unix(0, 0), UpdatedBefore: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)},
		"":                {CreatedBefore: time.Unix(0, 0)},
	} {
		ids, total := b.listed(t, api.TaskQuery{TaskFilter: f, Limit: 10})
		if got := strings.Join(ids, " "); got != want || total != int64(len(ids)) {
			t.Errorf("%+v: %q of %d, want %q", f, got, total, want)
		}
	}
}
