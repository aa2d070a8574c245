package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/position"
	"github.com/claudebench/claudebench/internal/span"
)

// source is where a command reads the log: from Redis, or with --url from a coordinator.
type source struct {
	log    span.Log
	client *client.Client // of the coordinator; nil with Redis
	close  func()
}

// bindSource adds the flags of a command that reads Redis, or a coordinator with --url. Do not add
// those of bindStores too.
func bindSource(cmd *cobra.Command, cfg *config.Config, from *target) {
	cfg.BindStores(cmd.Flags())
	cfg.BindDataDir(cmd.Flags())
	bindArchive(cmd, cfg)
	cmd.Flags().StringVar(&from.url, "url", "", "the URL of a coordinator to read instead of Redis, with the token in CB_TOKEN")
	from.bindCA(cmd)
	cmd.MarkFlagsMutuallyExclusive("url", "redis-url", "data-dir")
	cmd.MarkFlagsMutuallyExclusive("url", "archive-dir")
	cmd.Long += `

With --url, or with CB_URL and none of --redis-url, CB_REDIS_URL and --data-dir, it reads a
coordinator and needs no Redis; CB_TOKEN is the token of an auditor. Otherwise it reads Redis.
Without --redis-url, that is the one that 'claudebench up' runs in the data folder.`
}

// remote reports whether the flags of bindSource and their variables select a coordinator.
func (t *target) remote(cmd *cobra.Command, cfg *config.Config) (bool, error) {
	flags := cmd.Flags()
	remote := flags.Changed("url") || t.url != "" && cfg.RedisURL == "" && !flags.Changed("data-dir")
	if remote && flags.Changed("namespace") {
		return true, usageError(errors.New("--namespace needs Redis; a coordinator has the namespace that it was started with"))
	}
	return remote, nil
}

// openSource opens the log that the flags of bindSource select. The caller must call close, and pass
// errors of the log through explained.
func openSource(cmd *cobra.Command, cfg *config.Config, from *target) (source, error) {
	remote, err := from.remote(cmd, cfg)
	if err != nil {
		return source{}, err
	}
	logger := newLogger(cfg)
	if remote {
		c, err := from.dial()
		if err != nil {
			return source{}, err
		}
		log, err := span.AtCoordinator(from.baseURL(), c, logger)
		if err != nil {
			c.Close()
			return source{}, usageError(err)
		}
		return source{log, c, c.Close}, nil
	}
	opened, space, err := openStores(cmd.Context(), cfg)
	if err != nil {
		return source{}, explain(err, cfg.RedisURL)
	}
	closing := func() { _ = opened.Close() }
	if err := logExists(cmd.Context(), opened, space); err != nil {
		closing()
		return source{}, explain(err, cfg.RedisURL)
	}
	stored, closeArchive, err := openArchive(cmd, cfg)
	if err != nil {
		closing()
		return source{}, err
	}
	closeAll := func() { closeArchive(); closing() }
	// The command itself tells what it skips.
	log, err := span.InRedis(opened, events.ReaderConfig{Namespace: cfg.Namespace, Archive: stored, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		closeAll()
		return source{}, usageError(err)
	}
	return source{log, nil, closeAll}, nil
}

// Locate implements position.Locator.
func (s source) Locate(ctx context.Context, seq int64) (events.ID, error) {
	if log, ok := s.log.(position.Locator); ok {
		return log.Locate(ctx, seq)
	}
	e, err := s.client.GetEvent(ctx, seq)
	if err == nil {
		return events.ParseID(e.ID)
	}
	if !client.IsNotFound(err) {
		return events.ID{}, err
	}
	last, err := s.log.Last(ctx)
	if err != nil || last.Seq < seq {
		return events.ID{}, err
	}
	// It is gone, and what follows it begins the log.
	for batch, err := range s.log.Batches(ctx, span.Span{To: last}) {
		if err != nil {
			return events.ID{}, err
		}
		for i := range batch.Entries {
			if id := batch.Entries[i].ID; id.Seq >= seq {
				return id, nil
			}
		}
	}
	return events.ID{}, nil
}

// explained returns an error of the log with what a person can do, and with its exit code.
func (s source) explained(err error, cfg *config.Config, from *target) error {
	var refused *events.StatusError
	switch {
	case s.client == nil:
		return explain(err, cfg.RedisURL)
	case errors.As(err, &refused) && !slices.Contains([]int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden}, refused.Status):
		return unavailableError(err)
	}
	return from.explained(err)
}
