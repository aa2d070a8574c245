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

// Pool is a pool of connections to Postgres that knows in which schema the namespace's tables are.
// Its statements name the schema, so that it does not matter what becomes of a connection's
// search_path: a pooler may drop it, or hand the connection to somebody else between two
// transactions.
type Pool struct {
	*pgxpool.Pool
	schema    string // "" for the one that the server chooses
	qualifier string // what stands before a table's name: the schema, quoted, and a dot
	mustExist bool   // the URL names the schema, so nobody creates it
	pooled    atomic.Int32
}

// OpenPool opens connections for a namespace. It does not connect yet: an error is a mistake in the
// URL.
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
		return nil, errors.New("the database URL sets search_path, and the namespace decides the schema: leave one of them out")
	default:
		if p.schema = soleSchema(path); p.schema != "" {
			p.mustExist = true
			delete(settings, "search_path") // poolers refuse it, or drop it
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
		// These modes of the URL read times as text, which pgx knows in one style only.
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

// migrate brings the schema up to date.
func (p *Pool) migrate(ctx context.Context, log *slog.Logger) error {
	if p.mustExist {
		var exists bool
		if err := p.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, p.schema).Scan(&exists); err != nil {
			return fmt.Errorf("look for the schema of the database URL: %w", err)
		}
		if !exists {
			return fmt.Errorf("the search_path of the database URL names the schema %q, which does not exist: create it first", p.schema)
		}
	}
	return migrations.Up(ctx, p.Pool, p.schema, log)
}

// ErrBusy is wrapped by errors of reads that ran out of time while every connection of the pool was
// in use. Postgres was not asked.
var ErrBusy = errors.New("every connection of the pool is in use")

// acquire waits for a connection. Its error tells a wait in our own queue from a Postgres that does
// not answer.
func (p *Pool) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := p.Acquire(ctx)
	if err != nil && ctx.Err() != nil {
		if s := p.Stat(); s.AcquiredConns() == s.MaxConns() {
			return nil, fmt.Errorf("%w: %w", ErrBusy, err)
		}
	}
	return conn, err
}

// queryRow reads one row into what to points at.
func (p *Pool) queryRow(ctx context.Context, statement string, args []any, to ...any) error {
	conn, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return conn.QueryRow(ctx, p.sql(statement), args...).Scan(to...)
}

// sql is a statement with its tables' names qualified: {schema} stands before each of them.
func (p *Pool) sql(statement string) string {
	return strings.ReplaceAll(statement, "{schema}", p.qualifier)
}

var (
	plainSchema  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*$`)
	quotedSchema = regexp.MustCompile(`^"([^"]+)"$`)
)

// soleSchema returns the schema that a search_path names; "" if it names several, or one that
// depends on the user.
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

// Whether a pooler stands before Postgres.
const (
	unknownWhether int32 = iota
	direct
	behindPooler
)

// suitPooler keeps named prepared statements off connections through a pooler. In transaction mode
// the pooler hands each transaction to any of its own connections, which know nothing of a
// statement prepared on another, or know another of that name. Statements are then parsed at each
// use, as unnamed ones; their descriptions stay cached.
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

// throughPooler reports whether a connection goes through a pooler, by a connection of its own.
// Poolers give their clients a made-up process id, by which a query is cancelled; the one that
// answers queries has another.
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

// Pooled reports whether Postgres does not know a prepared statement, or knows another: a pooler in
// transaction mode has come between since the connection was made.
func Pooled(err error) bool {
	var answered *pgconn.PgError
	return errors.As(err, &answered) && (answered.Code == "42P05" || answered.Code == "26000")
}

// misread tells a URL in which a password was not encoded, so that its parts stand where others
// belong: the server's errors would tell them.
func misread(cfg *pgxpool.Config) bool {
	for name := range cfg.ConnConfig.RuntimeParams {
		if strings.Contains(name, "@") {
			return true
		}
	}
	return strings.Contains(cfg.ConnConfig.Database, "@")
}

// unreadable says what is wrong with a URL, but only where it cannot hold a password: nobody can
// tell which part of what cannot be read is the password.
func unreadable(url string, err error) error {
	if err != nil && !strings.Contains(url, "@") && !strings.Contains(url, "password") {
		return fmt.Errorf("read the database URL: %w", err)
	}
	return errors.New("read the database URL: it is not of the form postgres://user:password@host:port/database?sslmode=… " +
		"(in a password, letters such as / ? # @ : and % are written %2F, %3F, %23, %40, %3A and %25; or give it as PGPASSWORD)")
}

// maxConnect bounds one attempt to connect where the URL has no connect_timeout, so that callers of
// a database that is gone are told soon.
const maxConnect = 3 * time.Second
