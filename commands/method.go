package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
)

// Method is a command as the API offers it.
type Method struct {
	Name        string
	Description string
	// Limit is how many calls a minute an actor may make; 0 is no limit.
	Limit int
	// Timeout is when a call is given up at the latest.
	Timeout time.Duration
	// Breaker says when the circuit breaker of the method opens, and for how long.
	Breaker Breaker
	// Roles are those of which a token must have one.
	Roles []string
	// Hidden methods are not offered to models by MCP.
	Hidden bool
	// Effect is what a call does to the world.
	Effect Effect
	// Params and Result are their schemas.
	Params, Result *jsonschema.Schema

	// Run runs one call.
	Run func(context.Context, *call) (json.RawMessage, error)
	// Stats counts the calls in the coordinator that this Method belongs to.
	Stats *callStats
	// Circuit guards the method in that coordinator; nil for no breaker.
	Circuit *circuit
}

// Effect tells what a call does, as MCP's annotations do.
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
	readers = []string{api.RoleAgent, api.RoleOperator, api.RoleAdmin, api.RoleAuditor}
	writers = []string{api.RoleAgent, api.RoleOperator, api.RoleAdmin}
	admins  = []string{api.RoleAdmin}
)

// spec is what the list says of a method beside its types.
type spec struct {
	name        string
	description string
	limit       int
	timeout     time.Duration
	breaker     Breaker
	roles       []string
	hidden      bool
	effect      Effect
	// refine adds to the schema of the params what their Go type cannot say.
	refine func(properties map[string]*jsonschema.Schema)
}

// method makes a Method from its handler. P is the type of its params, R of its result, which a handler
// gives as JSON: most results come from the script as they are.
func method[P, R any](s spec, handle func(context.Context, *call, *P) (json.RawMessage, error)) (*Method, error) {
	params, err := newParams[P](s.refine)
	if err != nil {
		return nil, fmt.Errorf("method %s: %w", s.name, err)
	}
	result, err := schemaOf[R](nil)
	if err != nil {
		return nil, fmt.Errorf("method %s: %w", s.name, err)
	}
	return &Method{
		Name: s.name, Description: s.description, Limit: s.limit, Timeout: s.timeout, Breaker: s.breaker, Roles: s.roles,
		Hidden: s.hidden, Effect: s.effect, Params: params.schema, Result: result, Stats: new(callStats),
		Run: func(ctx context.Context, c *call) (json.RawMessage, error) {
			p, err := params.decode(c.Params)
			if err != nil {
				return nil, err
			}
			result, err := c.method.Circuit.do(func() (json.RawMessage, error) { return handle(ctx, c, p) },
				func(err error) error { return c.sign(ctx, err) })
			if errors.Is(err, errCircuitOpen) {
				return nil, api.Internal(api.CircuitBreakerOpen)
			}
			return result, err
		},
	}, nil
}

// collect makes the methods of a list.
func collect(define ...func() (*Method, error)) ([]*Method, error) {
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
