// Package migrations holds the SQL that makes the task views' tables, and brings a database up to date
// with it. The tasks projection calls Up before its first batch, and again whenever Postgres was away,
// so that a database may be created, emptied or restored at any time.
//
// Each namespace has a Postgres schema of its own, the default one whatever schema the connection
// chooses by itself (public, as a rule). When Postgres is away Up fails with the connection's error and
// has changed nothing, or only whole migrations; it can be called again.
package migrations

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// maxIdentifier is the longest name that Postgres keeps whole, in bytes.
const maxIdentifier = 63

// lockPeriod and lockTries bound, in seconds, how long one coordinator waits for another that migrates.
const (
	lockPeriod = 1
	lockTries  = 300
)

// Schema is the Postgres schema of a namespace: "" for the default namespace, which lives in whatever
// schema its connections choose by themselves.
func Schema(namespace string) string {
	if namespace == "" {
		return ""
	}
	name := "cb_" + namespace
	if len(name) <= maxIdentifier {
		return name
	}
	// Postgres would cut the name off in silence, and two namespaces might then share a schema.
	sum := sha256.Sum256([]byte(namespace))
	return name[:40] + "_" + hex.EncodeToString(sum[:8])
}

// Up creates the schema, when one is named, and applies every migration that is missing. Any number of
// coordinators may call it at once: an advisory lock lets one migrate while the others wait. The pool's
// connections must have the schema as their search_path.
func Up(ctx context.Context, pool *pgxpool.Pool, schema string, log *slog.Logger) error {
	if err := createSchema(ctx, pool, schema); err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockPeriod, lockTries))
	if err != nil {
		return fmt.Errorf("prepare the migrations' lock: %w", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithSlog(log), goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(goose.NewGoMigration(6, &goose.GoFunc{RunTx: makeReadable}, nil)))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bring the database up to date: %w%s", err, advice(err, schema))
	}
	return nil
}

// createSchema is not a migration, because the migrations' own table lies in the schema.
func createSchema(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	if schema == "" {
		return nil
	}
	_, err := pool.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
	if err == nil || sqlState(err) == "23505" { // two at once: IF NOT EXISTS does not cover that
		return nil
	}
	return fmt.Errorf("create the schema %s: %w%s", schema, err, advice(err, schema))
}

// advice says what a person can do about an error of Postgres.
func advice(err error, schema string) string {
	where := "the database"
	if schema != "" {
		where = "schema " + schema
	}
	switch sqlState(err) {
	case "42501":
		return " (let the user of --database-url create tables: GRANT CREATE ON " + where + ")"
	case "3D000":
		return " (create the database of --database-url first: createdb)"
	case "3F000":
		return " (the search_path of --database-url names no schema that exists)"
	case "28P01", "28000":
		return " (check user and password in --database-url)"
	case "25006":
		return " (--database-url leads to a read-only server: name the primary)"
	case "42P07", "42710":
		return " (" + where + " holds tables of these names from elsewhere: use an empty database, or a --namespace)"
	}
	return ""
}

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
