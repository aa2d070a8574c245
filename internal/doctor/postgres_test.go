package doctor

import (
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/migrations"
	"github.com/claudebench/claudebench/projections"
)

// withPostgres gives the patient a database, and returns its URL.
func (p *patient) withPostgres(t *testing.T) string {
	t.Helper()
	url := testenv.Postgres(t)
	p.Postgres = p.open(t, url)
	return url
}

func (p *patient) open(t *testing.T, url string) *projections.Pool {
	t.Helper()
	pool, err := projections.OpenPool(t.Context(), url, p.Keys.Namespace())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func (p *patient) sql(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := p.Postgres.Exec(t.Context(), strings.ReplaceAll(s, "{schema}", migrations.Schema(p.Keys.Namespace()))); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (p *patient) migrate(t *testing.T) {
	t.Helper()
	if err := migrations.Up(t.Context(), p.Postgres.Pool, migrations.Schema(p.Keys.Namespace()), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.expect("postgres", Skipped, "no coordinator uses Postgres")
	p.do("SET", p.Keys.Lease("tasks"), "c")
	p.expect("postgres", Unknown, "doctor does not know where")
	database := p.withPostgres(t)
	p.expect("postgres", Warn, "does not protect its files") // the tests' Postgres does not
	safe := projections.Settings{Version: "16.1 (Debian 16.1-1)", Fsync: "on", FullPageWrites: "on"}
	expect(t, judgePostgres(safe), OK, "Postgres 16.1")
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	p.sql(t, "ALTER DATABASE "+strings.TrimPrefix(u.Path, "/")+" SET default_transaction_read_only = on")
	p.Postgres.Reset() // new connections have the new default
	if found := p.check("postgres"); len(found) != 2 || found[1].Level != Fail || !strings.Contains(found[1].Text, "accepts no writes") {
		t.Errorf("a read-only database: %+v", found)
	}
	expect(t, judgePostgres(projections.Settings{Version: "13.9 (Debian 13.9-1)", Fsync: "on", FullPageWrites: "on"}), Fail, "Postgres 13.9 is too old")
	expect(t, judgePostgres(projections.Settings{Version: "16.1", Fsync: "on", FullPageWrites: "on", Recovering: true}), Fail, "read-only standby")
	p.Postgres = p.open(t, "postgres://127.0.0.1:1/nowhere")
	p.expect("postgres", Fail, "Postgres does not reply")
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.expect("migrations", Skipped, "no --database-url")
	p.withPostgres(t)
	p.expect("migrations", Fail, "no tables of this fleet")
	p.migrate(t)
	p.expect("migrations", OK, "as this version needs it")
	p.sql(t, `DELETE FROM {schema}.goose_db_version WHERE version_id = 12`)
	p.expect("migrations", Warn, "00012_task_extras.sql")
	p.sql(t, `INSERT INTO {schema}.goose_db_version (version_id, is_applied) VALUES (12, true), (9999, true)`)
	p.expect("migrations", Fail, "it has schema version 9999")
	p.Postgres = p.open(t, "postgres://127.0.0.1:1/nowhere")
	p.expect("migrations", Unknown, "does not reply")
}

// The views in Postgres have lags like the others.
func TestProjectionsIntoPostgres(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.withPostgres(t)
	first, last := p.events(1, 2*time.Hour), p.events(1, time.Hour)
	p.do("HSET", p.Keys.State(), "checkpoint", last.String())
	p.do("SET", p.Keys.Checkpoint("metrics"), last.String())
	if found := p.check("projections"); len(found) != 2 || found[0].Level != Unknown || !strings.Contains(found[0].Text, "no tables") {
		t.Errorf("before a coordinator has migrated the database: %+v", found)
	}
	p.migrate(t)
	checkpoint := func(name, id string) {
		t.Helper()
		p.sql(t, `INSERT INTO {schema}.projection_checkpoints (name, id, seq, at) VALUES ('`+name+`', '`+id+`', 1, now())
			ON CONFLICT (name) DO UPDATE SET id = excluded.id`)
	}
	checkpoint("tasks", last.String())
	p.expect("projections", OK, "state, metrics, tasks: up to date")
	checkpoint("events", last.String())
	p.expect("projections", OK, "state, metrics, tasks, events: up to date")
	checkpoint("tasks", first.String())
	if found := p.check("projections"); len(found) != 2 || found[0].Level != Fail || !strings.HasPrefix(found[0].Text, "tasks: 1 event behind the log, for 60 minutes") {
		t.Errorf("a task view that is behind: %+v", found)
	}
	p.Postgres = p.open(t, "postgres://127.0.0.1:1/nowhere")
	if found := p.check("projections"); len(found) != 2 || found[0].Level != Unknown || found[1].Level != OK {
		t.Errorf("without Postgres: %+v", found)
	}
}

// withUser returns a database URL for another user.
func withUser(t *testing.T, database, name string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, "sesame")
	return u.String()
}
