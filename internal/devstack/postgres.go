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

// Names of the role that owns everything and of the database that StartPostgres creates.
const (
	postgresRole     = "claudebench"
	postgresDatabase = "claudebench"
)

// PostgresOptions configure a private Postgres.
type PostgresOptions struct {
	// Dir is the folder of this server: data, log, password. It is created if it does not exist.
	// Required.
	Dir string
	// Port is the port on 127.0.0.1. 0 chooses a free one, which Restart keeps.
	Port int
	// Settings are passed on the server's command line. Names are those of postgresql.conf.
	Settings map[string]string
	// Bindir is the folder of the server's binaries. The default is that of the version that wrote
	// Dir, and for a new Dir that of FindPostgres.
	Bindir string
	// Throwaway gives up protection against crashes of the machine: nothing is synced to disk. A
	// server that is killed still keeps its data.
	Throwaway bool
	// Template is a folder made by CopyPostgres, or the Dir of a stopped server. A new Dir starts
	// as its copy instead of running initdb.
	Template string
	// StartTimeout limits a start, including initdb and recovery. The default is two minutes.
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

// StartPostgres starts a private Postgres. It returns when the server accepts connections and its
// database "claudebench" exists. If root runs the program, the server runs as the user postgres,
// else as nobody. If that user cannot reach Dir, the data is elsewhere, and Note says where.
// Besides the errors of the package, StartPostgres may return that of ctx.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	if opts.Dir == "" {
		return nil, errors.New("start Postgres: PostgresOptions.Dir is required")
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

// open finds or creates the data and starts the server.
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
			return fmt.Errorf("start Postgres: %s is not a Postgres data folder; move it away, or choose another data folder", p.dataDir)
		}
		if _, err := os.Stat(filepath.Join(p.dir, "password")); err != nil {
			return fmt.Errorf("start Postgres: the file with its password is missing; restore it, or remove %s to start with an empty database "+
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
	// We hold the lock that every process of this data folder inherits. So none of them is alive,
	// whatever the file says, and its process ID may belong to another program now.
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
			// Immediate shutdown: nobody needs a checkpoint.
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
		"unix_socket_directories": "", // a socket's folder must have a short path and be private
		"lc_messages":             "C",
	}
	if p.opts.Throwaway {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
		// synchronous_commit stays on: without it, a killed server loses what it confirmed.
	}
	maps.Copy(settings, p.opts.Settings)
	args := []string{"-D", p.dataDir}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// ready connects as a client does. It checks that this server replied, and creates the database if
// it does not exist.
func (p *Postgres) ready(ctx context.Context, _ *child) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.DatabaseURL("postgres"))
	if err != nil {
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "28P01" {
			return false, fmt.Errorf("the password in %s is not the password of its database", p.dir)
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

// URL returns the URL of the database "claudebench", with the password.
func (p *Postgres) URL() string { return p.DatabaseURL(postgresDatabase) }

// DatabaseURL returns the URL of another database of this server.
func (p *Postgres) DatabaseURL(name string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(postgresRole, p.password), Host: p.Addr(), Path: "/" + name, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Addr returns the address as host:port.
func (p *Postgres) Addr() string { return loopback(p.port) }

// Dir returns the server's folder.
func (p *Postgres) Dir() string { return p.dir }

// Note returns a sentence for people if the data is not in Dir, else "".
func (p *Postgres) Note() string {
	if filepath.Dir(p.dataDir) == p.dir {
		return ""
	}
	return fmt.Sprintf("Postgres cannot run as root, and its user cannot access %s. Its data is therefore in %s.", p.dir, p.dataDir)
}

// Done returns a channel that is closed when the current server has ended, whatever the reason. A
// Restart makes a new channel.
func (p *Postgres) Done() <-chan struct{} { return p.child().done }

// Err returns nil while the server runs and after Stop and Kill. Otherwise it says how the server
// ended, with the end of its log.
func (p *Postgres) Err() error { return p.err() }

// Stop ends all sessions and then the server, and waits. If ctx ends first, Stop kills the server
// and the error says so. If the server has ended already, that is not an error.
func (p *Postgres) Stop(ctx context.Context) error {
	p.life.Lock()
	defer p.life.Unlock()
	return p.shutdown(ctx)
}

// Kill ends the postmaster with SIGKILL, and waits for it and its sessions, which notice it.
func (p *Postgres) Kill() error { return p.kill() }

// Restart stops the server if it runs, and starts it with the same port and data.
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
