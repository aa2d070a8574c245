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
	r := &Runner{cfg: cfg, log: cfg.Keys.Log(), reader: reader}
	together := &sharedReader{reader: reader}
	for _, p := range cfg.Projections {
		r.loops = append(r.loops, &loop{
			projection: p, cfg: cfg, reader: reader, batches: batchesFor(p, together),
			log:    cfg.Logger.With("projection", p.Name()),
			tracer: newTracer(cfg.Traces, p.Name()),
			lease:  lease.Lease{Scripts: cfg.Scripts, Name: p.Name(), Holder: cfg.Holder, Reader: reader},
		})
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

// Run runs the projections until ctx ends, then releases the leases. It may be called once.
func (r *Runner) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, l := range r.loops {
		running.Go(func() { l.run(ctx) })
	}
	running.Wait()
}

// Rebuild deletes a projection and folds it again from the log's start, until it has applied what
// was in the log when Rebuild was called. The error wraps ErrIncompleteLog if the log cannot
// restore what would be deleted. A Runner may run meanwhile, in this process or another: it may
// fold the same events, which only costs duplicate work.
func (r *Runner) Rebuild(ctx context.Context, name string) error {
	for _, l := range r.loops {
		if l.projection.Name() == name {
			if err := r.rebuild(ctx, l.projection); err != nil {
				return fmt.Errorf("rebuild %s: %w", name, err)
			}
			return nil
		}
	}
	return fmt.Errorf("rebuild %s: unknown projection", name)
}

func (r *Runner) rebuild(ctx context.Context, p Projection) error {
	if err := p.Prepare(ctx); err != nil {
		return err
	}
	// A flush that keeps Postgres has already completed the rows, and deletes the log next.
	flushing, err := r.cfg.Client.HExists(ctx, r.log, "flush").Result()
	if err != nil {
		return fmt.Errorf("check for a flush: %w", err)
	}
	if flushing {
		return errors.New("a flush is running; try again when it has ended")
	}
	bounds, err := prove(ctx, r.reader, p)
	if err != nil {
		return err
	}
	if err := p.Reset(ctx, bounds.Base); err != nil {
		return err
	}
	reader := batchesFor(p, r.reader)
	at, err := p.Checkpoint(ctx)
	for err == nil && at.Seq < bounds.Last.Seq {
		var batch events.Batch
		if batch, err = reader.Read(ctx, at); err != nil {
			break
		}
		err = p.Apply(ctx, batch)
		at = batch.Last()
		if errors.Is(err, ErrCheckpointMoved) {
			at, err = p.Checkpoint(ctx)
		}
	}
	return err
}
