package devstack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var v T
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

const create = "CREATE TABLE things (n int)"

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestPostgresKeepsItsData(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*Postgres) error{
		"stop": func(p *Postgres) error { return p.Stop(t.Context()) },
		"kill": func(p *Postgres) error { return p.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			first := startPostgres(t, dir)
			execute(t, first.URL(), create)
			execute(t, first.URL(), "INSERT INTO things VALUES (7)")
			// A busy session must not prevent the next start.
			conn, err := pgx.Connect(t.Context(), first.URL())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			if err := end(first); err != nil {
				t.Fatal(err)
			}
			ended(t, first.Done())
			if err := first.Err(); err != nil {
				t.Errorf("an end that was asked for is reported: %v", err)
			}
			second := startPostgres(t, dir)
			if got := query[int](t, second.URL(), "SELECT n FROM things"); got != 7 {
				t.Errorf("a new start reads %d", got)
			}
			addr := second.Addr()
			if err := second.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := query[int](t, second.URL(), "SELECT n FROM things"); got != 7 || second.Addr() != addr {
				t.Errorf("a restart reads %d on %s, before on %s", got, second.Addr(), addr)
			}
		})
	}
}

func TestPostgresFromInitdbIsPrivate(t *testing.T) {
	t.Parallel()
	p, err := StartPostgres(t.Context(), PostgresOptions{Dir: tempDir(t), Settings: map[string]string{"max_connections": "33"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop(t.Context()) }()
	for sql, want := range map[string]string{
		"SELECT current_database()":    "claudebench",
		"SHOW server_encoding":         "UTF8",
		"SHOW max_connections":         "33",
		"SHOW fsync":                   "on",
		"SHOW listen_addresses":        "127.0.0.1",
		"SHOW unix_socket_directories": "",
		"SELECT datcollate FROM pg_database WHERE datname = 'claudebench'":    "C",
		"SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules": "scram-sha-256",
	} {
		if got := query[string](t, p.URL(), sql); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	_, err = pgx.Connect(t.Context(), strings.Replace(p.URL(), p.password, "wrong", 1))
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "28P01" {
		t.Errorf("a wrong password gives %v", err)
	}
	info, err := os.Stat(filepath.Join(p.Dir(), "password"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the password: %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(p.Dir(), "*.pw")); left != nil {
		t.Errorf("initdb's copy of the password is still there: %v", left)
	}
	if p.Note() != "" {
		t.Errorf("the data lies in its folder, and yet: %s", p.Note())
	}
}

func TestPostgresIgnoresAStalePIDFile(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, tempDir(t))
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	// The process ID of the dead server now belongs to another process of the same user.
	stranger := exec.Command("sleep", "600")
	stranger.Dir = "/"
	stranger.SysProcAttr = &syscall.SysProcAttr{Credential: p.cred}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	}()
	file := filepath.Join(p.dataDir, "postmaster.pid")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%d\n%s", stranger.Process.Pid, rest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestPostgresStartFailures(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, tempDir(t))
	var start *StartError
	_, err := StartPostgres(t.Context(), PostgresOptions{
		Dir: tempDir(t), Template: postgresTemplate(t), Settings: map[string]string{"no_such_setting": "1"},
	})
	if !errors.As(err, &start) || !strings.Contains(start.LogTail, "no_such_setting") {
		t.Errorf("a bad setting gives %v, want a StartError with the log", err)
	}
	_, err = StartPostgres(t.Context(), PostgresOptions{Dir: tempDir(t), Template: postgresTemplate(t), Port: p.port})
	if !errors.As(err, &start) || !portTaken(err) {
		t.Errorf("a port that is taken gives %v", err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	if err := os.Rename(filepath.Join(p.dir, "password"), filepath.Join(p.dir, "aside")); err != nil {
		t.Fatal(err)
	}
	if _, err := StartPostgres(t.Context(), PostgresOptions{Dir: p.dir}); err == nil || !strings.Contains(err.Error(), "file with its password is missing") {
		t.Errorf("without the password: %v", err)
	}
	if err := WriteFile(filepath.Join(p.dir, "password"), "another\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := StartPostgres(t.Context(), PostgresOptions{Dir: p.dir}); err == nil || !strings.Contains(err.Error(), "not the password") {
		t.Errorf("with another password: %v", err)
	}

	if err := os.WriteFile(filepath.Join(p.dataDir, "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = StartPostgres(t.Context(), PostgresOptions{Dir: p.dir})
	var version *VersionError
	if !errors.As(err, &version) || version.Data != 9 || version.Found < oldestPostgres {
		t.Errorf("data of another version gives %v", err)
	}
}

// A folder inside one that only root can enter, for example under /root, where `up` keeps its data
// if root starts it.
func TestPostgresGoesWhereItsUserCanReach(t *testing.T) {
	t.Parallel()
	closed := tempDir(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, "state", "postgres")
	p := startPostgres(t, dir)
	if os.Geteuid() != 0 {
		if p.Note() != "" {
			t.Errorf("we can reach our own folder, and yet: %s", p.Note())
		}
		return
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(filepath.Dir(p.dataDir)); err != nil {
			t.Error(err)
		}
	})
	if !strings.Contains(p.Note(), p.dataDir) || !strings.HasPrefix(p.dataDir, outsideBase) {
		t.Errorf("the data is in %s; the note says %q", p.dataDir, p.Note())
	}
	execute(t, p.URL(), create)
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := startPostgres(t, dir)
	if got := query[int](t, again.URL(), "SELECT count(*) FROM things"); got != 0 || again.dataDir != p.dataDir {
		t.Errorf("the second start is in %s, the first was in %s", again.dataDir, p.dataDir)
	}
}

func TestFindPostgres(t *testing.T) {
	bindir, err := FindPostgres()
	if err != nil {
		t.Fatal(err)
	}
	if major, err := majorOf(bindir); err != nil || major < oldestPostgres {
		t.Errorf("%s: %d, %v", bindir, major, err)
	}
	// A link in PATH leads to the folder with the other binaries. Versions that are too old are
	// last.
	dir := tempDir(t)
	for name, text := range map[string]string{"postgres": "#!/bin/sh\necho 'postgres (PostgreSQL) 9.6.1'\n", "initdb": "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	if found, err := FindPostgres(); err != nil || found == dir {
		t.Errorf("an old one in PATH hides a good one: %s, %v", found, err)
	}
	all := postgresInstalls()
	if last := all[len(all)-1]; last.bindir != dir || last.major != 9 {
		t.Errorf("the old one is not last: %v", all)
	}
}
