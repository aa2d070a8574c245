// Package limit is the domain of limits: how many tasks with the same limitKey may be pending or in
// progress at once. Package commands lists its Methods.
package limit

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/internal/timers"
	"github.com/claudebench/claudebench/lua"
)

// Options configure the methods.
type Options struct {
	// Timers go on with the tasks of a limit that was changed.
	Timers *timers.Timers
}

type setLimitArgs struct {
	Key        string
	Concurrent *int
	Actor      []byte // JSON
}

var (
	setLimit   = lua.Bind[setLimitArgs]("set_limit")
	listLimits = lua.Bind[lua.NoArgs]("list_limits")
)

const (
	maxConcurrent = 1_000_000
	timeout       = 5 * time.Second
)

// Methods returns the methods of the domain limit, in the order in which they are documented.
func Methods(o Options) ([]*command.Method, error) {
	return command.Collect(o.setMethod, listMethod, o.deleteMethod)
}

func refineKey(p map[string]*jsonschema.Schema) { params.Key(p["key"]) }

func (o Options) setMethod() (*command.Method, error) {
	return command.New[api.SetLimitParams, api.SetLimitResult](command.Spec{
		Name: "limit.set",
		Description: "Set how many tasks with a limitKey may be pending or in progress at once. The others are blocked, and the best of them " +
			"goes on when one ends. A change takes effect at once for what is not claimed.",
		Limit:   60,
		Timeout: timeout,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Operators,
		Hidden:  true,
		Effect:  command.Sets,
		Refine: func(p map[string]*jsonschema.Schema) {
			refineKey(p)
			params.Between(p["concurrent"], 0, maxConcurrent)
		},
	}, func(ctx context.Context, c *command.Call, p *api.SetLimitParams) (json.RawMessage, error) {
		return o.change(ctx, c, p.Key, &p.Concurrent)
	})
}

func (o Options) deleteMethod() (*command.Method, error) {
	return command.New[api.DeleteLimitParams, api.DeleteLimitResult](command.Spec{
		Name:        "limit.delete",
		Description: "Delete a limit. The tasks of its key go on.",
		Limit:       60,
		Timeout:     timeout,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Operators,
		Hidden:      true,
		Effect:      command.Sets,
		Refine:      refineKey,
	}, func(ctx context.Context, c *command.Call, p *api.DeleteLimitParams) (json.RawMessage, error) {
		return o.change(ctx, c, p.Key, nil)
	})
}

// change sets a limit, or deletes it if concurrent is nil.
func (o Options) change(ctx context.Context, c *command.Call, key string, concurrent *int) (json.RawMessage, error) {
	defer o.Timers.Look() // for the tasks that the script has left
	return command.Decide(ctx, c, setLimit, "", setLimitArgs{Key: key, Concurrent: concurrent, Actor: jsontext.Quote(c.Actor(""))})
}

func listMethod() (*command.Method, error) {
	return command.New[api.ListLimitsParams, api.ListLimitsResult](command.Spec{
		Name:        "limit.list",
		Description: "List the limits of concurrent tasks, and how many tasks run and wait under each.",
		Limit:       600,
		Timeout:     timeout,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Readers,
		Hidden:      true,
		Effect:      command.Reads,
	}, func(ctx context.Context, c *command.Call, _ *api.ListLimitsParams) (json.RawMessage, error) {
		return command.Decide(ctx, c, listLimits, "", lua.NoArgs{})
	})
}
