// Package command is what the domains of commands are made of: a Method as the API offers it, the
// Call that a handler gets, and how a call's error becomes the API's error. commands/system and
// commands/task define methods with New; package commands runs them.
//
// A handler's errors of Redis (lua.ErrUnavailable, lua.ErrOutcomeUnknown, *lua.Error) and of the
// task view become errors of the API in APIError. Any other error is a fault of the coordinator.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/callstats"
	"github.com/claudebench/claudebench/internal/params"
)

// Method is a command as the API offers it.
type Method struct {
	Name        string
	Description string
	// Limit is how many calls a minute an actor may make; 0 is no limit.
	Limit int
	// TokenLimit is how many calls a minute a token may make for all its instances together; 0 is
	// no limit.
	TokenLimit int
	// ByteLimit is how many bytes of params a token, or an address without one, may bring a minute
	// to all methods that change something; 0 is no limit. Params of up to 4 KiB do not count.
	ByteLimit int
	// Timeout is when a call is given up at the latest.
	Timeout time.Duration
	// Breaker says when the circuit breaker of the method opens, and for how long.
	Breaker breaker.Setting
	// Roles are those of which a token must have one.
	Roles []string
	// Hidden methods are not offered to models by MCP.
	Hidden bool
	// MCPRequired are params that a call by MCP must have.
	MCPRequired []string
	// Effect is what a call does to the world.
	Effect Effect
	// Params and Result are their schemas.
	Params, Result *jsonschema.Schema

	// Run runs one call.
	Run func(context.Context, *Call) (json.RawMessage, error)
	// Stats counts the calls in the coordinator that this Method belongs to.
	Stats *callstats.Counter
	// Circuit guards the method in that coordinator; nil for no breaker.
	Circuit *breaker.Circuit
}

// Effect is what a call does, as MCP's annotations do.
type Effect int

// The effects of methods.
const (
	Reads    Effect = iota // changes nothing
	Adds                   // each call adds something
	Sets                   // the same call again changes nothing more
	Destroys               // removes or overwrites
)

// Who may call a method.
var (
	Readers = []string{api.RoleAgent, api.RoleOperator, api.RoleAdmin, api.RoleAuditor}
	Writers = []string{api.RoleAgent, api.RoleOperator, api.RoleAdmin}
	Admins  = []string{api.RoleAdmin}
)

// TokenShare is how many times a method's rate limit a token may use up with all its instances
// together.
const TokenShare = 5

// Spec is what the list says of a method beside its types.
type Spec struct {
	Name        string
	Description string
	Limit       int
	Timeout     time.Duration
	Breaker     breaker.Setting
	Roles       []string
	Hidden      bool
	MCPRequired []string
	Effect      Effect
	// Refine adds to the schema of the params what their Go type cannot say.
	Refine func(properties map[string]*jsonschema.Schema)
}

// New makes a Method from its handler. P is the type of its params, R of its result, which a
// handler gives as JSON: most results come from the script as they are.
func New[P, R any](s Spec, handle func(context.Context, *Call, *P) (json.RawMessage, error)) (*Method, error) {
	decoder, err := params.New[P](s.Refine)
	if err != nil {
		return nil, fmt.Errorf("method %s: %w", s.Name, err)
	}
	for _, name := range s.MCPRequired {
		if decoder.Schema.Properties[name] == nil {
			return nil, fmt.Errorf("method %s: MCPRequired names %s, which is no param", s.Name, name)
		}
	}
	result, err := params.SchemaOf[R](nil)
	if err != nil {
		return nil, fmt.Errorf("method %s: %w", s.Name, err)
	}
	return &Method{
		Name: s.Name, Description: s.Description, Limit: s.Limit, TokenLimit: TokenShare * s.Limit, Timeout: s.Timeout, Breaker: s.Breaker, Roles: s.Roles,
		Hidden: s.Hidden, MCPRequired: s.MCPRequired, Effect: s.Effect, Params: decoder.Schema, Result: result, Stats: new(callstats.Counter),
		Run: func(ctx context.Context, c *Call) (json.RawMessage, error) {
			var also []string
			if c.MCP {
				also = s.MCPRequired
			}
			p, err := decoder.Decode(c.Params, also...)
			if err != nil {
				return nil, err
			}
			result, err := c.method.Circuit.Do(func() (json.RawMessage, error) { return handle(ctx, c, p) },
				func(err error) error { return c.sign(ctx, err) })
			if errors.Is(err, breaker.ErrOpen) {
				return nil, api.Internal(api.CircuitBreakerOpen)
			}
			return result, err
		},
	}, nil
}

// Collect makes the methods of a list.
func Collect(define ...func() (*Method, error)) ([]*Method, error) {
	list := make([]*Method, len(define))
	for i, each := range define {
		m, err := each()
		if err != nil {
			return nil, err
		}
		list[i] = m
	}
	return list, nil
}
