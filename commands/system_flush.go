package commands

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// FlushParams are the params of system.flush.
type FlushParams struct {
	Confirm         string `json:"confirm" jsonschema:"must be exactly FLUSH_ALL_DATA"`
	IncludePostgres *bool  `json:"includePostgres,omitempty" jsonschema:"delete the task view's rows too; true when left out"`
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

// flushConfirmation is what the caller has to say.
const flushConfirmation = "FLUSH_ALL_DATA"

// flushFamilies are the families of keys that a flush deletes, as they are documented.
var flushFamilies = []string{
	"task", "instance", "queue", "stream", "metrics", "circuit", "ratelimit", "todo", "service", "hook", "session",
	"health", "quorum", "batch", "scaling",
}

func systemFlush() (*Method, error) {
	return method[FlushParams, FlushResult](spec{
		name: "system.flush",
		description: "DANGER: delete all data of ClaudeBench in Redis, and the task rows in Postgres unless includePostgres is false. " +
			"It cannot be undone. While it runs other commands get a conflict. Once a minute for all callers together.",
		limit:   1,
		timeout: 10 * time.Minute,
		breaker: Breaker{Failures: 3, Open: time.Minute},
		roles:   admins,
		effect:  Destroys,
		hidden:  true,
		refine: func(p map[string]*jsonschema.Schema) {
			p["confirm"].Const = new(any(flushConfirmation))
		},
	}, flushAll)
}

// flushAll starts a flush. Once it has begun it goes to its end, whether or not the caller waits for it.
func flushAll(ctx context.Context, c *call, p *FlushParams) (json.RawMessage, error) {
	rows, include := c.options.Rows, p.IncludePostgres == nil || *p.IncludePostgres
	if rows == nil && p.IncludePostgres != nil && include {
		return nil, api.Internal(api.PostgresUnavailable) // it was asked for, and there is none
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: the caller has not waited for the flush to begin: %w", lua.ErrUnavailable, err)
	}
	id := rand.Text()
	f := &flush{
		Coordinator: c.Coordinator, id: id, holder: "run:" + id, rows: rows, include: include && rows != nil,
		log: c.options.Logger.With("flush", id),
	}
	ctx, done := c.working(context.WithoutCancel(ctx), c.method.Timeout)
	defer done()
	result, err := f.run(ctx, c.context("", c.Cause), c.method.Limit)
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}

// working gives a context for work that does not end with its caller, but with the coordinator, and
// what to call when it is over.
func (c *Coordinator) working(ctx context.Context, atMost time.Duration) (context.Context, func()) {
	c.work.RLock()
	ctx, cancel := context.WithTimeout(ctx, atMost)
	release := context.AfterFunc(c.stopped, cancel)
	return ctx, func() {
		release()
		cancel()
		c.work.RUnlock()
	}
}

// Stop ends the work that goes on without its caller, a flush, and waits until it has been undone or left
// for another coordinator. Calls that come later are refused by their own errors.
func (c *Coordinator) Stop() {
	c.stop()
	c.work.Lock()
	defer c.work.Unlock()
}

// patterns are the patterns of the keys that a flush deletes.
func (c *Coordinator) patterns() []string {
	list := make([]string, len(flushFamilies))
	for i, family := range flushFamilies {
		list[i] = c.keys.Prefix() + family + ":*"
	}
	return list
}
