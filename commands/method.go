package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/google/jsonschema-go/jsonschema"
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

	run func(context.Context, *call) (json.RawMessage, error)
	// stats counts the calls in the coordinator that this Method belongs to.
	stats *callStats
	// circuit guards the method in that coordinator; nil for no breaker.
	circuit *circuit
}

// Breaker is the setting of a circuit breaker: so many failures of the infrastructure in a row open it; 0 is no breaker.
type Breaker struct {
	Failures int
	Open     time.Duration
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
		Hidden: s.hidden, Effect: s.effect, Params: params.schema, Result: result, stats: new(callStats),
		run: func(ctx context.Context, c *call) (json.RawMessage, error) {
			p, err := params.decode(c.Params)
			if err != nil {
				return nil, err
			}
			return c.guarded(ctx, func() (json.RawMessage, error) { return handle(ctx, c, p) })
		},
	}, nil
}
