// Package flush implements system.flush. The state of a flush is in the log's hash in Redis, so
// that any coordinator can continue a flush that another one left behind. commands/system starts a
// flush; the monitor calls Recover.
//
// If Redis or Postgres is unavailable before the point of no return, the flush is undone. After it,
// this coordinator or another one repeats the steps until they succeed.
package flush

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// Options configure a Flusher.
type Options struct {
	Scripts lua.Scripts
	// Prefix is the prefix of the namespace's keys.
	Prefix string
	// Rows are the rows of the task view. Nil means no Postgres.
	Rows taskview.Rows
	// InstanceTTL is how long a registration lasts without a heartbeat.
	InstanceTTL time.Duration
	// Name identifies this coordinator in leases.
	Name   string
	Logger *slog.Logger
	// Dies reports whether a run stops at a step, as if the coordinator died. It is for tests. Nil
	// means never.
	Dies func(ctx context.Context, step string) bool
}

// Flusher runs flushes, and continues those that other coordinators left behind.
type Flusher struct {
	Options
	stopped context.Context    //nolint:containedctx // ends with the coordinator, not with a call
	end     context.CancelFunc // ends stopped
	work    sync.RWMutex       // read-locked by runs, which outlive their callers
}

// New returns a Flusher. Stop ends it.
func New(o Options) *Flusher {
	f := &Flusher{Options: o}
	f.stopped, f.end = context.WithCancel(context.Background())
	return f
}

// Order is a request for one flush.
type Order struct {
	Context string // of system.flushed
	Limit   int    // flushes a minute in the namespace, 0 for no limit
	Include bool   // also delete the rows of the task view, if there is one
	Timeout time.Duration
}

// Flush runs a flush. Once it has begun, it runs to its end even if ctx ends before.
func (f *Flusher) Flush(ctx context.Context, o Order) (*api.FlushResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: the call ended before the flush began: %w", lua.ErrUnavailable, err)
	}
	id := rand.Text()
	run := f.newRun(id, "run:"+id, f.Logger.With("flush", id))
	run.include = o.Include && f.Rows != nil
	ctx, done := f.working(context.WithoutCancel(ctx), o.Timeout)
	defer done()
	return run.run(ctx, o.Context, o.Limit)
}

func (f *Flusher) newRun(id, holder string, log *slog.Logger) *run {
	return &run{Options: f.Options, id: id, holder: holder, log: log}
}

// working returns a context for work that ends with the coordinator instead of its caller, and a
// function to call when the work is over.
func (f *Flusher) working(ctx context.Context, atMost time.Duration) (context.Context, func()) {
	f.work.RLock()
	ctx, cancel := context.WithTimeout(ctx, atMost)
	release := context.AfterFunc(f.stopped, cancel)
	return ctx, func() {
		release()
		cancel()
		f.work.RUnlock()
	}
}

// Stop ends the runs in progress. It waits until each of them is undone or left to another
// coordinator.
func (f *Flusher) Stop() {
	f.end()
	f.work.Lock()
	defer f.work.Unlock()
}

// Families are the documented families of keys that a flush deletes.
var Families = []string{
	"task", "instance", "queue", "stream", "metrics", "circuit", "ratelimit", "todo", "service", "hook", "session",
	"health", "quorum", "batch", "scaling", "schedule", "schedules",
}

// patterns returns the patterns of the keys that a flush deletes.
func (o Options) patterns() []string {
	list := make([]string, len(Families))
	for i, family := range Families {
		list[i] = o.Prefix + family + ":*"
	}
	return list
}
