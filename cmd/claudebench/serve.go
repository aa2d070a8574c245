package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/redisconn"
	"github.com/claudebench/claudebench/internal/server"
	"github.com/claudebench/claudebench/internal/tracing"
)

func newServe() *cobra.Command {
	cfg := &config.Config{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a coordinator on a Redis and a Postgres of your own",
		Long: `Run a coordinator on a Redis of your own and, for the task views, a Postgres of your own. Any
number of coordinators can use the same Redis. On SIGTERM and Ctrl-C, serve finishes the calls
in flight and exits with 0. On SIGHUP, it reads the auth file, the certificate and the
policy again.

Serve needs Redis 7.0 or Valkey, with maxmemory-policy noeviction. The setting appendonly
decides what a crash of Redis can lose. Postgres must be version 14 or newer; serve migrates
its schema at the start.`,
		Example: `  claudebench serve --redis-url redis://localhost:6379 --database-url postgres://localhost/claudebench`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.RedisURL == "" {
				return usageError(errors.New("serve needs Redis: pass --redis-url, set CB_REDIS_URL, or use 'claudebench up', which starts a private one"))
			}
			if err := errors.Join(cfg.Check(), redisconn.CheckURL(cfg.RedisURL, cfg.Namespace)); err != nil {
				return usageError(err)
			}
			logger := newLogger(cfg)
			return serve(cmd.Context(), cfg, server.Options{Logger: logger}, func(s *server.Server) {
				logger.Info("listening", "address", s.URL(), "version", buildVersion())
			})
		},
	}
	cfg.BindCoordinator(cmd.Flags())
	cfg.BindStores(cmd.Flags())
	cfg.BindLog(cmd.Flags())
	return cmd
}

// serve runs a coordinator until ctx ends or it fails. others are further reasons to stop.
func serve(ctx context.Context, cfg *config.Config, o server.Options, started func(*server.Server), others ...<-chan error) error {
	tuneGarbageCollection()
	o.Version = buildVersion()
	traces, err := tracing.Start(ctx, o.Version, o.Logger)
	if err != nil {
		return err
	}
	defer traces.Stop(context.WithoutCancel(ctx)) // after the server has stopped
	o.Traces = traces.Provider()
	hangup := make(chan os.Signal, 1)
	if cfg.Reloads() {
		// Before anybody can know that the coordinator is there. Without reloadable files, SIGHUP ends
		// the program as usual.
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
	}
	s, err := server.Start(ctx, cfg, o)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	started(s)
	if cfg.Reloads() {
		defer reloadAt(hangup, s)()
	}
	failed := make(chan error, 1)
	done := make(chan struct{})
	defer close(done)
	for _, other := range append(others, s.Failed()) {
		go func() {
			select {
			case err := <-other:
				select {
				case failed <- err:
				default: // one reason is enough
				}
			case <-done:
			}
		}()
	}
	select {
	case <-ctx.Done():
		o.Logger.Info("stopping after the calls in flight")
		return s.Stop(context.WithoutCancel(ctx))
	case err = <-failed:
		o.Logger.Error("stopping", slog.Any("error", err))
		return errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
}

// reloadAt reloads files at each signal until stop is called.
func reloadAt(hangup <-chan os.Signal, s *server.Server) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-hangup:
				_ = s.Reload(context.Background()) // already logged
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// unlessStopped returns the error of a failed start, or nil if it failed because the program was
// told to stop.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

const (
	// eagerCollection is the size of the heap, in bytes, above which the garbage collector does all it
	// can to shrink the heap below it. It takes at most half of the CPU time.
	eagerCollection = 512 << 20
	// rareCollection is the percentage of garbage at which a small heap is collected. usualCollection,
	// Go's default, is that of a large one. In between, there may be plentyOfGarbage bytes of garbage.
	rareCollection  = 400
	usualCollection = 100
	plentyOfGarbage = 32 << 20
)

// tuneGarbageCollection makes collections of a small heap rarer than Go's default. The live heap is
// a few MB, so there would be many collections, and each would delay commands. Large results make
// the heap large for a moment, and thousands of streams for long: their memory is not to be
// multiplied. GOGC and GOMEMLIMIT take precedence.
func tuneGarbageCollection() {
	if os.Getenv("GOGC") == "" {
		percent := rareCollection
		debug.SetGCPercent(percent)
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		afterEachCollection(func() {
			metrics.Read(live)
			if now := collectionFor(live[0].Value.Uint64()); now != percent {
				percent = now
				debug.SetGCPercent(percent)
			}
		})
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(eagerCollection)
	}
}

// collectionFor returns the percentage of garbage for a live heap of this size in bytes.
func collectionFor(live uint64) int {
	return int(min(max(plentyOfGarbage*100/max(live, 1), usualCollection), rareCollection))
}

// afterEachCollection calls f, one call at a time, after each garbage collection from now on.
func afterEachCollection(f func()) {
	collected := new([32]byte) // large enough not to share its memory with other objects
	runtime.AddCleanup(collected, func(f func()) {
		f()
		afterEachCollection(f)
	}, f)
}
