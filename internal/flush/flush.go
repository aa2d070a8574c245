// Package flush carries out system.flush. The state of a flush is kept in the log's hash in Redis,
// so that any coordinator can go on with a flush that another one left behind. commands/system
// starts a flush; the monitor calls Recover.
//
// While Redis or Postgres is away before the point of no return, the flush is undone; after it, the
// steps are repeated until they succeed, by this coordinator or by another one.
package flush

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// Options are what a flush works with.
type Options struct {
	Scripts lua.Scripts
	// Prefix is what each key of the namespace begins with.
	Prefix string
	// Rows are the rows of the task view; nil without Postgres.
	Rows taskview.Rows
	// InstanceTTL is how long a registration lasts without a heartbeat.
	InstanceTTL time.Duration
	// Name is this coordinator's, for leases.
	Name   string
	Logger *slog.Logger
	// Dies reports whether a run is left at a step, as by a coordinator that dies. For tests; nil
	// is never.
	Dies func(ctx context.Context, step string) bool
}

// Flusher carries out flushes, and goes on with those that other coordinators left behind.
type Flusher struct {
	Options
	stopped context.Context    //nolint:containedctx // ends with the coordinator, not with a call
	end     context.CancelFunc // see stop
	work    sync.RWMutex       // held for reading by runs, which go on without their caller
}

// New returns a flusher. Stop ends it.
func New(o Options) *Flusher {
	f := &Flusher{Options: o}
	f.stopped, f.end = context.WithCancel(context.Background())
	return f
}

// Order is one flush that was asked for.
type Order struct {
	Context string // of system.flushed
	Limit   int    // flushes a minute in the namespace, 0 for no limit
	Include bool   // delete the rows of the task view as well, if there are any
	Timeout time.Duration
}

// Flush carries out a flush. Once it has begun, it goes on to its end even if ctx ends before.
func (f *Flusher) Flush(ctx context.Context, o Order) (*Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: the caller has not waited for the flush to begin: %w", lua.ErrUnavailable, err)
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

// Stop ends the runs under way, and waits until each has been undone or left for another
// coordinator.
func (f *Flusher) Stop() {
	f.end()
	f.work.Lock()
	defer f.work.Unlock()
}

// Result is the result of system.flush; Postgres is there only when its rows were deleted as well.
type Result struct {
	Redis     FlushedRedis     `json:"redis"`
	Postgres  *FlushedPostgres `json:"postgres,omitempty"`
	Timestamp string           `json:"timestamp"`
}

// FlushedRedis is what a flush deleted in Redis.
type FlushedRedis struct {
	KeysDeleted int64    `json:"keysDeleted"`
	Patterns    []string `json:"patterns"`
}

// FlushedPostgres is what a flush deleted in Postgres.
type FlushedPostgres struct {
	TasksDeleted int64 `json:"tasksDeleted"`
}

// Families are the families of keys that a flush deletes, as they are documented.
var Families = []string{
	"task", "instance", "queue", "stream", "metrics", "circuit", "ratelimit", "todo", "service", "hook", "session",
	"health", "quorum", "batch", "scaling",
}

// patterns are the patterns of the keys that a flush deletes.
func (o Options) patterns() []string {
	list := make([]string, len(Families))
	for i, family := range Families {
		list[i] = o.Prefix + family + ":*"
	}
	return list
}
