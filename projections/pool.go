package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claudebench/claudebench/migrations"
)

// Pool is a pool of connections to Postgres that knows the schema of the namespace's tables. Its
// statements name the schema, so they do not depend on a connection's search_path: a pooler may
// drop it, or give the connection to another client between two transactions.
type Pool struct {
	*pgxpool.Pool
	schema    string // "" for the server's default
	qualifier string // prefix of table names: the quoted schema and a dot, and prefix
	prefix    string // "" for the live tables, else that of a second place
	mustExist bool   // the URL names the schema, so it is not created
	pooled    atomic.Int32
}

// OpenPool opens a pool for a namespace. It does not connect yet: an error means that the URL is
// invalid.
func OpenPool(ctx context.Context, url, namespace string) (*Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil || misread(cfg) {
		return nil, unreadable(url, err)
	}
	p := &Pool{schema: migrations.Schema(namespace)}
	settings := cfg.ConnConfig.RuntimeParams
	switch path := settings["search_path"]; {
	case path == "":
	case p.schema != "":
		return nil, errors.New("the database URL sets search_path, but the namespace decides the schema; remove one of them")
	default:
		if p.schema = soleSchema(path); p.schema != "" {
			p.mustExist = true
			delete(settings, "search_path") // poolers reject or drop it
		}
	}
	if p.schema != "" {
		p.qualifier = pgx.Identifier{p.schema}.Sanitize() + "."
	}
	if settings["application_name"] == "" {
		settings["application_name"] = "claudebench"
	}
	switch cfg.ConnConfig.DefaultQueryExecMode {
	case pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol:
		// These modes of the URL read times as text, and pgx knows only one style.
		settings["datestyle"], settings["standard_conforming_strings"] = "ISO", "on"
	case pgx.QueryExecModeCacheStatement:
		cfg.BeforeConnect = p.suitPooler
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = maxConnect
	}
	if p.Pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return p, nil
}

// migrate migrates the schema to the current version.
func (p *Pool) migrate(ctx context.Context, log *slog.Logger) error {
	if p.mustExist {
		var exists bool
		if err := p.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, p.schema).Scan(&exists); err != nil {
			return fmt.Errorf("find the schema of the database URL: %w", err)
		}
		if !exists {
			return fmt.Errorf("the search_path of the database URL names the schema %q, which does not exist; create it first", p.schema)
		}
	}
	return migrations.Up(ctx, p.Pool, p.schema, log)
}

// ErrBusy is wrapped by the errors of reads that timed out while every connection of the pool was
// in use. Postgres did not get the query.
var ErrBusy = errors.New("every connection of the pool is in use")

// acquire waits for a connection. Its error distinguishes a wait in our own queue from a Postgres
// that does not reply.
func (p *Pool) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := p.Acquire(ctx)
	if err != nil && ctx.Err() != nil {
		if s := p.Stat(); s.AcquiredConns() == s.MaxConns() {
			return nil, fmt.Errorf("%w: %w", ErrBusy, err)
		}
	}
	return conn, err
}

// queryRow reads one row into the pointers in to.
func (p *Pool) queryRow(ctx context.Context, statement string, args []any, to ...any) error {
	conn, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return conn.QueryRow(ctx, p.sql(statement), args...).Scan(to...)
}

// table returns the qualified name of a table.
func (p *Pool) table(name string) pgx.Identifier {
	if p.schema == "" {
		return pgx.Identifier{p.prefix + name}
	}
	return pgx.Identifier{p.schema, p.prefix + name}
}

// sql returns a statement with qualified table names: it replaces {schema} before each of them.
func (p *Pool) sql(statement string) string {
	return strings.ReplaceAll(statement, "{schema}", p.qualifier)
}

var (
	plainSchema  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*$`)
	quotedSchema = regexp.MustCompile(`^"([^"]+)"$`)
)

// soleSchema returns the schema that a search_path names. It returns "" if the path names several
// schemas, or one that depends on the user.
func soleSchema(searchPath string) string {
	searchPath = strings.TrimSpace(searchPath)
	if m := quotedSchema.FindStringSubmatch(searchPath); m != nil && m[1] != "$user" {
		return m[1]
	}
	if plainSchema.MatchString(searchPath) {
		return strings.ToLower(searchPath) // as Postgres folds it
	}
	return ""
}

// Whether a pooler is in front of Postgres.
const (
	unknownWhether int32 = iota
	direct
	behindPooler
)

// suitPooler disables named prepared statements on connections through a pooler. In transaction
// mode the pooler may run each transaction on another of its connections, which does not know a
// statement prepared elsewhere, or knows another one of that name. Postgres then parses each
// statement at each use, as an unnamed one; pgx still caches their descriptions.
func (p *Pool) suitPooler(ctx context.Context, cfg *pgx.ConnConfig) error {
	if p.pooled.Load() == unknownWhether {
		pooled, err := throughPooler(ctx, cfg)
		if err != nil {
			return err
		}
		p.pooled.Store(direct)
		if pooled {
			p.pooled.Store(behindPooler)
		}
	}
	if p.pooled.Load() == behindPooler {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	return nil
}

// throughPooler reports whether connections go through a pooler. It opens its own connection to
// find out: poolers send their clients an invented process id for cancel requests, and it differs
// from the id of the server process that runs queries.
func throughPooler(ctx context.Context, cfg *pgx.ConnConfig) (bool, error) {
	conn, err := pgconn.ConnectConfig(ctx, cfg.Config.Copy())
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	results, err := conn.Exec(ctx, `SELECT pg_backend_pid()`).ReadAll()
	if err != nil {
		return false, fmt.Errorf("ask Postgres for its process: %w", err)
	}
	pid, err := strconv.ParseUint(string(results[0].Rows[0][0]), 10, 32)
	if err != nil {
		return false, fmt.Errorf("ask Postgres for its process: %w", err)
	}
	return uint32(pid) != conn.PID(), nil
}

// Pooled reports whether err means that Postgres does not know a prepared statement, or knows
// another one of that name. A pooler in transaction mode was then put in front since the connection
// was opened.
func Pooled(err error) bool {
	var answered *pgconn.PgError
	return errors.As(err, &answered) && (answered.Code == "42P05" || answered.Code == "26000")
}

// misread reports whether the URL probably contains a password that is not percent-encoded. The
// URL's parts are then in the wrong places, and the server's errors would reveal them.
func misread(cfg *pgxpool.Config) bool {
	for name := range cfg.ConnConfig.RuntimeParams {
		if strings.Contains(name, "@") {
			return true
		}
	}
	return strings.Contains(cfg.ConnConfig.Database, "@")
}

// unreadable describes what is wrong with a URL, but only if the description cannot contain a
// password: in a URL that does not parse, any part may be the password.
func unreadable(url string, err error) error {
	if err != nil && !strings.Contains(url, "@") && !strings.Contains(url, "password") {
		return fmt.Errorf("read the database URL: %w", err)
	}
	return errors.New("read the database URL: it is not of the form postgres://user:password@host:port/database?sslmode=…; " +
		"in a password, write / ? # @ : and % as %2F, %3F, %23, %40, %3A and %25, or set the password in PGPASSWORD")
}

// maxConnect bounds one attempt to connect if the URL has no connect_timeout, so that callers fail
// soon when the database is unreachable.
const maxConnect = 3 * time.Second
