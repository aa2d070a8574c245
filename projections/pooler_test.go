package projections_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/migrations"
	"github.com/claudebench/claudebench/projections"
)

// withSettings adds settings to a database URL.
func withSettings(t *testing.T, database string, settings ...string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for i := 0; i < len(settings); i += 2 {
		q.Set(settings[i], settings[i+1])
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// followed folds a history through a URL while other clients list tasks. It compares the rows,
// which it reads directly.
func followed(t *testing.T, through, database, namespace, schema string) {
	t.Helper()
	b := bundleOn(t, testenv.Client(t), through, namespace)
	b.db = testenv.SQL(t, database, schema)
	h, _, _, _ := day()
	b.publish(t, h.events...)
	r, stop := b.start(t, "one")
	ctx, enough := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for n := range 6 {
		readers.Go(func() {
			for ctx.Err() == nil {
				query, end := ctx, context.CancelFunc(func() {})
				if n == 0 { // a client that hangs up
					query, end = context.WithTimeout(ctx, time.Millisecond)
				}
				q := api.TaskQuery{Limit: 1 + n, Descending: n%2 == 0}
				if n > 2 {
					q.Statuses = []string{"completed"}
				}
				_, err := b.tasks.List(query, q)
				if err == nil {
					_, err = b.events.List(query, api.EventQuery{Instance: "w1", Limit: 1 + n, Descending: n%2 == 0})
				}
				if err != nil && query.Err() == nil && !errors.Is(err, context.DeadlineExceeded) && !projections.NotMigrated(err) {
					t.Errorf("List: %v", err)
				}
				end()
			}
		})
	}
	for range 10 {
		before := h.seq
		many(h, 50)
		b.publish(t, h.events[before:]...)
	}
	b.caughtUp(t, h.seq)
	enough()
	readers.Wait()
	for _, s := range r.Status(t.Context()) {
		if s.Error != "" || s.Rebuilds != 0 {
			t.Errorf("%+v", s)
		}
	}
	if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	page, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 1})
	if err != nil || len(page.Tasks) != 1 {
		t.Errorf("List: %+v, %v", page, err)
	}
	stop()
	if err := r.Rebuild(t.Context(), "tasks"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
		t.Errorf("rebuilt (-want +got):\n%s", diff)
	}
	if n, err := b.tasks.Flush(t.Context(), "a flush", h.seq); err != nil || n != int64(len(h.wantedRows())) {
		t.Errorf("Flush: %d, %v", n, err)
	}
}

// In transaction mode each transaction may run on another connection to Postgres, whose search_path
// is not ours.
func TestBehindATransactionPooler(t *testing.T) {
	t.Parallel()
	database := testenv.Postgres(t)
	strict := testenv.StartPooler(t, database).URL
	lax := testenv.StartPooler(t, database, "ignore_startup_parameters = search_path, options, extra_float_digits").URL
	admin := testenv.SQL(t, database, "")
	if _, err := admin.Exec(t.Context(), `CREATE SCHEMA "Mine"`); err != nil {
		t.Fatal(err)
	}
	first, second := testenv.Namespace(t), testenv.Namespace(t)
	for name, c := range map[string]struct{ url, namespace, schema string }{
		"a namespace": {strict, first, migrations.Schema(first)},
		"a namespace, and search_path is dropped": {lax, second, migrations.Schema(second)},
		"a schema that the URL names":             {withSettings(t, lax, "search_path", `"Mine"`), "", "Mine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.namespace == "" {
				// All tests share the log of the default namespace, so this test folds without a
				// log.
				b := bundleOn(t, testenv.Client(t), c.url, "")
				b.db = testenv.SQL(t, database, c.schema)
				h := copied()
				if err := b.tasks.Prepare(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := b.tasks.Apply(t.Context(), oneBatch(h.events)); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
					t.Errorf("rows (-want +got):\n%s", diff)
				}
				return
			}
			followed(t, c.url, database, c.namespace, c.schema)
		})
	}
	t.Cleanup(func() {
		var strayed int
		err := testenv.SQL(t, database, "").QueryRow(context.Background(), `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`).Scan(&strayed)
		if err != nil || strayed != 0 {
			t.Errorf("%d tables went into the schema public, %v", strayed, err)
		}
	})
}

// The result does not depend on how a database formats times and texts, whatever mode the URL asks
// for.
func TestSettingsOfADatabaseDoNotMatter(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"", "exec", "simple_protocol", "cache_describe", "describe_exec"} {
		t.Run("mode "+mode, func(t *testing.T) {
			t.Parallel()
			database, namespace := testenv.Postgres(t), testenv.Namespace(t)
			admin := testenv.SQL(t, database, "")
			for name, value := range map[string]string{
				"datestyle": "German, DMY", "timezone": "Asia/Kolkata", "intervalstyle": "sql_standard", "bytea_output": "escape",
				"standard_conforming_strings": "off", "default_transaction_isolation": "serializable", "search_path": "nowhere",
			} {
				if _, err := admin.Exec(t.Context(), fmt.Sprintf(`ALTER DATABASE %q SET %s = '%s'`, admin.Config().ConnConfig.Database, name, value)); err != nil {
					t.Fatal(err)
				}
			}
			admin.Reset()
			through := database
			if mode != "" {
				through = withSettings(t, database, "default_query_exec_mode", mode)
			}
			followed(t, through, database, namespace, migrations.Schema(namespace))
		})
	}
}
