// Package command defines what commands consist of: a Method as the API offers it, the Call that a
// handler gets, and the mapping of errors to those of the API. commands/system and commands/task
// define methods with New, and package commands runs them.
//
// APIError maps a handler's errors of Redis (lua.ErrUnavailable, lua.ErrOutcomeUnknown, *lua.Error)
// and of the task view to errors of the API. Any other error is a fault of the coordinator.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	// Limit is the maximum number of calls a minute of an actor; 0 is no limit.
	Limit int
	// TokenLimit is the maximum number of calls a minute of all instances of a token together; 0 is
	// no limit.
	TokenLimit int
	// CountsAs is the method whose limits an item of a call counts for, as if it were a call. ""
	// means that the method has limits of its own.
	CountsAs string
	// ByteLimit is the maximum number of bytes of params a minute that a token, or an address
	// without one, may send to all methods that change something; 0 is no limit. Params of up to 4
	// KiB do not count.
	ByteLimit int
	// LongAnswers is set if a short call that changes something returns whole tasks. The bytes of
	// such answers have the same limit as the bytes of params, counted apart.
	LongAnswers bool
	// Timeout limits the duration of a call, besides the time that it waits because its params ask
	// for it.
	Timeout time.Duration
	// Breaker configures the method's circuit breaker.
	Breaker breaker.Setting
	// Roles are the roles that may call the method. A token needs one of them.
	Roles []string
	// Hidden methods are not offered to models over MCP.
	Hidden bool
	// MCPRequired are params that are required over MCP.
	MCPRequired []string
	// MCPHidden are params that are not offered to models over MCP. A call may have them all the same.
	// The name items.text is the member text of each element of items.
	MCPHidden []string
	// Effect is the effect of a call.
	Effect Effect
	// Params and Result are the schemas of the params and the result.
	Params, Result *jsonschema.Schema

	// Run runs one call.
	Run func(context.Context, *Call) (json.RawMessage, error)
	// Stats counts the calls of this coordinator.
	Stats *callstats.Counter
	// Circuit is the method's circuit breaker in this coordinator. Nil means none.
	Circuit *breaker.Circuit
}

// Effect is the effect of a call, as MCP's annotations classify it.
type Effect int

// Effects of methods.
const (
	Reads    Effect = iota // changes nothing
	Adds                   // each call adds something
	Sets                   // repeating the same call changes nothing more
	Destroys               // removes or overwrites
)

// Roles that may call a method.
var (
	Readers   = []string{api.RoleAgent, api.RoleOperator, api.RoleAdmin, api.RoleAuditor}
	Writers   = []string{api.RoleAgent, api.RoleOperator, api.RoleAdmin}
	Operators = []string{api.RoleOperator, api.RoleAdmin}
	Admins    = []string{api.RoleAdmin}
	Auditors  = []string{api.RoleAuditor, api.RoleOperator, api.RoleAdmin}
)

// TokenShare is a token's rate limit for all its instances together, as a multiple of the method's
// limit.
const TokenShare = 5

// Spec describes a method, apart from its types.
type Spec struct {
	Name        string
	Description string
	Limit       int
	CountsAs    *Method // nil for a method with limits of its own
	Timeout     time.Duration
	Breaker     breaker.Setting
	Roles       []string
	Hidden      bool
	MCPRequired []string
	MCPHidden   []string
	Effect      Effect
	LongAnswers bool // see Method
	// Refine adds to the schema of the params what their Go type cannot express.
	Refine func(properties map[string]*jsonschema.Schema)
}

// paramOf returns the schema of a param, nil if there is none. The name items.text is the member text
// of each element of items.
func paramOf(s *jsonschema.Schema, name string) *jsonschema.Schema {
	name, member, nested := strings.Cut(name, ".")
	p := s.Properties[name]
	if !nested || p == nil {
		return p
	}
	if p.Items == nil {
		return nil
	}
	return p.Items.Properties[member]
}

// New returns a Method for a handler. P is the type of its params and R of its result. A handler
// returns its result as JSON, because most results come unchanged from a script.
func New[P, R any](s Spec, handle func(context.Context, *Call, *P) (json.RawMessage, error)) (*Method, error) {
	decoder, err := params.New[P](s.Refine)
	if err != nil {
		return nil, fmt.Errorf("method %s: %w", s.Name, err)
	}
	for _, name := range slices.Concat(s.MCPRequired, s.MCPHidden) {
		if paramOf(decoder.Schema, name) == nil {
			return nil, fmt.Errorf("method %s: MCPRequired or MCPHidden names %s, which is not a param", s.Name, name)
		}
	}
	result, err := params.SchemaOf[R](nil)
	if err != nil {
		return nil, fmt.Errorf("method %s: %w", s.Name, err)
	}
	countsAs := ""
	if s.CountsAs != nil {
		countsAs, s.Limit = s.CountsAs.Name, s.CountsAs.Limit
	}
	return &Method{
		Name: s.Name, CountsAs: countsAs, Description: s.Description, Limit: s.Limit, TokenLimit: TokenShare * s.Limit, Timeout: s.Timeout, Breaker: s.Breaker, Roles: s.Roles,
		Hidden: s.Hidden, MCPRequired: s.MCPRequired, MCPHidden: s.MCPHidden, Effect: s.Effect, LongAnswers: s.LongAnswers, Params: decoder.Schema, Result: result, Stats: new(callstats.Counter),
		Run: func(ctx context.Context, c *Call) (json.RawMessage, error) {
			p, err := decoder.Decode(c.Params, c.alsoRequired()...)
			if err != nil {
				return nil, err
			}
			timeout := c.method.Timeout
			if w, ok := any(p).(Waiter); ok && w.Waits() > 0 {
				ctx, cancel := context.WithDeadlineCause(ctx, c.Received.Add(timeout+w.Waits()), ErrTimeout)
				defer cancel()
				return handle(ctx, c, p)
			}
			ctx, cancel := context.WithDeadlineCause(ctx, c.Received.Add(timeout), ErrTimeout)
			defer cancel()
			return c.Guard(ctx, func() (json.RawMessage, error) { return handle(ctx, c, p) })
		},
	}, nil
}

// Waiter is implemented by params that can ask a call to wait. Waits returns for how long, beyond
// the method's timeout. The handler of a call that waits guards each of its attempts itself
// (Call.Guard), so that the time between them says nothing about the infrastructure.
type Waiter interface{ Waits() time.Duration }

// Guard runs a part of a call if the method's circuit breaker lets it pass, and tells the breaker
// the outcome.
func (c *Call) Guard(ctx context.Context, run func() (json.RawMessage, error)) (json.RawMessage, error) {
	result, err := c.method.Circuit.Do(run, func(err error) error { return c.sign(ctx, err) })
	if errors.Is(err, breaker.ErrOpen) {
		return nil, api.Internal(api.CircuitBreakerOpen)
	}
	return result, err
}

// alsoRequired names the params that the call must have beside those of the schema.
func (c *Call) alsoRequired() []string {
	if c.MCP {
		return c.method.MCPRequired
	}
	return nil
}

// Made returns a method that was made before, for a list of Collect.
func Made(m *Method) func() (*Method, error) {
	return func() (*Method, error) { return m, nil }
}

// Collect returns the methods of a list.
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
