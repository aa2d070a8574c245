package testenv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

var sharedPostgres = shared[*devstack.Postgres]{start: startPostgres}

// Postgres returns the URL of a new database on the test binary's shared server. The database is
// dropped when the test ends, even if clients are still connected.
func Postgres(t testing.TB) string {
	t.Helper()
	server := sharedPostgres.get(t)
	name := Namespace(t)
	// template0, because template1 cannot be copied while a session is connected to it.
	if err := execute(server, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatalf("create the test's database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return server.DatabaseURL(name)
}

// SQL returns a pool of connections to a database, for a test's own statements on the tables of a
// schema. With "" the server chooses the schema. The pool is closed when the test ends.
func SQL(t testing.TB, url, schema string) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	if schema != "" {
		cfg.ConnConfig.RuntimeParams["search_path"] = pgx.Identifier{schema}.Sanitize()
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// OwnPostgres starts a Postgres that the test may stop, kill and restart. It keeps its data when it
// is killed. The server and its folder are removed when the test ends.
func OwnPostgres(t testing.TB) *devstack.Postgres {
	t.Helper()
	needMain(t)
	p, err := startPostgres()
	if err != nil {
		fatal(t, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
		removeAll(t, p.Dir())
	})
	return p
}

func execute(server *devstack.Postgres, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.DatabaseURL("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

func startPostgres() (*devstack.Postgres, error) {
	template, err := postgresTemplate()
	if err != nil {
		return nil, err
	}
	dir, err := tempDir("postgres")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return devstack.StartPostgres(ctx, devstack.PostgresOptions{
		Dir: dir, Template: template, Throwaway: true,
		// Small, because several test binaries run at the same time.
		Settings: map[string]string{"shared_buffers": "32MB", "max_connections": "200"},
	})
}

// postgresTemplate returns a folder with an initialised server. The folder is kept between runs,
// because initdb takes longer than most tests. Of several test binaries that create it at the same
// time, the first one moves its folder into place, and the others use that.
func postgresTemplate() (string, error) {
	bindir, err := devstack.FindPostgres()
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	// An upgrade changes the folder of the binaries, or at least their modification time.
	binary, err := os.Stat(filepath.Join(bindir, "postgres"))
	if err != nil {
		return "", fmt.Errorf("look at Postgres: %w", err)
	}
	place := filepath.Join(cache, fmt.Sprintf("postgres%s-%d", strings.NewReplacer("/", "-", " ", "-").Replace(bindir), binary.ModTime().Unix()))
	if _, err := os.Stat(place); err == nil {
		return place, nil
	}

	dir, err := tempDir("template")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	p, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: dir, Bindir: bindir, Throwaway: true})
	if err != nil {
		return "", err
	}
	if err := p.Stop(ctx); err != nil {
		return "", err
	}
	// The cache may be on another disk, and a rename works only on the same disk.
	fresh, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return "", fmt.Errorf("keep the Postgres template: %w", err)
	}
	defer os.RemoveAll(fresh)
	if err := devstack.CopyPostgres(p.Dir(), fresh); err != nil {
		return "", err
	}
	if err := os.Rename(fresh, place); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return "", fmt.Errorf("keep the Postgres template: %w", err)
	}
	return place, nil
}

// cacheDir returns the folder for templates. It must belong to this user, because templates contain
// their password.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil { // no HOME
		base = os.TempDir()
	}
	dir := filepath.Join(base, fmt.Sprintf("claudebench-testenv-%d", os.Geteuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the tests' cache: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("make the tests' cache: %w", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s, the tests' cache, must be a folder that is ours alone: remove it", dir)
	}
	return dir, nil
}
