package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/migrations"
	"github.com/claudebench/claudebench/projections"
)

// Two coordinators with different Redis servers use one database. The second is rejected, before
// and while the first runs, and the first keeps every row.
func TestTwoLogsAndOneDatabase(t *testing.T) {
	t.Parallel()
	database, namespace := testenv.Postgres(t), testenv.Namespace(t)
	on := func(url string) *config.Config {
		return settings(t, func(c *config.Config) { c.RedisURL, c.DatabaseURL, c.Namespace = url, database, namespace })
	}
	first, second := on(durable(t).URL()), on(durable(t).URL())
	c := start(t, first)
	c.ready(t)
	for range 6 {
		c.create(t, params{"text": "kept"})
	}
	caughtUp(t, c)

	// The second has its own log and is further in it.
	alone := settings(t, func(c *config.Config) { c.RedisURL, c.Namespace = second.RedisURL, namespace })
	other := start(t, alone)
	for range 20 {
		other.create(t, params{"text": "another fleet's"})
	}
	identity := func(cfg *config.Config) string { return logHash(t, cfg, redisOf(t, cfg))["identity"] }
	_, err := Start(t.Context(), second, Options{Logger: quiet})
	if !errors.Is(err, events.ErrForeignLog) {
		t.Fatalf("the second started: %v", err)
	}
	for _, want := range []string{identity(first), identity(second), "rebuild tasks --take-over"} {
		if want == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %q", err, want)
		}
	}
	if got := call[page](t, c, "task.list", params{}); got.TotalCount != 6 {
		t.Errorf("%d tasks are listed, want 6", got.TotalCount)
	}
	agree(t, c, first)

	// Writes that skip the check at startup are rejected as well, because each write compares the
	// identity.
	pool, err := projections.OpenPool(t.Context(), database, namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	tasks := projections.NewTasks(projections.PostgresConfig{Pool: pool, Logger: quiet, Identity: identity(second)})
	_, read := tasks.Checkpoint(t.Context())
	_, flush := tasks.Flush(t.Context(), "a flush", 0)
	for what, err := range map[string]error{
		"prepare": tasks.Prepare(t.Context()), "reset": tasks.Reset(t.Context(), 1), "checkpoint": read, "flush": flush,
	} {
		if !errors.Is(err, events.ErrForeignLog) {
			t.Errorf("%s: %v", what, err)
		}
	}
	agree(t, c, first)
}

// Rows of a version without identities are adopted if their checkpoint is in the log. Otherwise
// they are rejected.
func TestRowsWithoutAnIdentity(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	c := start(t, cfg)
	c.create(t, params{"text": "kept"})
	caughtUp(t, c)
	pool, err := projections.OpenPool(t.Context(), cfg.DatabaseURL, cfg.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	reader, err := events.NewReader(redisOf(t, cfg), events.ReaderConfig{Namespace: cfg.Namespace})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := reader.Identity(t.Context())
	if err != nil || identity == "" {
		t.Fatal(identity, err)
	}
	tasks := projections.NewTasks(projections.PostgresConfig{Pool: pool, Logger: quiet, Identity: identity, Log: reader})
	table := `"cb_` + cfg.Namespace + `".projection_checkpoints`
	forget := func(id string) error {
		t.Helper()
		if _, err := pool.Exec(t.Context(), `UPDATE `+table+` SET log = NULL, id = coalesce(nullif($1, ''), id)`, id); err != nil {
			t.Fatal(err)
		}
		return tasks.Prepare(t.Context())
	}
	if err := forget(""); err != nil {
		t.Errorf("a checkpoint that the log holds: %v", err)
	}
	if err := forget("17-99"); !errors.Is(err, events.ErrForeignLog) {
		t.Errorf("a checkpoint that the log does not hold: %v", err)
	}
}

// A Redis that comes back empty under a running coordinator holds another log. The rows stay until
// an operator takes over.
func TestARedisThatComesBackEmptyKeepsTheRows(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) {
		c.RedisURL, c.DatabaseURL = testenv.OwnRedis(t, devstack.RedisOptions{}).URL(), testenv.Postgres(t)
	})
	running, err := Start(t.Context(), cfg, Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, running.Addr())
	for range 5 {
		c.create(t, params{"text": "kept"})
	}
	caughtUp(t, c)
	client := redisOf(t, cfg)
	before := logHash(t, cfg, client)["identity"]
	if err := client.FlushAll(t.Context()).Err(); err != nil { //nolint:forbidigo // this Redis is the test's own
		t.Fatal(err)
	}
	c.create(t, params{"text": "in the new log"})
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		_, r := c.readyz(t)
		found := slices.ContainsFunc(r.Projections, func(p projections.Status) bool {
			return p.Name == "tasks" && strings.Contains(p.Error, events.ErrForeignLog.Error())
		})
		return found, fmt.Sprintf("%+v", r)
	})
	db := testenv.SQL(t, cfg.DatabaseURL, migrations.Schema(cfg.Namespace))
	rows := func() (n int) {
		t.Helper()
		if err := db.QueryRow(t.Context(), `SELECT count(*) FROM tasks`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := rows(); n != 5 {
		t.Errorf("%d rows are left, want 5", n)
	}
	if err := running.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), cfg, Options{Logger: quiet})
	if !errors.Is(err, events.ErrForeignLog) || !strings.Contains(err.Error(), before) {
		t.Errorf("a start on the empty Redis: %v", err)
	}
	if n := rows(); n != 5 {
		t.Errorf("%d rows are left after a start, want 5", n)
	}

	// The way to continue: what claudebench rebuild tasks --take-over does.
	taken, err := Start(t.Context(), cfg, Options{Logger: quiet, OwnStores: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Stop(context.Background()) })
	over := newClient(t, taken.Addr())
	caughtUp(t, over)
	if got := call[page](t, over, "task.list", params{}); got.TotalCount != 1 {
		t.Errorf("%d tasks are listed after the take-over, want 1", got.TotalCount)
	}
	agree(t, over, cfg)
}

// A log has an identity even if no coordinator has a database, and keeps it when one is added.
func TestALogWithoutADatabaseHasAnIdentity(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	c := start(t, cfg)
	c.create(t, params{"text": "x"})
	caughtUp(t, c)
	client := redisOf(t, cfg)
	identity := logHash(t, cfg, client)["identity"]
	kept, err := client.HGet(t.Context(), keysOf(t, cfg).State(), "log").Result()
	if err != nil || identity == "" || kept != identity {
		t.Errorf("the log is %q, the state follows %q, %v", identity, kept, err)
	}
	with := *cfg
	with.DatabaseURL = testenv.Postgres(t)
	caughtUp(t, start(t, &with))
	if now := logHash(t, cfg, client)["identity"]; now != identity {
		t.Errorf("it was %s and is %s", identity, now)
	}
}
