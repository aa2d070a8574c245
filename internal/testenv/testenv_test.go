package testenv_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestRedisIsSharedAndNamespacesDiffer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	a, b := testenv.Namespace(t), testenv.Namespace(t)
	if a == b {
		t.Fatalf("two namespaces are both %s", a)
	}
	if err := testenv.Client(t).Set(ctx, a, "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if got := testenv.Client(t).Get(ctx, a).Val(); got != "1" {
		t.Errorf("a second client reads %q, want 1: is it another server?", got)
	}
	if got := testenv.Client(t).ConfigGet(ctx, "maxmemory-policy").Val()["maxmemory-policy"]; got != "noeviction" {
		t.Errorf("maxmemory-policy is %q", got)
	}
}

func TestEmbeddedClient(t *testing.T) {
	t.Parallel()
	c := testenv.EmbeddedClient(t)
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n := testenv.EmbeddedClient(t).Exists(t.Context(), "k").Val(); n != 0 {
		t.Error("two embedded servers share their keys")
	}
}

func TestPostgresGivesEachTestAFreshDatabase(t *testing.T) {
	t.Parallel()
	outer := t
	var first, second string
	t.Run("first", func(t *testing.T) {
		first = testenv.Postgres(t)
		query(t, first, "CREATE TABLE things ()")
		// An open connection must not prevent dropping the database.
		conn, err := pgx.Connect(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		outer.Cleanup(func() { conn.Close(context.Background()) })
	})
	t.Run("second", func(t *testing.T) {
		second = testenv.Postgres(t)
		query(t, second, "CREATE TABLE things ()")
	})
	if first == second {
		t.Error("two tests share a database")
	}
	if conn, err := pgx.Connect(t.Context(), first); err == nil {
		conn.Close(t.Context())
		t.Error("the database outlives its test")
	}
}

func TestOwnServersSurviveAKill(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var dir string
	t.Run("redis", func(t *testing.T) {
		r := testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
		dir = r.Dir()
		rdb := testenv.ClientOf(t, r)
		if err := rdb.Set(ctx, "k", "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := r.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, 5*time.Second, func() (bool, string) {
			got, err := rdb.Get(ctx, "k").Result()
			return got == "v", "GET answers " + got + ", " + errText(err)
		})
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the server's folder is still there: %v", err)
	}
	t.Run("postgres", func(t *testing.T) {
		p := testenv.OwnPostgres(t)
		query(t, p.URL(), "CREATE TABLE things ()")
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := p.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		query(t, p.URL(), "SELECT FROM things")
	})
}

func query(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func errText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}
