// Package server assembles a coordinator: commands on Redis, projections, the monitor, and the HTTP
// transports. The program's `serve` and `up` use it, and so do the end-to-end tests.
//
// Start rejects configurations that cannot work, and waits a short time for Redis. After startup,
// an outage of Redis or Postgres does not stop the coordinator: commands return typed errors,
// /readyz says what is missing, and everything works again when they are back.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/events/archive"
	"github.com/claudebench/claudebench/internal/archiver"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/crossorigin"
	"github.com/claudebench/claudebench/internal/fleet"
	"github.com/claudebench/claudebench/internal/hookpolicy"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/metrics"
	"github.com/claudebench/claudebench/internal/monitor"
	"github.com/claudebench/claudebench/internal/redisconn"
	"github.com/claudebench/claudebench/internal/seal"
	"github.com/claudebench/claudebench/internal/sealtree"
	"github.com/claudebench/claudebench/internal/stream"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/internal/timetravel"
	"github.com/claudebench/claudebench/internal/trim"
	"github.com/claudebench/claudebench/internal/ui"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/projections"
)

const (
	// drainPatience is how long Stop waits for active calls. It is longer than the longest timeout
	// of a method, except that of a flush, which another coordinator continues.
	drainPatience = 12 * time.Second
	// catchUpPatience is how long Stop then waits for the projections to catch up.
	catchUpPatience = 3 * time.Second
)

// Options are the parameters of Start that are not settings.
type Options struct {
	Logger *slog.Logger
	// Version is the program's version, which the descriptions of the API contain.
	Version string
	// Embedded is set if Redis is the one inside this process, which needs no checks.
	Embedded bool
	// OwnStores is set if Redis and Postgres are private to this coordinator. Rows of a log that
	// Redis no longer has are then replaced without confirmation.
	OwnStores bool
	// Traces makes the spans of commands and projections. Nil disables traces. It outlives the
	// server.
	Traces trace.TracerProvider
	// BreakerOpen replaces the time that circuit breakers stay open; 0 keeps each method's. It is
	// for tests.
	BreakerOpen time.Duration
	// Timeouts replaces the timeouts of HTTP connections. Zero fields keep their defaults. It is
	// for tests.
	Timeouts Timeouts
}

// Timeouts limit how long a caller may take when it is its turn, so that slow callers do not hold
// resources for long.
type Timeouts struct {
	Header  time.Duration // to send the header of a request; 5 s
	Request time.Duration // to send the whole request; 30 s
	// Answer is the time to read other responses than a method's, which have 30 s of their own;
	// 30 s.
	Answer time.Duration
	// Idle is the time between two requests; 2 min, longer than clients keep a connection, so that
	// they close it first.
	Idle time.Duration
}

// Server is a running coordinator.
type Server struct {
	addr        net.Addr
	logger      *slog.Logger
	version     string
	tokens      *auth.Store       // nil if authentication is disabled
	certificate *certificate      // nil without TLS
	policy      *hookpolicy.Store // nil without a policy: it then has no opinion
	http        *http.Server
	connections connections
	redis       redis.UniversalClient
	inspector   *redisconn.Inspector
	embedded    bool                // Redis is the one inside this process
	pool        *projections.Pool   // nil without Postgres
	tasks       *projections.Tasks  // nil without Postgres
	events      *projections.Events // nil without Postgres, or if the index is off
	scripts     lua.Scripts
	fleet       *fleet.Member
	runner      *projections.Runner
	sealer      *seal.Sealer       // nil if this coordinator does not seal
	archiver    *archiver.Archiver // nil without an archive
	archive     events.Archive     // nil without an archive
	trim        *trim.Loop         // nil without a retention
	// closeArchive closes the files that archive reads.
	closeArchive func() error
	streams      *stream.Hub
	stop         context.CancelFunc // stops the background work
	stopWaiting  func()             // ends the calls that wait
	endWork      func()             // stops what continues without its caller: a flush
	running      sync.WaitGroup
	failed       chan error
	draining     chan struct{}
}

// Start starts a coordinator and returns when it listens. The caller must call Stop.
func Start(ctx context.Context, cfg *config.Config, o Options) (*Server, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	s := &Server{logger: o.Logger, version: o.Version, embedded: o.Embedded, failed: make(chan error, 1), draining: make(chan struct{})}
	if err := s.protect(ctx, cfg); err != nil {
		return nil, err
	}
	if err := s.connect(ctx, cfg, o.Embedded); err != nil {
		s.close()
		return nil, err
	}
	handler, listener, err := s.assemble(ctx, cfg, o)
	if err != nil {
		s.close()
		return nil, err
	}
	s.addr = listener.Addr()
	s.http = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: cmp.Or(o.Timeouts.Header, 5*time.Second),
		ReadTimeout:       cmp.Or(o.Timeouts.Request, 30*time.Second),
		WriteTimeout:      cmp.Or(o.Timeouts.Answer, 30*time.Second),
		IdleTimeout:       cmp.Or(o.Timeouts.Idle, 2*time.Minute),
		MaxHeaderBytes:    32 << 10,
		// OPTIONS * has a handler of its own otherwise, which checks neither Host nor token.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	s.connections.watch(s.http)
	s.running.Go(func() {
		if err := s.serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve HTTP: %w", err)
		}
	})
	return s, nil
}

// assemble opens the listener, builds the parts, and starts the background work. It opens the
// listener before it changes the stores: a program whose address is taken must not raise the format
// of the log, because older coordinators then stop their projections.
func (s *Server) assemble(ctx context.Context, cfg *config.Config, o Options) (_ http.Handler, _ net.Listener, err error) {
	var view taskview.View
	var rows taskview.Rows
	var index taskview.EventIndex
	if cfg.NoEventIndex {
		index = taskview.NoIndex{}
	}
	space, err := keys.New(cfg.Namespace)
	if err != nil {
		return nil, nil, err
	}
	var signer sealtree.Signer
	if cfg.SealKey != "" {
		if signer, err = sealtree.ReadSigner(cfg.SealKey); err != nil {
			return nil, nil, fmt.Errorf("--seal-key: %w", err)
		}
	}
	runner := lua.NewRunner(s.redis)
	s.scripts = runner.On(space.Log())
	redisConfig := projections.RedisConfig{Client: s.redis, Scripts: s.scripts, Keys: space}
	if err := s.checkFormat(ctx, cfg.Namespace); err != nil {
		return nil, nil, err
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %s: %w; to use another address, pass --listen or set CB_LISTEN", cfg.Listen, err)
	}
	defer func() {
		if err != nil {
			_ = listener.Close()
		}
	}()
	folds := []projections.Projection{projections.NewState(redisConfig), projections.NewMetrics(redisConfig)}
	identity, err := s.openLog(ctx, redisConfig)
	if err != nil {
		return nil, nil, err
	}
	if s.pool != nil {
		if err := s.openViews(ctx, cfg, identity, o.OwnStores); err != nil {
			return nil, nil, err
		}
		folds = append(folds, s.tasks)
		view, rows = taskView{s.tasks}, taskView{s.tasks}
		if s.events != nil {
			folds = append(folds, s.events)
			index = eventIndex{s.events}
		}
	}
	limits, err := rateLimits("--rate-limits", cfg.RateLimits)
	if err != nil {
		return nil, nil, err
	}
	tokenLimits, err := rateLimits("--token-rate-limits", cfg.TokenRateLimits)
	if err != nil {
		return nil, nil, err
	}
	if cfg.ArchiveDir != "" {
		stored, err := archive.OpenLater(cfg.ArchiveDir)
		if err != nil {
			return nil, nil, err
		}
		s.archive, s.closeArchive = stored, stored.Close
	}
	history, err := events.NewReader(s.redis, events.ReaderConfig{Namespace: cfg.Namespace, Archive: s.archive, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	coordinator, err := commands.New(commands.Options{
		Runner: runner, Keys: space, InstanceTTL: cfg.InstanceTTL, MonitorInterval: cfg.MonitorInterval,
		TaskRetention: cfg.TaskRetention, MaxLosses: cfg.MaxLosses, RateLimits: limits, TokenRateLimits: tokenLimits, ByteLimit: cfg.ByteLimit, HookContent: cfg.HookContent, Tasks: view, Index: index, Rows: rows, Logger: s.logger, MCP: true,
		Version: s.version, TraceURL: cfg.TraceURL, Stores: s.describe(), Verify: s.verify(cfg, space), Past: timetravel.NewCalls(history),
		Tokens: s.callers(), BreakerOpen: o.BreakerOpen, Traces: o.Traces,
	})
	if err != nil {
		return nil, nil, err
	}
	s.stopWaiting, s.endWork = coordinator.StopWaiting, coordinator.Stop
	if err := s.checkCommands(ctx, cfg, coordinator); err != nil {
		return nil, nil, err
	}
	if err := s.checkKeys(ctx, space); err != nil {
		return nil, nil, err
	}
	if err := s.join(ctx, cfg); err != nil {
		return nil, nil, err
	}
	s.runner, err = projections.NewRunner(projections.RunnerConfig{
		Client: s.redis, Scripts: s.scripts, Keys: space, Projections: folds, Archive: s.archive, Logger: s.logger, Traces: o.Traces,
	})
	if err != nil {
		return nil, nil, err
	}
	if cfg.SealDir != "" {
		s.sealer, err = seal.New(seal.Config{
			Client: s.redis, Scripts: s.scripts, Keys: space, Dir: cfg.SealDir, Signer: signer, Batches: s.runner.Batches(), Logger: s.logger,
		})
		if err != nil {
			return nil, nil, err
		}
	}
	if cfg.ArchiveDir != "" {
		if s.archiver, err = archiver.New(archiver.Config{
			Client: s.redis, Scripts: s.scripts, Keys: space, Dir: cfg.ArchiveDir, Program: s.version, Logger: s.logger,
		}); err != nil {
			return nil, nil, err
		}
	}
	if s.streams, err = stream.New(stream.Options{Client: s.redis, Namespace: cfg.Namespace, Archive: s.archive, Logger: s.logger}); err != nil {
		return nil, nil, err
	}
	if retention := (trim.Policy{Age: cfg.Retain, Events: cfg.RetainEvents, Ignore: cfg.RetainIgnore}); retention.Active() {
		if s.trim, err = trim.NewLoop(s.redis, space, retention, s.logger); err != nil {
			return nil, nil, err
		}
	}
	var handler http.Handler
	if handler, err = s.routes(cfg, coordinator, func(ctx context.Context, at taskview.Checkpoints) (*metrics.Gauges, error) {
		return metrics.ReadGauges(ctx, s.scripts, cfg.InstanceTTL, at)
	}); err == nil && s.tokens != nil {
		handler = s.tokens.Require(handler, open)
	}
	if err == nil {
		handler, err = crossorigin.Guard(handler, listener.Addr().String(), s.hosts(cfg, listener.Addr())...)
	}
	if err != nil {
		return nil, nil, err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.running.Go(func() { s.runner.Run(background) })
	if s.archiver != nil {
		s.running.Go(func() { s.archiver.Run(background) })
	}
	if s.trim != nil {
		s.running.Go(func() { s.trim.Run(background) })
	}
	s.running.Go(func() { s.fleet.Keep(background) })
	if s.sealer != nil {
		s.running.Go(func() { s.sealer.Run(background) })
	}
	s.running.Go(func() { coordinator.RunTimers(background) })
	s.running.Go(func() { coordinator.RunSchedules(background) })
	s.running.Go(func() { monitor.Run(background, coordinator.Sweep, cfg.MonitorInterval, s.logger) })
	return handler, listener, nil
}

// open reports whether a request needs no token.
func open(r *http.Request) bool {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	return r.URL.Path == "/healthz" || r.URL.Path == "/readyz" || reads && ui.Page(r.URL.Path)
}

// rateLimits returns the limits that differ from the documented ones.
func rateLimits(flag string, r config.RateLimits) (map[string]int, error) {
	methods, err := commands.Methods()
	if err != nil {
		return nil, err
	}
	limits := map[string]int{}
	var names []string // of methods with limits of their own
	for _, m := range methods {
		if m.CountsAs != "" {
			if _, given := r.Methods[m.Name]; given {
				return nil, fmt.Errorf("%s: each item of %s counts as a call of %s; set the limit of that method", flag, m.Name, m.CountsAs)
			}
			continue
		}
		names = append(names, m.Name)
		if r.Off {
			limits[m.Name] = 0
		}
	}
	for method, n := range r.Methods {
		if !slices.Contains(names, method) {
			return nil, fmt.Errorf("%s: unknown method %s; the methods are %s", flag, method, strings.Join(names, ", "))
		}
		limits[method] = n
	}
	return limits, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() string { return s.addr.String() }

// Failed returns a channel with the error that ended the server on its own.
func (s *Server) Failed() <-chan error { return s.failed }

// Stop drops incomplete requests. It waits for active calls, and then for the projections to apply
// the log up to that point, for a limited time. Then it stops the background work.
func (s *Server) Stop(ctx context.Context) error {
	close(s.draining)
	s.stopWaiting()
	s.streams.Stop()
	ctx, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	stopped := make(chan struct{})
	s.running.Go(func() { s.connections.dropSoon(stopped) })
	err := s.http.Shutdown(ctx)
	close(stopped)
	if err != nil {
		err = fmt.Errorf("wait for the calls in flight: %w", errors.Join(err, s.http.Close()))
	}
	s.streams.Drained(ctx) // Shutdown does not know WebSockets
	s.catchUp(ctx)
	s.finishSeals(ctx)
	s.close()
	return err
}

// finishSeals waits until the whole log is sealed, if this coordinator seals and can.
func (s *Server) finishSeals(ctx context.Context) {
	if s.sealer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpPatience)
	defer cancel()
	s.sealer.Finish(ctx)
}

// catchUp waits until the projections have applied the whole log, so that they have no lag after
// the last coordinator has stopped. It does not wait for a projection that fails, nor for an
// unavailable store. They continue with the next coordinator.
func (s *Server) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, catchUpPatience)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		if !slices.ContainsFunc(s.runner.Status(ctx), func(p projections.Status) bool { return p.Lag != 0 && p.FailingSince.IsZero() }) {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) close() {
	if s.stop != nil {
		s.stop()
	}
	if s.endWork != nil {
		s.endWork() // another coordinator continues it
	}
	if s.streams != nil {
		s.streams.Close()
	}
	s.running.Wait()
	if s.closeArchive != nil {
		_ = s.closeArchive() // only read
	}
	if s.pool != nil {
		s.pool.Close()
	}
	if s.redis != nil {
		_ = s.redis.Close()
	}
}
