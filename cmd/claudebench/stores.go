package main

import (
	"errors"
	"os"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/config"
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
}

// openStores connects to the Redis that is named, else to the one that `up` runs, and fills in the
// Postgres that belongs to it.
func openStores(cfg *config.Config) (redis.UniversalClient, error) {
	if cfg.RedisURL == "" {
		running, err := readEndpoints(cfg.DataDir)
		if errors.Is(err, os.ErrNotExist) {
			return nil, errors.New("which Redis? give --redis-url or CB_REDIS_URL, or start 'claudebench up' (and name its --data-dir if it is another)")
		}
		if err != nil {
			return nil, err
		}
		cfg.RedisURL = running.RedisURL
		if cfg.Namespace == "" {
			cfg.Namespace = running.Namespace
		}
		if cfg.DatabaseURL == "" {
			cfg.DatabaseURL = running.DatabaseURL
		}
	}
	redisconn.LogTo(newLogger(cfg))
	return redisconn.Open(cfg.RedisURL, cfg.Namespace)
}

// endpoints is what a running `up` tells the tools, in a file that only its user can read.
type endpoints struct {
	Address     string `json:"address"`
	RedisURL    string `json:"redisUrl"`
	DatabaseURL string `json:"databaseUrl,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
}
