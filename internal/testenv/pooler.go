package testenv

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/jackc/pgx/v5"
)

// poolerTries is how often a pooler is started, because another process may take its port first.
const poolerTries = 3

// Pooler is a pgbouncer in front of one database. It is ended with the test.
type Pooler struct {
	// URL is the URL of the database through the pooler.
	URL string

	child *Child
	conf  string
}

// StartPooler starts pgbouncer in front of a database. It uses transaction mode and only two
// connections, so that its clients share them all the time. settings are additional lines of its
// section [pgbouncer], for example "ignore_startup_parameters = search_path".
func StartPooler(t testing.TB, database string, settings ...string) *Pooler {
	t.Helper()
	needMain(t)
	target, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := tempDir("pgbouncer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	for try := 1; ; try++ {
		port, err := devstack.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		p := &Pooler{conf: filepath.Join(dir, "pgbouncer.ini")}
		through := *target
		through.Host = "127.0.0.1:" + strconv.Itoa(port)
		p.URL = through.String()
		if err := os.WriteFile(p.conf, []byte(poolerConfig(target, port, settings)), 0o644); err != nil { //nolint:gosec // pgbouncer reads it as another user
			t.Fatal(err)
		}
		err = p.start(t)
		if err == nil {
			return p
		}
		if try == poolerTries {
			t.Fatal(err)
		}
	}
}

func poolerConfig(target *url.URL, port int, settings []string) string {
	password, _ := target.User.Password()
	name := strings.TrimPrefix(target.Path, "/")
	lines := []string{
		"[databases]",
		fmt.Sprintf("%s = host=%s port=%s dbname=%s user=%s password=%s", name, target.Hostname(), target.Port(), name, target.User.Username(), password),
		"[pgbouncer]",
		"listen_addr = 127.0.0.1",
		"listen_port = " + strconv.Itoa(port),
		"unix_socket_dir =",
		"auth_type = any",
		"pool_mode = transaction",
		"default_pool_size = 2",
		"max_client_conn = 200",
	}
	if os.Geteuid() == 0 {
		lines = append(lines, "user = nobody") // it does not run as root
	}
	return strings.Join(append(lines, settings...), "\n") + "\n"
}

// Restart starts the pooler again after Kill, at the same address.
func (p *Pooler) Restart(t testing.TB) {
	t.Helper()
	if err := p.start(t); err != nil {
		t.Fatal(err)
	}
}

// Kill kills the pooler, which breaks all connections.
func (p *Pooler) Kill(t testing.TB) {
	t.Helper()
	if err := p.child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.child.Ended(t)
}

func (p *Pooler) start(t testing.TB) error {
	t.Helper()
	binary, err := findPooler()
	if err != nil {
		fatal(t, err)
	}
	log := &Screen{}
	cmd := exec.Command(binary, p.conf)
	cmd.Stdout, cmd.Stderr = log, log
	p.child = Launch(t, cmd)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, p.URL)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-p.child.Done():
			return fmt.Errorf("pgbouncer ended: %s", log)
		case <-ctx.Done():
			return fmt.Errorf("pgbouncer is not ready: %w\n%s", err, log)
		}
	}
}

// findPooler also looks where packages install pgbouncer, because PATH may not contain that folder.
func findPooler() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer", "/usr/local/bin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("pgbouncer: %w", devstack.ErrNotInstalled)
}
