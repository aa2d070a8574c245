package server

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/migrations"
	"github.com/claudebench/claudebench/projections"
)

// identityOfThree is what the version that wrote the database called its log.
const identityOfThree = "37ZXDBPMB47GRNBPK2ZZQAYYXX"

// ofFormatThree returns settings whose Redis and Postgres hold what the version before retries,
// dependencies and schedules wrote. The head of testdata/database-format-3.sql says how it was made.
func ofFormatThree(t *testing.T) (*config.Config, *pgxpool.Pool) {
	t.Helper()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	restore(t, cfg, "testdata/log-format-3.jsonl")
	if err := redisOf(t, cfg).HSet(t.Context(), keysOf(t, cfg).Log(), "identity", identityOfThree, "format", 3).Err(); err != nil {
		t.Fatal(err)
	}
	dump, err := os.ReadFile("testdata/database-format-3.sql")
	if err != nil {
		t.Fatal(err)
	}
	schema := migrations.Schema(cfg.Namespace)
	db := testenv.SQL(t, cfg.DatabaseURL, schema)
	if _, err := db.Exec(t.Context(), strings.ReplaceAll(string(dump), "cb_golden", pgx.Identifier{schema}.Sanitize())); err != nil {
		t.Fatal(err)
	}
	if got := newestMigration(t, db); got != 9 {
		t.Fatalf("the database of then has version %d", got)
	}
	return cfg, db
}

func newestMigration(t *testing.T, db *pgxpool.Pool) (version int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), `SELECT max(version_id) FROM goose_db_version`).Scan(&version); err != nil {
		t.Fatal(err)
	}
	return version
}

// columnsOf returns the columns of each table and view.
func columnsOf(t *testing.T, cfg *config.Config, db *pgxpool.Pool) map[string]string {
	t.Helper()
	rows, err := db.Query(t.Context(), `
SELECT table_name::text, string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) FROM information_schema.columns
WHERE table_schema = $1 AND table_name <> 'goose_db_version' GROUP BY 1`, migrations.Schema(cfg.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	all, name, columns := map[string]string{}, "", ""
	if _, err := pgx.ForEachRow(rows, []any{&name, &columns}, func() error {
		all[name] = columns
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// contents returns the rows of tables and views as JSON, with the columns named.
func contents(t *testing.T, db *pgxpool.Pool, columns map[string]string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for name, list := range columns {
		rows, err := db.Query(t.Context(), fmt.Sprintf(`SELECT row_to_json(r)::text FROM (SELECT %s FROM %s) r ORDER BY 1`, list, name))
		if err != nil {
			t.Fatal(err)
		}
		if all[name], err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// The migrations keep all that a database of the version before holds, in the tables and in the views,
// and it agrees with the log.
func TestMigratingTheDatabaseOfFormatThree(t *testing.T) {
	t.Parallel()
	cfg, db := ofFormatThree(t)
	columns := columnsOf(t, cfg, db)
	before := contents(t, db, columns)
	for _, name := range []string{
		"tasks", "events", "sessions", "session_instances", "tasks_by_status", "load_by_instance", "throughput_by_minute", "waiting_and_running_times", "session_tasks",
	} {
		if len(before[name]) == 0 {
			t.Errorf("%s of then has no rows", name)
		}
	}
	pool, err := projections.OpenPool(t.Context(), cfg.DatabaseURL, cfg.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	log, err := events.NewReader(redisOf(t, cfg), events.ReaderConfig{Namespace: cfg.Namespace})
	if err != nil {
		t.Fatal(err)
	}
	tasks := projections.NewTasks(projections.PostgresConfig{Pool: pool, Identity: identityOfThree, Log: log, Logger: quiet})
	if err := tasks.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := newestMigration(t, db); got < 12 {
		t.Errorf("the database has version %d", got)
	}
	if diff := cmp.Diff(before, contents(t, db, columns)); diff != "" {
		t.Errorf("migrated (-before +after):\n%s", diff)
	}
	var failed, letters int
	if err := db.QueryRow(t.Context(), `
SELECT (SELECT count(*) FROM tasks WHERE status = 'failed' AND error IS NOT NULL),
       (SELECT count(*) FROM dead_letter d JOIN tasks t USING (id) WHERE d.error::text = t.error::text AND d.failed_at = t.completed_at)`).Scan(&failed, &letters); err != nil || failed == 0 || letters != failed {
		t.Errorf("%d tasks failed, dead_letter has %d of them (%v)", failed, letters, err)
	}
	verified(t, cfg)
}

// A coordinator starts on the database of the version before and migrates it. A rebuild makes the same
// rows from the log, and new work goes on with what that version did not have.
func TestTheDatabaseOfFormatThree(t *testing.T) {
	t.Parallel()
	cfg, db := ofFormatThree(t)
	columns := map[string]string{}
	for name, list := range columnsOf(t, cfg, db) {
		if slices.Contains([]string{"throughput_by_minute", "waiting_and_running_times"}, name) { // only of finished tasks
			columns[name] = list
		}
		if name == "tasks" {
			columns["tasks WHERE completed_at IS NOT NULL"] = list
		}
	}
	before := contents(t, db, columns)
	s, err := Start(t.Context(), cfg, Options{Logger: quiet, BreakerOpen: briefly})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	c := newClient(t, s.Addr())
	c.ready(t) // a database that is not migrated yet is ready too
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		got := newestMigration(t, db)
		return got >= 12, fmt.Sprint("the database has version ", got)
	})
	caughtUp(t, c)
	verified(t, cfg)
	if diff := cmp.Diff(before, contents(t, db, columns)); diff != "" {
		t.Errorf("started (-before +after):\n%s", diff)
	}
	if story := settledStory(t, c, "task.history", params{"id": lastFailed(t, cfg)}); !strings.HasSuffix(story.types(), " task.failed(1)") {
		t.Errorf("the story of a failed task is %s", story.types())
	}
	for _, projection := range []string{"tasks", "events"} {
		if err := s.runner.Rebuild(t.Context(), projection); err != nil {
			t.Fatal(err)
		}
	}
	caughtUp(t, c)
	verified(t, cfg)
	if diff := cmp.Diff(before, contents(t, db, columns)); diff != "" {
		t.Errorf("rebuilt (-before +after):\n%s", diff)
	}

	call[object](t, c, "system.register", params{"id": "new", "roles": []string{"worker"}, "metadata": params{"maxTasks": 0}})
	id := c.create(t, params{"text": "new", "priority": 100, "retry": params{"maxAttempts": 2, "backoffMs": 0}})
	claim := func(what string, done params) (taskID string) {
		t.Helper()
		testenv.Eventually(t, 20*time.Second, func() (bool, string) {
			got := call[struct {
				TaskID string
				Task   struct{ Text string }
			}](t, c, "task.claim", params{"workerId": "new"})
			if got.TaskID == "" || got.Task.Text != what {
				return false, fmt.Sprintf("claimed %+v, want %s", got, what)
			}
			taskID = got.TaskID
			return true, ""
		})
		done["id"] = taskID
		call[object](t, c, "task.complete", done)
		return taskID
	}
	claim("new", params{"error": "once"})
	if again := claim("new", params{"result": 1}); again != id {
		t.Errorf("claimed %s, want %s again", again, id)
	}
	call[object](t, c, "schedule.put", params{"id": "often", "cron": "@every 1s", "timezone": "UTC", "task": params{"text": "tick", "priority": 100}})
	claim("tick", params{"error": "tick"})
	call[object](t, c, "schedule.put", params{"id": "often", "cron": "@every 1h", "timezone": "UTC", "task": params{"text": "tick"}})
	caughtUp(t, c)
	verified(t, cfg)
	var schedules, failures int
	if err := db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM schedules), (SELECT failures FROM tasks WHERE id = $1)`, id).Scan(&schedules, &failures); err != nil || schedules != 1 || failures != 1 {
		t.Errorf("%d schedules, %d failures (%v)", schedules, failures, err)
	}
	if letters := contents(t, db, map[string]string{"dead_letter": "text, error"})["dead_letter"]; !slices.Contains(letters, `{"text":"tick","error":"tick"}`) {
		t.Errorf("dead_letter has %v", letters)
	}
}
