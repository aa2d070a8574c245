package migrations_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/migrations"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var quiet = slog.New(slog.DiscardHandler)

func open(t *testing.T, url, schema string) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	if schema != "" {
		cfg.ConnConfig.RuntimeParams["search_path"] = `"` + schema + `"`
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func TestManyCoordinatorsMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	for _, schema := range []string{"", migrations.Schema("Some.Namespace")} {
		var all errgroup.Group
		for range 8 {
			pool := open(t, url, schema)
			all.Go(func() error { return migrations.Up(t.Context(), pool, schema, quiet) })
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
		pool := open(t, url, schema)
		if err := migrations.Up(t.Context(), pool, schema, quiet); err != nil {
			t.Errorf("once more: %v", err)
		}
		var in string
		if err := pool.QueryRow(t.Context(), `SELECT schemaname FROM pg_tables WHERE tablename = 'tasks' AND schemaname = current_schema()`).Scan(&in); err != nil {
			t.Errorf("no table in schema %q: %v", schema, err)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	err := migrations.Up(t.Context(), open(t, strings.Replace(url, "/"+database(t, url), "/not_there", 1), ""), "", quiet)
	if err == nil || !strings.Contains(err.Error(), "createdb") {
		t.Errorf("a database that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := migrations.Up(ctx, open(t, url, ""), "", quiet); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

func database(t *testing.T, url string) string {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.ConnConfig.Database
}

func TestSchemasOfNamespacesDiffer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 63)
	a, b := migrations.Schema(long+"a"), migrations.Schema(long+"b")
	if a == b || len(a) > 63 || len(b) > 63 {
		t.Errorf("schemas of long namespaces are %q and %q", a, b)
	}
	if got := migrations.Schema("Team-1.a"); got != "cb_Team-1.a" {
		t.Errorf("schema is %q", got)
	}
}

// A program that is older than the database changes nothing in it.
func TestANewerDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	pool := open(t, url, "")
	if err := migrations.Up(t.Context(), pool, "", quiet); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)`); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Up(t.Context(), pool, "", quiet); !errors.Is(err, migrations.ErrNewer) || !strings.Contains(err.Error(), "99") {
		t.Errorf("Up: %v", err)
	}
}

// What fails leaves nothing behind.
func TestMigrationsAreOneStep(t *testing.T) {
	t.Parallel()
	pool := open(t, testenv.Postgres(t), "")
	if _, err := pool.Exec(t.Context(), `CREATE TABLE system_flushes ()`); err != nil { // in the way of the third
		t.Fatal(err)
	}
	if err := migrations.Up(t.Context(), pool, "", quiet); err == nil || !strings.Contains(err.Error(), "tables with these names") {
		t.Errorf("Up: %v", err)
	}
	var tables int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`).Scan(&tables); err != nil || tables != 1 {
		t.Errorf("%d tables, %v", tables, err)
	}
}
