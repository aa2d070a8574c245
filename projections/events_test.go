package projections_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
)

// listed is an event of a page.
type listed struct {
	Seq       int64
	ID        string
	Type      string
	V         int
	Timestamp int64
	Attempt   *int64
	Actor     string
	Cause     *string
	Trace     *string
	Data      json.RawMessage
}

// list returns all pages of a query.
func (b *bundle) list(t testing.TB, q api.EventQuery) []listed {
	t.Helper()
	all := []listed{}
	for {
		page, err := b.events.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range page.Events {
			var e listed
			if err := json.Unmarshal(text, &e); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			all = append(all, e)
		}
		if page.Next == 0 {
			return all
		}
		if len(page.Events) == 0 || len(page.Events) > q.Limit {
			t.Fatalf("a page of %d events, of at most %d, that is not the last", len(page.Events), q.Limit)
		}
		q.Cursor = page.Next
	}
}

// seqs returns the numbers of events.
func seqs(list []listed) []int64 {
	all := make([]int64, len(list))
	for i, e := range list {
		all[i] = e.Seq
	}
	return all
}

// seqsWhere returns the numbers of the events that a filter selects.
func seqsWhere(list []events.Envelope, wanted func(events.Envelope) bool) []int64 {
	all := []int64{}
	for _, e := range list {
		if wanted(e) {
			all = append(all, e.Seq)
		}
	}
	return all
}

// lives returns a history with tasks that change hands, instances that die, and votes.
func lives() *history {
	h := newHistory()
	for i := range 5 {
		h.register(fmt.Sprintf("w%d", i), "worker")
	}
	for i := range 40 {
		h.create(fmt.Sprintf("task %d", i), int64(i), `{"n":1.50}`)
	}
	for i, id := range slices.Clone(h.ids) {
		owner := fmt.Sprintf("w%d", i%5)
		h.claim(id, owner)
		switch i % 4 {
		case 0:
			h.finish(id, `{"ok":true}`, "")
		case 1:
			h.unassign(id)
			h.claim(id, fmt.Sprintf("w%d", (i+1)%5))
			h.finish(id, "null", `"bad"`)
		case 2:
			h.remove(id)
		}
	}
	h.leave("w3", true)
	return h
}

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
			Cause: in.Cause, Trace: in.Trace, Data: in.Payload, Attempt: e.Attempt,
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
