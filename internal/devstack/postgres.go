package devstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Both the role that owns everything and the database that StartPostgres makes sure of.
const (
	postgresRole     = "claudebench"
	postgresDatabase = "claudebench"
)

// PostgresOptions describe a private Postgres.
type PostgresOptions struct {
	// Dir holds everything of this server: data, log, password. It is created if it is not there.
	// Required.
	Dir string
	// Port on 127.0.0.1; 0 takes a free one, which Restart keeps.
	Port int
	// Settings are put on the server's command line, as in postgresql.conf.
	Settings map[string]string
	// Bindir is the folder of the server's binaries; empty takes those of the version that wrote
	// Dir, and for a new Dir what FindPostgres finds.
	Bindir string
	// Throwaway gives up what only matters when the machine itself goes down: nothing is synced to
	// disk. A server that is killed still keeps its data.
	Throwaway bool
	// Template is a folder made by CopyPostgres, or the Dir of a server that is stopped, which a
	// new Dir starts as a copy of, instead of by initdb.
	Template string
	// StartTimeout bounds a start, initdb and recovery included; two minutes if 0.
	StartTimeout time.Duration
}

// Postgres is a private server, a child of this process.
type Postgres struct {
	server
	opts     PostgresOptions
	install  install
	cred     *syscall.Credential
	dataDir  string
	port     int
	password string
}

// StartPostgres starts a private Postgres and returns when it answers and its database
// "claudebench" is there. For root it runs as the user postgres, else nobody; when that user cannot
// reach Dir, the data lies elsewhere, and Note says where. Beside the errors of the package it may
// return ctx's.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	if opts.Dir == "" {
		return nil, errors.New("start Postgres: no folder was given")
	}
	if opts.StartTimeout == 0 {
		opts.StartTimeout = defaultStartTimeout
	}
	dir, err := realDir(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("start Postgres: %w", err)
	}
	// SIGINT is Postgres's fast shutdown: it ends sessions and writes a checkpoint.
	p := &Postgres{server: server{name: "Postgres", dir: dir, stop: syscall.SIGINT}, opts: opts, port: opts.Port}
	p.life.Lock()
	defer p.life.Unlock()
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// open finds or creates the data, then starts.
func (p *Postgres) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.opts.StartTimeout)
	defer cancel()
	lock, err := p.lock(ctx)
	if err != nil {
		return fmt.Errorf("start Postgres: %w", err)
	}
	defer lock.Close()
	if p.dataDir, err = findData(p.dir); err != nil {
		return err
	}
	major := 0
	if p.dataDir != "" {
		if major, err = dataVersion(p.dataDir); err != nil {
			return err
		}
		if major == 0 {
			return fmt.Errorf("start Postgres: %s is not a Postgres data folder: move it away, or choose another folder", p.dataDir)
		}
		if _, err := os.Stat(filepath.Join(p.dir, "password")); err != nil {
			return fmt.Errorf("start Postgres: the password of its data is gone: put it back, or remove %s to start with an empty one "+
				"(the task views are rebuilt from the log): %w", filepath.Join(p.dir, "data"), err)
		}
	}
	if p.install, err = choosePostgres(p.dataDir, major, p.opts.Bindir); err != nil {
		return err
	}
	if p.cred, err = postgresUser(p.dataDir); err != nil {
		return err
	}
	if major == 0 {
		if err := p.create(ctx, lock); err != nil {
			return err
		}
		if p.dataDir, err = findData(p.dir); err != nil {
			return err
		}
	}
	if p.password, err = password(p.dir); err != nil {
		return err
	}
	return p.start(ctx, lock)
}

func (p *Postgres) start(ctx context.Context, lock *os.File) error {
	// We hold the lock that every process of this data folder inherits, so whatever the file says,
	// no such process lives; its id may belong to a stranger by now.
	if err := os.Remove(filepath.Join(p.dataDir, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the stale postmaster.pid: %w", err)
	}
	chosen := p.port
	for try := 1; ; try++ {
		if chosen == 0 {
			var err error
			if p.port, err = FreePort(); err != nil {
				return err
			}
		}
		err := p.launch(ctx, command{
			path: filepath.Join(p.install.bindir, "postgres"), args: p.args(), dir: p.dataDir, lock: lock, cred: p.cred,
			// The immediate shutdown: a checkpoint for nobody would only take time.
			orphan: syscall.SIGQUIT,
		}, p.ready)
		if err == nil {
			return nil
		}
		if chosen != 0 || try == portTries || !portTaken(err) {
			p.port = chosen
			return err
		}
	}
}

func (p *Postgres) args() []string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(p.port),
		"unix_socket_directories": "", // its folder would have to be short, and closed to others
		"lc_messages":             "C",
	}
	if p.opts.Throwaway {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
		// Not synchronous_commit: without it, a killed server forgets what it confirmed.
	}
	maps.Copy(settings, p.opts.Settings)
	args := []string{"-D", p.dataDir}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// ready connects as a user would, ensures that it is this server that answered, and that the
// database is there.
func (p *Postgres) ready(ctx context.Context, _ *child) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.DatabaseURL("postgres"))
	if err != nil {
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "28P01" {
			return false, fmt.Errorf("the password in %s is not the one that its data has", p.dir)
		}
		return false, nil
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var dataDir string
	var exists bool
	err = conn.QueryRow(ctx, `SELECT current_setting('data_directory'), EXISTS (SELECT FROM pg_database WHERE datname = $1)`,
		postgresDatabase).Scan(&dataDir, &exists)
	if err != nil || dataDir != p.dataDir {
		return false, nil
	}
	if exists {
		return true, nil
	}
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+postgresDatabase); err != nil {
		return false, fmt.Errorf("create the database: %w", err)
	}
	return true, nil
}

// URL leads to the database "claudebench", with the password.
func (p *Postgres) URL() string { return p.DatabaseURL(postgresDatabase) }

// DatabaseURL leads to another database of this server.
func (p *Postgres) DatabaseURL(name string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(postgresRole, p.password), Host: p.Addr(), Path: "/" + name, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Addr is host:port.
func (p *Postgres) Addr() string { return loopback(p.port) }

// Dir is the server's folder.
func (p *Postgres) Dir() string { return p.dir }

// Note is a sentence for people when the data does not lie in Dir, else empty.
func (p *Postgres) Note() string {
	if filepath.Dir(p.dataDir) == p.dir {
		return ""
	}
	return fmt.Sprintf("Postgres does not run as root, and its user cannot reach %s: its data is in %s.", p.dir, p.dataDir)
}

// Done is closed when the server that runs now has ended, whatever the reason. After a Restart
// there is a new channel.
func (p *Postgres) Done() <-chan struct{} { return p.child().done }

// Err is nil while the server runs and after Stop and Kill; otherwise it says how the server ended,
// with the end of its log.
func (p *Postgres) Err() error { return p.err() }

// Stop ends all sessions and then the server, and waits. When ctx ends first, the server is killed
// and the error says so. A server that has ended already is no error.
func (p *Postgres) Stop(ctx context.Context) error {
	p.life.Lock()
	defer p.life.Unlock()
	return p.shutdown(ctx)
}

// Kill ends the postmaster by SIGKILL and waits for it. Its sessions end by themselves a moment
// later; Restart waits for that.
func (p *Postgres) Kill() error { return p.kill() }

// Restart stops the server if it runs, and starts it on the same port and data.
func (p *Postgres) Restart(ctx context.Context) error {
	p.life.Lock()
	defer p.life.Unlock()
	if err := p.shutdown(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.opts.StartTimeout)
	defer cancel()
	lock, err := p.lock(ctx)
	if err != nil {
		return fmt.Errorf("start Postgres: %w", err)
	}
	defer lock.Close()
	return p.start(ctx, lock)
}
