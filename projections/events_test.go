package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/projections"
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
	Payload   json.RawMessage
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
			next := fmt.Sprintf("w%d", (i+1)%5)
			h.unassign(id)
			h.assign(id, next) // names the last owner too
			h.claim(id, next)
			h.finish(id, "null", `"bad"`)
		case 2:
			h.remove(id)
		}
	}
	h.leave("w3", true)
	return h
}

// The index is emptied although another program, such as a backup, reads the table for a long time,
// and although the role may not truncate it.
func TestTheIndexIsEmptiedWhileItIsRead(t *testing.T) {
	t.Parallel()
	b, last, _ := filled(t)
	tx, err := b.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // the pool closes it
	if _, err := tx.Exec(t.Context(), `LOCK TABLE events IN ACCESS SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	if _, err := b.tasks.Flush(t.Context(), "f", last); err != nil {
		t.Fatal(err)
	}
	if n := len(b.eventRows(t)); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if err := b.events.Apply(t.Context(), oneBatch(someTasks())); err != nil {
		t.Fatal(err)
	}
	if n := len(b.eventRows(t)); n != int(last) {
		t.Errorf("%d rows after the flush was forgotten, want %d", n, last)
	}
}

// Rows that the checkpoint does not cover, for example of a table that was restored without it, are
// replaced.
func TestRowsBeyondTheCheckpointAreReplaced(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := lives()
	parts := batches(events.ID{}, h.events, func() int { return 50 })
	for _, batch := range parts {
		b.apply(t, batch)
	}
	want := b.eventRows(t)
	at := parts[0].Last()
	if _, err := b.db.Exec(t.Context(), `UPDATE projection_checkpoints SET id = $1, seq = $2 WHERE name = 'events'`, at.String(), at.Seq); err != nil {
		t.Fatal(err)
	}
	if _, err := b.db.Exec(t.Context(), `UPDATE events SET actor = 'x' WHERE seq > $1`, at.Seq); err != nil {
		t.Fatal(err)
	}
	for _, batch := range parts[1:] {
		if err := b.events.Apply(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, b.eventRows(t)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// A story can be read after its events were trimmed from the log, and after a rebuild.
func TestAStoryOutlivesTheLog(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	h := lives()
	b.publish(t, h.events...)
	r, stop := b.start(t, "one")
	b.caughtUp(t, h.seq)
	want := b.eventRows(t)
	if err := errors.Join(b.client.XTrimMaxLen(t.Context(), b.space.Events(), 20).Err(),
		b.client.HSet(t.Context(), b.space.Log(), "base", h.seq-19).Err()); err != nil {
		t.Fatal(err)
	}
	for _, running := range []bool{true, false} {
		if !running {
			stop()
		}
		if err := r.Rebuild(t.Context(), "events"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.eventRows(t)); diff != "" {
			t.Errorf("rebuilt with the runner running %v: -want +got\n%s", running, diff)
		}
	}
	if got := b.list(t, api.EventQuery{Task: 7, Limit: 10}); len(got) == 0 {
		t.Error("the task's story is gone")
	}
	// Of an index that is new, only what the log still has is there.
	if _, err := b.db.Exec(t.Context(), `TRUNCATE events; DELETE FROM projection_checkpoints WHERE name = 'events'`); err != nil {
		t.Fatal(err)
	}
	b.start(t, "two")
	b.caughtUp(t, h.seq)
	if n := len(b.eventRows(t)); n != 20 {
		t.Errorf("%d rows, want 20", n)
	}
}

// The index of a database of the version before, which has none, is built from the log while the
// task view goes on. The program's log says how far it is.
func TestTheIndexOfAnOlderDatabaseIsBuilt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.all = b.all[:3] // the version before
	h := newHistory()
	many(h, 20_000)
	b.publish(t, h.events...)
	_, stop := b.start(t, "before")
	b.caughtUp(t, h.seq)
	stop()
	b.downgrade(t, 8)
	var none bool
	if err := b.db.QueryRow(t.Context(), `SELECT to_regclass('events') IS NULL`).Scan(&none); err != nil || !none {
		t.Fatalf("the database of then has an index (%v)", err)
	}
	reader, err := events.NewReader(b.client, events.ReaderConfig{Namespace: b.namespace})
	if err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	b.events = projections.NewEvents(projections.PostgresConfig{Pool: b.pool, Log: reader, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	b.all = append(b.all, b.events)
	b.start(t, "after")
	before := h.seq
	h.create("meanwhile", 50, "null")
	b.publish(t, h.events[before:]...)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		at, err := b.tasks.Checkpoint(t.Context())
		behind, _ := b.events.Checkpoint(t.Context()) // not migrated yet
		return err == nil && at.Seq == h.seq, fmt.Sprintf("tasks at %s, events at %s, %v", at, behind, err)
	})
	b.caughtUp(t, h.seq)
	if n := len(b.eventRows(t)); n != int(h.seq) {
		t.Errorf("%d rows, want %d", n, h.seq)
	}
	for _, line := range []string{"building the event index from the log", "the event index has caught up with the log"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the program's log does not say %q: %s", line, log.String())
		}
	}
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Text that SQL cannot store is replaced, and does not stop the index.
func TestEventsThatSQLCannotStore(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	h.create("a", 50, "null")
	e := &h.events[0]
	cause := "c\x00"
	e.Actor, e.Cause = "a\x00\xff", &cause
	e.Payload = json.RawMessage(`{"id":"t-1","assignedTo":"w\u0000","text":"\ud800 \\u0000 \u00e9"}`)
	if err := b.events.Apply(t.Context(), oneBatch(h.events)); err != nil {
		t.Fatal(err)
	}
	got := b.list(t, api.EventQuery{Instance: "w\ufffd", Limit: 1})
	if len(got) != 1 || got[0].Actor != "a\ufffd\ufffd" || *got[0].Cause != "c\ufffd" ||
		string(got[0].Payload) != `{"id":"t-1","assignedTo":"w\ufffd","text":"\ufffd \\u0000 \u00e9"}` {
		t.Errorf("%+v", got)
	}
	var text string
	if err := b.db.QueryRow(t.Context(), `SELECT payload::json ->> 'text' FROM events`).Scan(&text); err != nil {
		t.Error(err)
	}
}
