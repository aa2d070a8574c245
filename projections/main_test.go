package projections_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/migrations"
	"github.com/claudebench/claudebench/projections"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// bundle is the environment of a test: its own namespace with all projections.
type bundle struct {
	namespace string
	space     keys.Space
	database  string
	client    redis.UniversalClient
	scripts   lua.Scripts
	pool      *projections.Pool
	db        *pgxpool.Pool // for the tests' own SQL
	tasks     *projections.Tasks
	events    *projections.Events
	all       []projections.Projection
}

func newBundle(t testing.TB) *bundle {
	t.Helper()
	return bundleOn(t, testenv.Client(t), testenv.Postgres(t), testenv.Namespace(t))
}

func bundleOn(t testing.TB, client redis.UniversalClient, database, namespace string) *bundle {
	t.Helper()
	space, err := keys.New(namespace)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := projections.OpenPool(t.Context(), database, namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b := &bundle{namespace: namespace, database: database, space: space, client: client, scripts: lua.NewRunner(client).On(space.Log()), pool: pool, db: testenv.SQL(t, database, migrations.Schema(namespace))}
	cfg := projections.RedisConfig{Client: client, Scripts: b.scripts, Keys: space}
	b.tasks = projections.NewTasks(projections.PostgresConfig{Pool: pool, Logger: quiet})
	b.events = projections.NewEvents(projections.PostgresConfig{Pool: pool, Logger: quiet})
	b.all = []projections.Projection{projections.NewState(cfg), projections.NewMetrics(cfg), b.tasks, b.events}
	return b
}

var quiet = slog.New(slog.DiscardHandler)

func (b *bundle) prepare(t testing.TB) {
	t.Helper()
	for _, p := range b.all {
		if err := p.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// downgrade undoes every migration after a version, the newest first.
func (b *bundle) downgrade(t testing.TB, to int) {
	t.Helper()
	files, err := filepath.Glob("../migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range slices.Backward(files) { // their names begin with their versions
		number, _, _ := strings.Cut(filepath.Base(file), "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		if version <= to {
			break
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, down, found := strings.Cut(string(text), "-- +goose Down")
		if !found {
			t.Fatalf("%s cannot be undone", file)
		}
		if _, err := b.db.Exec(t.Context(), fmt.Sprintf("%s; DELETE FROM goose_db_version WHERE version_id = %d", down, version)); err != nil {
			t.Fatalf("undo %s: %v", file, err)
		}
	}
	var newest int
	if err := b.db.QueryRow(t.Context(), `SELECT max(version_id) FROM goose_db_version`).Scan(&newest); err != nil || newest != to {
		t.Fatalf("the database has version %d, want %d (%v)", newest, to, err)
	}
}

// apply folds a batch into all projections.
func (b *bundle) apply(t testing.TB, batch events.Batch) {
	t.Helper()
	for _, p := range b.all {
		if err := p.Apply(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

// publish appends events to the log as the scripts do.
func (b *bundle) publish(t testing.TB, list ...events.Envelope) {
	t.Helper()
	if err := publish(t.Context(), b.client, b.space, list); err != nil {
		t.Fatal(err)
	}
}

func publish(ctx context.Context, client redis.UniversalClient, space keys.Space, list []events.Envelope) error {
	for len(list) > 0 {
		n := min(len(list), 5000)
		_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, e := range list[:n] {
				data, err := e.Encode()
				if err != nil {
					return err
				}
				p.XAdd(ctx, &redis.XAddArgs{Stream: space.Events(), ID: e.ID.String(), Values: []any{"data", data}})
			}
			last := list[n-1].ID
			p.HSet(ctx, space.Log(), "seq", last.Seq, "ms", last.MS)
			return nil
		})
		if err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// batches splits events into batches of the sizes that size returns.
func batches(after events.ID, list []events.Envelope, size func() int) []events.Batch {
	var all []events.Batch
	for len(list) > 0 {
		n := min(len(list), size())
		b := events.Batch{After: after}
		for _, e := range list[:n] {
			b.Entries = append(b.Entries, events.Entry{ID: e.ID, Envelope: e})
		}
		after = b.Last()
		all = append(all, b)
		list = list[n:]
	}
	return all
}

func oneBatch(list []events.Envelope) events.Batch {
	return batches(events.ID{}, list, func() int { return len(list) })[0]
}

// views holds everything that the projections wrote, in a form that diffs well.
type views map[string]string

func (b *bundle) views(t testing.TB) views {
	t.Helper()
	ctx := t.Context()
	all := views{}
	for _, key := range append(b.keys(t, "metrics:*"), b.space.State()) {
		fields, err := b.client.HGetAll(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		for field, value := range fields {
			all[key[len(b.space.Prefix()):]+" "+field] = value
		}
	}
	for _, p := range b.all {
		id, err := p.Checkpoint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		all["checkpoint "+p.Name()] = id.String()
	}
	for id, row := range b.rows(t) {
		all["tasks "+id] = row
	}
	for id, row := range b.sessionRows(t) {
		all["sessions "+id] = row
	}
	for seq, row := range b.eventRows(t) {
		all["events "+seq] = row
	}
	return all
}

// sessionRows returns the rows of sessions and of their instances as JSON.
func (b *bundle) sessionRows(t testing.TB) map[string]string {
	t.Helper()
	return b.rowsOf(t, `SELECT id, row_to_json(sessions)::text FROM sessions
		UNION ALL SELECT concat_ws(' ', instance_id, since_seq), row_to_json(session_instances)::text FROM session_instances`)
}

// rowsOf returns what a statement selects: a key and a row.
func (b *bundle) rowsOf(t testing.TB, statement string) map[string]string {
	t.Helper()
	rows, err := b.db.Query(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	var key, row string
	if _, err := pgx.ForEachRow(rows, []any{&key, &row}, func() error {
		all[key] = row
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// eventRows returns the rows of the index of events as JSON by seq.
func (b *bundle) eventRows(t testing.TB) map[string]string {
	t.Helper()
	return b.rowsOf(t, `SELECT seq::text, row_to_json(events)::text FROM events`)
}

// keys returns the namespace's keys that match a pattern.
func (b *bundle) keys(t testing.TB, pattern string) []string {
	t.Helper()
	var found []string
	scan := b.client.Scan(t.Context(), 0, b.space.Prefix()+pattern, 1000).Iterator()
	for scan.Next(t.Context()) {
		found = append(found, scan.Val())
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// rows returns the task rows as JSON by id.
func (b *bundle) rows(t testing.TB) map[string]string {
	t.Helper()
	return b.rowsOf(t, `SELECT id, row_to_json(tasks)::text FROM tasks`)
}

func (b *bundle) state(t testing.TB) map[string]string {
	t.Helper()
	fields, err := b.client.HGetAll(t.Context(), b.space.State()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

func (b *bundle) metrics(t testing.TB, name string) map[string]string {
	t.Helper()
	fields, err := b.client.HGetAll(t.Context(), b.space.Metrics(name)).Result()
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

// want compares some fields of a hash; "" means that the field must not exist.
func want(t testing.TB, what string, got map[string]string, fields map[string]string) {
	t.Helper()
	for field, value := range fields {
		if got[field] != value {
			t.Errorf("%s %s is %q, want %q", what, field, got[field], value)
		}
	}
}

// caughtUp waits until every projection has applied seq.
func (b *bundle) caughtUp(t testing.TB, seq int64) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		for _, p := range b.all {
			if at, err := p.Checkpoint(t.Context()); err != nil || at.Seq != seq {
				return false, fmt.Sprintf("%s is at %s, want seq %d (%v)", p.Name(), at, seq, err)
			}
		}
		return true, ""
	})
}
