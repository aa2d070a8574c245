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
	"github.com/claudebench/claudebench/events/archive"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/redisconn"
)

// bindStores adds the flags of a command that reads the stores directly.
func bindStores(cmd *cobra.Command, cfg *config.Config) {
	cfg.BindStores(cmd.Flags())
	bindData(cmd, cfg)
}

// bindRedis adds the flags of a command that needs only Redis.
func bindRedis(cmd *cobra.Command, cfg *config.Config) {
	cfg.BindRedis(cmd.Flags())
	bindData(cmd, cfg)
}

func bindData(cmd *cobra.Command, cfg *config.Config) {
	cfg.BindDataDir(cmd.Flags())
	// With --redis-url the data folder would be ignored.
	cmd.MarkFlagsMutuallyExclusive("redis-url", "data-dir")
	cmd.Long += `

Without --redis-url, it uses the servers that 'claudebench up' runs in the data folder.`
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return explain(run(cmd, args), cfg.RedisURL) }
}

// explain adds to a Redis error what to do about it.
func explain(err error, redisURL string) error {
	var postgres *pgconn.ConnectError
	if errors.As(err, &postgres) {
		return err
	}
	if explained := redisconn.Explain(err, redisURL); explained != err { //nolint:errorlint // unchanged if nothing was added
		return unavailableError(explained)
	}
	return err
}

// openStores connects to the stores of locateStores. It returns an error if the log is newer than
// this program.
func openStores(ctx context.Context, cfg *config.Config) (redis.UniversalClient, keys.Space, error) {
	client, space, _, err := locateStores(cfg)
	if err != nil {
		return nil, keys.Space{}, err
	}
	if err := readable(ctx, client, cfg.Namespace); err != nil {
		_ = client.Close()
		return nil, keys.Space{}, err
	}
	return client, space, nil
}

// locateStores opens the configured Redis, or else the one that `up` runs, and sets the matching
// Postgres in cfg. It returns the client, the keys of the namespace, and what `up` runs, nil if the
// Redis was configured.
func locateStores(cfg *config.Config) (redis.UniversalClient, keys.Space, *endpoints, error) {
	var up *endpoints
	if cfg.RedisURL == "" {
		running, err := readEndpoints(cfg.DataDir)
		if errors.Is(err, os.ErrNotExist) {
			return nil, keys.Space{}, nil, usageError(errors.New("no Redis given: pass --redis-url, set CB_REDIS_URL, or start 'claudebench up' (if its data folder is not the default, pass --data-dir)"))
		}
		if err != nil {
			return nil, keys.Space{}, nil, err
		}
		up = &running
		cfg.RedisURL = running.RedisURL
		if cfg.Namespace == "" {
			cfg.Namespace = running.Namespace
		}
		if cfg.DatabaseURL == "" {
			cfg.DatabaseURL = running.DatabaseURL
		}
		if cfg.ArchiveDir == "" && cfg.Namespace == running.Namespace {
			cfg.ArchiveDir = running.ArchiveDir
		}
	}
	space, err := keys.New(cfg.Namespace)
	if err != nil {
		return nil, keys.Space{}, nil, usageError(err)
	}
	redisconn.LogTo(newLogger(cfg))
	client, err := redisconn.Open(cfg.RedisURL, cfg.Namespace)
	if err != nil {
		return nil, keys.Space{}, nil, usageError(err)
	}
	return client, space, up, nil
}

// bindArchive adds the flag of a command that reads an archive.
func bindArchive(cmd *cobra.Command, cfg *config.Config) {
	cfg.BindArchive(cmd.Flags(), "the archive with the events that are no longer in Redis (default: that of 'up' in the data folder)")
}

// openArchive opens the archive, after openStores. It returns nil if none is configured.
func openArchive(cmd *cobra.Command, cfg *config.Config) (events.Archive, func(), error) {
	if cfg.ArchiveDir == "" {
		return nil, func() {}, nil
	}
	stored, err := archive.Open(cfg.ArchiveDir)
	switch {
	case errors.Is(err, archive.ErrNoArchive) && !cmd.Flags().Changed("archive-dir"):
		return nil, func() {}, nil // 'up' has not begun it yet
	case errors.Is(err, archive.ErrNoArchive):
		return nil, nil, usageError(err)
	case err != nil:
		return nil, nil, unavailableError(err)
	}
	return stored, func() { _ = stored.Close() }, nil
}

// readable returns an error if this program is too old for the log. It ignores a Redis that does
// not reply, because each command reports that in its own way.
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

// endpoints are the addresses of a running `up`, in a file that only its user can read.
type endpoints struct {
	Address     string `json:"address"`
	RedisURL    string `json:"redisUrl"`
	DatabaseURL string `json:"databaseUrl,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
	ArchiveDir  string `json:"archiveDir,omitempty"`
}

// logExists returns an error if a namespace has no log, which is more often a typo than an empty
// fleet. A coordinator creates the log when it starts, before any event.
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
	return usageError(fmt.Errorf("%s has no log in this Redis: no coordinator has started there; pass the right one with --namespace", where))
}
