package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/redisconn"
)

// bindStores adds the flags of a tool that reads the stores themselves.
func bindStores(cmd *cobra.Command, cfg *config.Config) {
	cfg.BindStores(cmd.Flags())
	cfg.BindDataDir(cmd.Flags())
	// With --redis-url the data folder would not be looked at.
	cmd.MarkFlagsMutuallyExclusive("redis-url", "data-dir")
	cmd.Long += `

Without --redis-url it looks at what 'claudebench up' runs in the data folder.`
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return explain(run(cmd, args), cfg.RedisURL) }
}

// explain adds to an error of Redis what to do about it.
func explain(err error, redisURL string) error {
	var postgres *pgconn.ConnectError
	if errors.As(err, &postgres) {
		return err
	}
	if explained := redisconn.Explain(err, redisURL); explained != err { //nolint:errorlint // it is the same when there is nothing to add
		return unavailableError(explained)
	}
	return err
}

// openStores connects to the configured Redis, else to the one that `up` runs, and fills in the
// Postgres that belongs to it. It returns the keys of the namespace with the client. It refuses a log that is newer than this program.
func openStores(ctx context.Context, cfg *config.Config) (redis.UniversalClient, keys.Space, error) {
	if cfg.RedisURL == "" {
		running, err := readEndpoints(cfg.DataDir)
		if errors.Is(err, os.ErrNotExist) {
			return nil, keys.Space{}, usageError(errors.New("no Redis given: pass --redis-url, set CB_REDIS_URL, or start 'claudebench up' (with another data folder, pass --data-dir)"))
		}
		if err != nil {
			return nil, keys.Space{}, err
		}
		cfg.RedisURL = running.RedisURL
		if cfg.Namespace == "" {
			cfg.Namespace = running.Namespace
		}
		if cfg.DatabaseURL == "" {
			cfg.DatabaseURL = running.DatabaseURL
		}
	}
	space, err := keys.New(cfg.Namespace)
	if err != nil {
		return nil, keys.Space{}, usageError(err)
	}
	redisconn.LogTo(newLogger(cfg))
	client, err := redisconn.Open(cfg.RedisURL, cfg.Namespace)
	if err != nil {
		return nil, keys.Space{}, usageError(err)
	}
	if err := readable(ctx, client, cfg.Namespace); err != nil {
		_ = client.Close()
		return nil, keys.Space{}, err
	}
	return client, space, nil
}

// readable returns an error if this program is too old for the log. That Redis does not answer,
// each command says in its own way.
func readable(ctx context.Context, client redis.UniversalClient, namespace string) error {
	reader, err := events.NewReader(client, events.ReaderConfig{Namespace: namespace})
	if err != nil {
		return usageError(err)
	}
	newer := (*events.NewerLogError)(nil)
	if errors.As(reader.CheckFormat(ctx), &newer) {
		return newer
	}
	return nil
}

// endpoints is what a running `up` tells the tools, in a file that only its user can read.
type endpoints struct {
	Address     string `json:"address"`
	RedisURL    string `json:"redisUrl"`
	DatabaseURL string `json:"databaseUrl,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
}

// logExists returns an error if a namespace has no log, which is a typo more often than an empty
// fleet. A coordinator makes the log when it starts, before any event.
func logExists(ctx context.Context, client redis.UniversalClient, space keys.Space) error {
	found, err := client.Exists(ctx, space.Log(), space.Events()).Result()
	if err != nil {
		return unavailableError(fmt.Errorf("look for the log: %w", err))
	}
	if found > 0 {
		return nil
	}
	where := "the default namespace"
	if namespace := space.Namespace(); namespace != "" {
		where = fmt.Sprintf("namespace %q", namespace)
	}
	return usageError(fmt.Errorf("%s has no log in this Redis: no coordinator has started there (another one: --namespace)", where))
}
