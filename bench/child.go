package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/crossorigin"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/monitor"
	"github.com/claudebench/claudebench/internal/redisconn"
	"github.com/claudebench/claudebench/internal/rpc"
	"github.com/claudebench/claudebench/internal/server"
	"github.com/claudebench/claudebench/lua"
)

// This program's second role: a coordinator that the product's binary does not offer.
const (
	roleVariable    = "CLAUDEBENCH_BENCH_ROLE"
	roleBare        = "bare" // commands and HTTP only, without projections
	roleFull        = "full" // what serve runs
	profileVariable = "CLAUDEBENCH_BENCH_PROFILE"
)

// coordinate runs a coordinator until SIGTERM.
func coordinate(role string, args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	cfg := &config.Config{}
	flags := pflag.NewFlagSet(role, pflag.ContinueOnError)
	cfg.BindCoordinator(flags)
	cfg.BindStores(flags)
	cfg.BindLog(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	debug.SetGCPercent(400) // as serve does
	if path := os.Getenv(profileVariable); path != "" {
		end, err := profile(path)
		if err != nil {
			return err
		}
		defer end()
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
	if role == roleBare {
		return bare(ctx, cfg, logger)
	}
	s, err := server.Start(ctx, cfg, server.Options{Logger: logger})
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err = <-s.Failed():
	}
	return errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
}

func profile(path string) (end func(), err error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("make the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, fmt.Errorf("start the profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close()
	}, nil
}

// bare wires the server without projections.
func bare(ctx context.Context, cfg *config.Config, logger *slog.Logger) error {
	client, err := redisconn.Open(cfg.RedisURL, cfg.Namespace)
	if err != nil {
		return err
	}
	defer client.Close()
	names, err := commands.MethodNames()
	if err != nil {
		return err
	}
	limits := map[string]int{}
	for _, name := range names {
		limits[name] = 0
	}
	space, err := keys.New(cfg.Namespace)
	if err != nil {
		return err
	}
	coordinator, err := commands.New(commands.Options{
		Runner: lua.NewRunner(client), Keys: space, InstanceTTL: cfg.InstanceTTL, MonitorInterval: cfg.MonitorInterval,
		TaskRetention: cfg.TaskRetention, MaxLosses: cfg.MaxLosses, RateLimits: limits, Logger: logger,
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/rpc", rpc.NewHandler(coordinator, rpc.Options{Log: logger, Known: coordinator.Known}))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	handler, err := crossorigin.Guard(mux, cfg.Listen)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	go coordinator.RunTimers(ctx)
	go monitor.Run(ctx, coordinator.Sweep, cfg.MonitorInterval, logger)
	s := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
		return s.Shutdown(context.WithoutCancel(ctx))
	}
}
