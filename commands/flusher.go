package commands

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/claudebench/claudebench/lua"
)

// flushOptions are what a flush works with.
type flushOptions struct {
	Scripts lua.Scripts
	// Prefix is what each key of the namespace begins with.
	Prefix string
	// Rows are the rows of the task view; nil without Postgres.
	Rows TaskRows
	// InstanceTTL is how long a registration lasts without a heartbeat.
	InstanceTTL time.Duration
	// Name is this coordinator's, for leases.
	Name   string
	Logger *slog.Logger
	// Dies reports whether a run is left at a step, as by a coordinator that dies. For tests; nil is never.
	Dies func(ctx context.Context, step string) bool
}

// flusher carries out flushes, and goes on with those that other coordinators left behind.
type flusher struct {
	flushOptions
	stopped context.Context    //nolint:containedctx // ends with the coordinator, not with a call
	end     context.CancelFunc // see stop
	work    sync.RWMutex       // held for reading by runs, which go on without their caller
}

// newFlusher returns a flusher. Stop ends it.
func newFlusher(o flushOptions) *flusher {
	f := &flusher{flushOptions: o}
	f.stopped, f.end = context.WithCancel(context.Background())
	return f
}

// flushOrder is one flush that was asked for.
type flushOrder struct {
	context string // of system.flushed
	limit   int    // flushes a minute in the namespace, 0 for no limit
	include bool   // delete the rows of the task view as well, if there are any
	timeout time.Duration
}

// flush carries out a flush. Once it has begun, it goes on to its end even if ctx ends before.
func (f *flusher) flush(ctx context.Context, o flushOrder) (*FlushResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: the caller has not waited for the flush to begin: %w", lua.ErrUnavailable, err)
	}
	id := rand.Text()
	run := f.newRun(id, "run:"+id, f.Logger.With("flush", id))
	run.include = o.include && f.Rows != nil
	ctx, done := f.working(context.WithoutCancel(ctx), o.timeout)
	defer done()
	return run.run(ctx, o.context, o.limit)
}

func (f *flusher) newRun(id, holder string, log *slog.Logger) *flush {
	return &flush{flushOptions: f.flushOptions, id: id, holder: holder, log: log}
}

// working returns a context for work that ends with the coordinator instead of its caller, and a function
// to call when the work is over.
func (f *flusher) working(ctx context.Context, atMost time.Duration) (context.Context, func()) {
	f.work.RLock()
	ctx, cancel := context.WithTimeout(ctx, atMost)
	release := context.AfterFunc(f.stopped, cancel)
	return ctx, func() {
		release()
		cancel()
		f.work.RUnlock()
	}
}

// stop ends the runs under way, and waits until each has been undone or left for another coordinator.
func (f *flusher) stop() {
	f.end()
	f.work.Lock()
	defer f.work.Unlock()
}

// FlushResult is the result of system.flush; Postgres is there only when its rows were deleted as well.
type FlushResult struct {
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

// flushFamilies are the families of keys that a flush deletes, as they are documented.
var flushFamilies = []string{
	"task", "instance", "queue", "stream", "metrics", "circuit", "ratelimit", "todo", "service", "hook", "session",
	"health", "quorum", "batch", "scaling",
}

// patterns are the patterns of the keys that a flush deletes.
func (o flushOptions) patterns() []string {
	list := make([]string, len(flushFamilies))
	for i, family := range flushFamilies {
		list[i] = o.Prefix + family + ":*"
	}
	return list
}
