package projections_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
)

// A story has exactly the events that Envelope.Subjects says, in order, whatever the size of pages.
func TestStories(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := lives()
	for _, batch := range batches(events.ID{}, h.events, func() int { return 37 }) {
		b.apply(t, batch)
	}
	for _, limit := range []int{1, 3, 1000} {
		for _, descending := range []bool{false, true} {
			inOrder := func(seqs []int64) []int64 {
				if descending {
					slices.Reverse(seqs)
				}
				return seqs
			}
			for _, num := range []int64{6, 7, 8, 9, 45, 46, 9999} {
				want := inOrder(seqsWhere(h.events, func(e events.Envelope) bool { return e.Subjects().Task == fmt.Sprintf("t-%d", num) }))
				got := seqs(b.list(t, api.EventQuery{Task: num, Limit: limit, Descending: descending}))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("task %d by %d: -want +got\n%s", num, limit, diff)
				}
			}
			for _, id := range []string{"w0", "w3", "nobody"} {
				want := inOrder(seqsWhere(h.events, func(e events.Envelope) bool { return slices.Contains(e.Subjects().Instances, id) }))
				got := seqs(b.list(t, api.EventQuery{Instance: id, Limit: limit, Descending: descending}))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("instance %s by %d: -want +got\n%s", id, limit, diff)
				}
			}
			types := []string{"instance.failed", "instance.registered"}
			want := inOrder(seqsWhere(h.events, func(e events.Envelope) bool { return slices.Contains(types, string(e.Type)) }))
			if diff := cmp.Diff(want, seqs(b.list(t, api.EventQuery{Types: types, Limit: limit, Descending: descending}))); diff != "" {
				t.Errorf("types by %d: -want +got\n%s", limit, diff)
			}
			want = inOrder(seqsWhere(h.events, func(events.Envelope) bool { return true }))
			if diff := cmp.Diff(want, seqs(b.list(t, api.EventQuery{Limit: limit, Descending: descending}))); diff != "" {
				t.Errorf("all by %d: -want +got\n%s", limit, diff)
			}
		}
	}
}

// An event of a page is what the log has.
func TestListedEvents(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := lives()
	cause, trace := "request 7", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	h.events[7].Cause, h.events[7].Trace, h.events[7].Actor = &cause, &trace, "a/ü<&>"
	b.apply(t, oneBatch(h.events))
	attempts := 0
	for i, e := range b.list(t, api.EventQuery{Limit: 50}) {
		in := h.events[i]
		want := listed{
			Seq: in.Seq, ID: in.ID.String(), Type: string(in.Type), V: in.V, Timestamp: in.Timestamp, Actor: in.Actor,
			Cause: in.Cause, Trace: in.Trace, Payload: in.Payload, Attempt: e.Attempt,
		}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Fatalf("event %s: -want +got\n%s", in.ID, diff)
		}
		if e.Attempt == nil {
			continue
		}
		attempts++
		if !strings.Contains(string(in.Payload), fmt.Sprintf(`"attempt":%d`, *e.Attempt)) {
			t.Errorf("%s has attempt %d", in.Payload, *e.Attempt)
		}
	}
	if attempts == 0 {
		t.Error("no event has an attempt")
	}
}

// Since begins at the first event of a time.
func TestEventsSince(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	if got := b.list(t, api.EventQuery{Since: 1, Limit: 10}); len(got) != 0 {
		t.Errorf("an empty table has %v", got)
	}
	for i := range 100 {
		h.now += int64(i % 3) // some at the same time
		h.create("x", 50, "null")
	}
	h.register("w", "worker")
	// A gap in seq, as an entry that is no event leaves one.
	gone := slices.Delete(slices.Clone(h.events), 40, 60)
	b.apply(t, oneBatch(gone))
	for ms := h.events[0].Timestamp - 1; ms <= h.now+1; ms++ {
		want := seqsWhere(gone, func(e events.Envelope) bool { return e.Timestamp >= ms })
		if diff := cmp.Diff(want, seqs(b.list(t, api.EventQuery{Since: ms, Limit: 30}))); diff != "" {
			t.Fatalf("since %d: -want +got\n%s", ms, diff)
		}
		types := []string{"instance.registered"}
		want = seqsWhere(gone, func(e events.Envelope) bool { return e.Timestamp >= ms && e.Type == events.TypeInstanceRegistered })
		if diff := cmp.Diff(want, seqs(b.list(t, api.EventQuery{Types: types, Since: ms, Limit: 30, Descending: true}))); diff != "" {
			t.Fatalf("registrations since %d: -want +got\n%s", ms, diff)
		}
	}
}

// A page ends before its events exceed 16 MiB, and the next one goes on.
func TestAPageOfLargeEvents(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	for range 24 {
		h.create("x", 50, `{"a":"`+strings.Repeat("abcdefghij", 100_000)+`"}`)
	}
	b.apply(t, oneBatch(h.events))
	page, err := b.events.List(t.Context(), api.EventQuery{Limit: 24})
	if err != nil || len(page.Events) != 16 || page.Next != 16 {
		t.Errorf("a page of %d events until %d, %v", len(page.Events), page.Next, err)
	}
	if got := seqs(b.list(t, api.EventQuery{Limit: 24, Descending: true})); len(got) != 24 {
		t.Errorf("%v", got)
	}
}

// Each kind of page reads its own index, and reads nothing of the table in the order of a sort: the
// conditions must be those of the partial indexes.
func TestPagesOfEventsReadTheirIndex(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	b.apply(t, oneBatch(lives().events))
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing was written
	for _, statement := range []string{"SET LOCAL enable_seqscan = off", "SET LOCAL enable_bitmapscan = off", "SET LOCAL enable_sort = off"} {
		if _, err := tx.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for indexes, q := range map[string]api.EventQuery{
		"events_task":                  {Task: 7},
		"events_instance events_other": {Instance: "w1"},
		"events_rare":                  {Types: []string{"instance.failed", "quorum.voted"}, Since: 1},
		"events_pkey":                  {Since: 1},
	} {
		for _, descending := range []bool{false, true} {
			q.Limit, q.Descending = 10, descending
			sql, args := b.events.EventsSQL(q)
			rows, err := tx.Query(t.Context(), "EXPLAIN "+sql, args...)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			for index := range strings.FieldsSeq(indexes) {
				if plan := strings.Join(lines, "\n"); !strings.Contains(plan, "using "+index+" on") && !strings.Contains(plan, "Backward using "+index) {
					t.Errorf("%+v does not read %s:\n%s", q, index, plan)
				}
			}
		}
	}
}
