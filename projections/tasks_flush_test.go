package projections_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/projections"
)

// someTasks returns a history that is the same each time.
func someTasks() []events.Envelope {
	h := newHistory()
	for range 20 {
		id := h.create("text", 50, "null")
		h.claim(id, "w")
	}
	return h.events
}

// filled returns a bundle whose views have applied a history.
func filled(t *testing.T) (b *bundle, last int64, rows int) {
	t.Helper()
	b = newBundle(t)
	b.prepare(t)
	list := someTasks()
	b.apply(t, oneBatch(list))
	return b, list[len(list)-1].Seq, len(b.rows(t))
}

func TestFlushOfTheTaskViews(t *testing.T) {
	t.Parallel()
	b, last, rows := filled(t)
	if _, err := b.tasks.Flush(t.Context(), "early", last+1); !errors.Is(err, projections.ErrRowsKept) {
		t.Errorf("before the views have all of the log: %v", err)
	}
	if n := len(b.rows(t)); n != rows || rows == 0 {
		t.Fatalf("%d rows, want %d", n, rows)
	}
	if _, deleted, err := b.tasks.Decide(t.Context(), "early"); deleted || err != nil {
		t.Errorf("decided: %t, %v", deleted, err)
	}
	for range 2 { // the second returns the same as the first
		tasks, err := b.tasks.Flush(t.Context(), "f", last)
		if err != nil || tasks != int64(rows) {
			t.Errorf("%d rows deleted, want %d (%v)", tasks, rows, err)
		}
		tasks, deleted, err := b.tasks.Decide(t.Context(), "f")
		if err != nil || !deleted || tasks != int64(rows) {
			t.Errorf("decided: %d, %t, %v", tasks, deleted, err)
		}
	}
	if n := len(b.rows(t)); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	// The event index is emptied too, by whoever flushes: perhaps nobody keeps it any more.
	if n := len(b.eventRows(t)); n != 0 {
		t.Errorf("%d rows of the event index are left", n)
	}
	if at, err := b.events.Checkpoint(t.Context()); err != nil || at != (events.ID{}) {
		t.Errorf("the checkpoint of the event index is %s, %v", at, err)
	}
	// If Redis forgets the flush, the log restores the rows.
	if at, err := b.tasks.Checkpoint(t.Context()); err != nil || at != (events.ID{}) {
		t.Errorf("the checkpoint is %s, %v", at, err)
	}
	if err := b.tasks.Apply(t.Context(), oneBatch(someTasks())); err != nil {
		t.Fatal(err)
	}
	if n := len(b.rows(t)); n != rows {
		t.Errorf("%d rows, want %d", n, rows)
	}
}

// The first decision that the rows stay is final, even against a transaction in progress.
func TestFlushThatWasUndoneDeletesNoRows(t *testing.T) {
	t.Parallel()
	b, last, rows := filled(t)
	if _, deleted, err := b.tasks.Decide(t.Context(), "f"); deleted || err != nil {
		t.Fatalf("decided: %t, %v", deleted, err)
	}
	if _, err := b.tasks.Flush(t.Context(), "f", last); !errors.Is(err, projections.ErrRowsKept) {
		t.Errorf("flush: %v", err)
	}
	if n := len(b.rows(t)); n != rows {
		t.Errorf("%d rows, want %d", n, rows)
	}

	// A transaction holds the flush's id and has not ended: Decide waits for it.
	tx, err := b.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `INSERT INTO system_flushes (id, deleted, tasks_deleted) VALUES ('g', true, 7)`); err != nil {
		t.Fatal(err)
	}
	decided := make(chan int64)
	go func() {
		tasks, _, _ := b.tasks.Decide(t.Context(), "g") // -1 below if it fails
		decided <- tasks
	}()
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		var waiting int
		err := b.db.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE NOT granted`).Scan(&waiting)
		return err == nil && waiting > 0, "nobody waits"
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if tasks := <-decided; tasks != 7 {
		t.Errorf("decided %d", tasks)
	}
}

// While a flush deletes keys, projections write nothing to Redis; during the fence alone they
// finish.
func TestProjectionsRestWhileAFlushDeletes(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	list := someTasks()
	log := b.space.Log()
	lease := func() any {
		reply, err := b.scripts.Run(t.Context(), lua.Named("acquire_lease"), "state", "me", 1000, events.Format, "")
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	b.client.HSet(t.Context(), log, "flush", "f", "fence", "f", "flushPhase", "deleting")
	before := b.views(t)
	for _, p := range b.all[:2] {
		if err := p.Apply(t.Context(), oneBatch(list)); err == nil || !strings.Contains(err.Error(), "FLUSH_IN_PROGRESS") {
			t.Errorf("%s: %v", p.Name(), err)
		}
		if err := p.Reset(t.Context(), 1); err == nil {
			t.Errorf("%s was reset", p.Name())
		}
	}
	if lease() != int64(0) || len(b.keys(t, "service:*")) != 0 {
		t.Error("a lease was given")
	}
	if after := b.views(t); len(after) != len(before) {
		t.Errorf("written: %v", after)
	}
	runner, err := projections.NewRunner(projections.RunnerConfig{Client: b.client, Scripts: b.scripts, Keys: b.space, Projections: b.all})
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Rebuild(t.Context(), "tasks"); err == nil || !strings.Contains(err.Error(), "a flush is running") {
		t.Errorf("rebuild: %v", err)
	}
	b.client.HSet(t.Context(), log, "flushPhase", "fenced")
	if lease() != int64(1) {
		t.Error("no lease was given")
	}
	b.apply(t, oneBatch(list))
}
