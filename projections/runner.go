package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/lease"
	"github.com/claudebench/claudebench/lua"
)

const (
	// batchSize bounds a batch: large enough that its transaction costs little per event, small
	// enough that reading it does not block Redis for more than a millisecond or two.
	batchSize = 2000
	// linger collects events at the log's end, so that a busy log makes few large batches.
	linger = 20 * time.Millisecond
	// block is how long a read waits for Redis at the log's end, and so how long a stop may take.
	block = 500 * time.Millisecond

	// yieldFor is how long a coordinator that cannot run a projection leaves it to the others
	// before it tries again. It is longer than their lease.AskEvery.
	yieldFor = 2 * time.Second

	retryFirst = 50 * time.Millisecond
	retryLast  = time.Second
	// gapCheckEvery is how often a projection that stopped at a gap checks whether the gap is still
	// there.
	gapCheckEvery = 5 * time.Second
	// applyLimit bounds one batch, so that it is retried if the store hangs.
	applyLimit = 30 * time.Second
)

// RunnerConfig configures a Runner.
type RunnerConfig struct {
	Client      redis.UniversalClient
	Scripts     lua.Scripts // of the log
	Keys        keys.Space  // of the log's namespace
	Projections []Projection
	// Archive has the events that are no longer in Redis. Nil means that they are gone.
	Archive events.Archive
	// Holder identifies this coordinator in leases. The default is the host, the process and a
	// random part.
	Holder string
	// Traces makes a span for each applied event that belongs to a trace. Nil disables traces.
	Traces trace.TracerProvider
	Logger *slog.Logger // default slog.Default()
}

func (c *RunnerConfig) setDefaults() {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Holder == "" {
		c.Holder = lease.NewHolder()
	}
}

// Validate returns an error if a required field is missing or a projection is listed twice.
func (c RunnerConfig) Validate() error {
	if c.Client == nil || c.Scripts == nil {
		return errors.New("new projection runner: a Redis client and a script runner are required")
	}
	seen := map[string]bool{}
	for _, p := range c.Projections {
		if seen[p.Name()] {
			return fmt.Errorf("new projection runner: two projections have the name %q", p.Name())
		}
		seen[p.Name()] = true
	}
	return nil
}

// Runner runs each projection independently while this coordinator holds its lease. A projection
// that fails does not delay the others. Its failure appears in Status, is logged when it begins and
// when it ends, and is retried until it is resolved. No event is ever skipped, except entries of
// the log that are not events.
type Runner struct {
	cfg    RunnerConfig
	log    string // key of the log's hash
	reader *events.Reader
	shared *sharedReader
	loops  []*loop
}

// NewRunner checks the configuration. It calls neither Redis nor Postgres.
func NewRunner(cfg RunnerConfig) (*Runner, error) {
	cfg.setDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	reader, err := events.NewReader(cfg.Client, readerConfig(cfg))
	if err != nil {
		return nil, err
	}
	together := &sharedReader{reader: reader}
	r := &Runner{cfg: cfg, log: cfg.Keys.Log(), reader: reader, shared: together}
	for _, p := range cfg.Projections {
		l := &loop{
			projection: p, cfg: cfg, reader: reader, batches: batchesFor(p, together),
			log:    cfg.Logger.With("projection", p.Name()),
			tracer: newTracer(cfg.Traces, p.Name()),
			lease:  lease.Lease{Scripts: cfg.Scripts, Name: p.Name(), Holder: cfg.Holder, Reader: reader},
		}
		if _, ok := p.(interface{ outsideRedis() }); ok {
			l.lease.Position = l.known
		}
		r.loops = append(r.loops, l)
	}
	return r, nil
}

// batchesFor returns the reader that suits a projection.
func batchesFor(p Projection, reader events.BatchReader) events.BatchReader {
	if view, ok := p.(interface{ wanted() bool }); ok {
		return gatherer{reader: reader, wanted: view.wanted}
	}
	return reader
}

func readerConfig(cfg RunnerConfig) events.ReaderConfig {
	return events.ReaderConfig{
		Namespace: cfg.Keys.Namespace(), BatchSize: batchSize, Block: block, Linger: linger, Logger: cfg.Logger,
		// A flush has emptied the projections, so they begin with it.
		Archive: cfg.Archive, SinceFlush: true,
	}
}

// Batches returns the reader that the projections share, for others that follow the log at the same
// pace: each batch is then fetched and decoded once. They must not change a batch.
func (r *Runner) Batches() events.BatchReader { return r.shared }

// Run runs the projections until ctx ends, then releases the leases. It may be called once.
func (r *Runner) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, l := range r.loops {
		running.Go(func() { l.run(ctx) })
	}
	running.Wait()
}
