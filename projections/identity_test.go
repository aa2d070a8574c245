package projections_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/projections"
)

// Every store keeps the log's identity with its checkpoint, and rejects a batch of another log.
func TestEveryStoreKeepsTheLogsIdentity(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	cfg := projections.RedisConfig{Client: b.client, Scripts: b.scripts, Keys: b.space}
	first, err := projections.OpenLog(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.tasks = projections.NewTasks(projections.PostgresConfig{Pool: b.pool, Logger: quiet, Identity: first})
	b.all[2] = b.tasks
	b.prepare(t)
	h := newHistory()
	h.create("kept", 1, "null")
	b.publish(t, h.events...)
	b.apply(t, oneBatch(h.events))
	var inPostgres string
	if err := b.db.QueryRow(t.Context(), `SELECT log FROM projection_checkpoints WHERE name = 'tasks'`).Scan(&inPostgres); err != nil {
		t.Fatal(err)
	}
	for where, kept := range map[string]string{
		"the state": b.state(t)["log"], "the metrics": b.metrics(t, "global")["log"], "Postgres": inPostgres,
	} {
		if kept != first || kept == "" {
			t.Errorf("%s follows the log %q, want %q", where, kept, first)
		}
	}

	// A log that lost its hash is still the same log.
	if err := b.client.Del(t.Context(), b.space.Log()).Err(); err != nil {
		t.Fatal(err)
	}
	if again, err := projections.OpenLog(t.Context(), cfg); err != nil || again != first {
		t.Errorf("opened again it is %q, %v; want %q", again, err, first)
	}

	const second = "ANOTHERLOG"
	if err := b.client.HSet(t.Context(), b.space.Log(), "identity", second).Err(); err != nil {
		t.Fatal(err)
	}
	before := b.views(t)
	rest := h.events
	h.create("another log's", 1, "null")
	batch := batches(rest[len(rest)-1].ID, h.events[len(rest):], func() int { return 1 })[0]
	for _, p := range []projections.Projection{
		b.all[0], b.all[1], projections.NewTasks(projections.PostgresConfig{Pool: b.pool, Logger: quiet, Identity: second}),
	} {
		err := p.Apply(t.Context(), batch)
		if !errors.Is(err, events.ErrForeignLog) || !strings.Contains(err.Error(), first) || !strings.Contains(err.Error(), second) {
			t.Errorf("%s: %v", p.Name(), err)
		}
	}
	if after := b.views(t); !maps.Equal(before, after) {
		t.Errorf("refused batches changed %v to %v", before, after)
	}
	// A rebuild accepts this log.
	for _, p := range b.all[:2] {
		if err := p.Reset(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := p.Apply(t.Context(), oneBatch(h.events)); err != nil {
			t.Errorf("%s after a rebuild: %v", p.Name(), err)
		}
	}
	if log := b.state(t)["log"]; log != second {
		t.Errorf("rebuilt, the state follows %q", log)
	}
}

// Rows of another log are never listed, whatever the caller waited for.
func TestAnotherLogsTasksAreNotListed(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	of := func(identity string) *projections.Tasks {
		return projections.NewTasks(projections.PostgresConfig{Pool: b.pool, Logger: quiet, Identity: identity})
	}
	mine := of("MINE")
	if err := mine.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := newHistory()
	h.create("mine", 1, "null")
	if err := mine.Apply(t.Context(), oneBatch(h.events)); err != nil {
		t.Fatal(err)
	}
	if page, err := mine.List(t.Context(), api.TaskQuery{Limit: 10}); err != nil || page.Total != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	for _, q := range []api.TaskQuery{{Limit: 10}, {Limit: 10, Offset: 5}} {
		if page, err := of("OTHER").List(t.Context(), q); !errors.Is(err, events.ErrForeignLog) {
			t.Errorf("another log's list is %+v, %v", page, err)
		}
	}
}

// While a coordinator of the previous version holds the lease, the table of checkpoints has no
// column log.
func TestRowsOfTheVersionBeforeAreListedBeforeTheMigration(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	tasks := projections.NewTasks(projections.PostgresConfig{Pool: b.pool, Logger: quiet, Identity: "MINE"})
	if err := tasks.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := newHistory()
	h.create("mine", 1, "null")
	if err := tasks.Apply(t.Context(), oneBatch(h.events)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.db.Exec(t.Context(), `ALTER TABLE projection_checkpoints DROP COLUMN log`); err != nil {
		t.Fatal(err)
	}
	if at, err := tasks.Checkpoint(t.Context()); err != nil || at != h.events[0].ID {
		t.Errorf("the checkpoint is %v, %v; want %v", at, err, h.events[0].ID)
	}
	if page, err := tasks.List(t.Context(), api.TaskQuery{Limit: 10}); err != nil || page.Total != 1 {
		t.Errorf("listed %+v, %v", page, err)
	}
}
