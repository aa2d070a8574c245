// Package commands is what the coordinator does: one file for each command, with its params, its result,
// its limits and the script that decides it. The list of them is in list.go; transports, discovery and
// documentation derive from it.
//
// Transports call Coordinator.Call, the monitor calls Coordinator.Sweep. Nothing here keeps state of its
// own but the circuit breakers: everything is decided by the scripts in Redis, so any number of
// coordinators work side by side. When Redis cannot be reached, Call answers "Redis unavailable" within the
// method's timeout, or "Outcome unknown" when a script was sent and its reply was lost; after some of these
// in a row, "Circuit breaker open" at once, for the method's time.
package commands

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/lua"
)

// Options configure a Coordinator. Zero values take the defaults that are named.
type Options struct {
	Redis     redis.UniversalClient
	Namespace string
	// InstanceTTL is how long a registration lasts without a heartbeat. Default 30 s.
	InstanceTTL time.Duration
	// MonitorInterval is how often Sweep is called. Default 1 s.
	MonitorInterval time.Duration
	// TaskRetention is how long finished tasks stay in Redis. Default 7 days.
	TaskRetention time.Duration
	// RateLimits replaces the limits of methods, in calls a minute and actor; 0 is none.
	RateLimits map[string]int
	// BreakerOpen replaces the time that circuit breakers stay open; 0 leaves each method its own. For tests.
	BreakerOpen time.Duration
	// Tokens are those that callers must have one of; nil where none are in use, and everybody may do everything.
	Tokens api.Tokens
	// Tasks is the view that task.list reads; nil where there is no Postgres.
	Tasks TaskView
	// Rows are the rows of that view, for a flush; nil where there is no Postgres.
	Rows TaskRows
	// MCP says that the MCP endpoint is served, which system.health tells.
	MCP bool
	// Traces makes the spans of commands and their scripts; nil for none.
	Traces trace.TracerProvider
	// Logger takes faults of ours. Default slog.Default().
	Logger *slog.Logger
}

// Coordinator runs commands.
type Coordinator struct {
	options Options
	keys    keys.Space
	scripts *lua.Runner
	list    []*Method
	methods map[string]*Method
	started time.Time
	tracer  trace.Tracer // nil where traces are off

	name    string                 // of this process, for leases
	stopped context.Context        //nolint:containedctx // ends with the coordinator, not with a call
	stop    context.CancelFunc     // see Stop
	work    sync.RWMutex           // held for reading by work that goes on without its caller
	dies    func(step string) bool // for tests: where a flush is left as by a coordinator that dies

	reporting sync.Mutex // held while circuits' changes are reported

	// mcp counts the calls that came by MCP.
	mcp callStats
}

// New returns a Coordinator, or says what is wrong with its options.
func New(o Options) (*Coordinator, error) {
	space, err := keys.New(o.Namespace)
	if err != nil {
		return nil, err
	}
	if o.InstanceTTL == 0 {
		o.InstanceTTL = 30 * time.Second
	}
	if o.MonitorInterval == 0 {
		o.MonitorInterval = time.Second
	}
	if o.TaskRetention == 0 {
		o.TaskRetention = 7 * 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	c := &Coordinator{options: o, keys: space, scripts: lua.NewRunner(o.Redis), methods: map[string]*Method{}, started: time.Now(), name: rand.Text()}
	if o.Traces != nil {
		c.tracer = o.Traces.Tracer(tracerName)
	}
	c.stopped, c.stop = context.WithCancel(context.Background())
	if c.list, err = Methods(); err != nil {
		return nil, err
	}
	for _, m := range c.list {
		if c.methods[m.Name] != nil {
			return nil, fmt.Errorf("method %s is in the list twice", m.Name)
		}
		c.methods[m.Name] = m
		if o.BreakerOpen > 0 {
			m.Breaker.Open = o.BreakerOpen
		}
		if m.Breaker.Failures > 0 {
			m.circuit = newCircuit(m, o.Logger)
		}
	}
	for name, limit := range o.RateLimits {
		if c.methods[name] == nil {
			return nil, fmt.Errorf("rate limit for %s: no such method", name)
		}
		c.methods[name].Limit = limit
	}
	return c, nil
}

// Methods lists the methods with the limits in force. Nobody changes them.
func (c *Coordinator) Methods() []*Method { return c.list }

// Known tells whether there is such a method.
func (c *Coordinator) Known(method string) bool { return c.methods[method] != nil }

// Stats are the statistics of all methods, in the order of the list. Calls under way are not in them.
func (c *Coordinator) Stats() []CallStats {
	all := make([]CallStats, len(c.list))
	for i, m := range c.list {
		all[i] = m.stats.snapshot(m.Name)
	}
	return all
}

// Call runs one command and gives its result as JSON. The error is always an *Error.
func (c *Coordinator) Call(ctx context.Context, request api.Request) (json.RawMessage, error) {
	m := c.methods[request.Method]
	if m == nil {
		return nil, api.MethodNotFound(request.Method)
	}
	began := time.Now()
	if request.Received.IsZero() {
		request.Received = began
	}
	var result json.RawMessage
	var err error
	if c.tracer == nil {
		result, err = c.perform(ctx, m, request)
	} else {
		result, err = c.performTraced(ctx, m, request)
	}
	m.stats.record(began, err)
	if request.MCP {
		c.mcp.record(began, err)
	}
	return result, err
}

// perform runs a command whose method there is.
func (c *Coordinator) perform(ctx context.Context, m *Method, request api.Request) (json.RawMessage, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, request.Received.Add(m.Timeout), errMethodTimeout)
	defer cancel()
	token, err := c.authorize(request, m)
	if err != nil {
		return nil, err
	}
	late := time.Since(request.Received) > m.Timeout/2
	result, err := m.run(ctx, &call{Coordinator: c, Request: request, method: m, token: token, late: late})
	if err == nil {
		return result, nil
	}
	err = apiError(err)
	if known := (*api.Error)(nil); errors.As(err, &known) {
		return nil, known
	}
	c.options.Logger.ErrorContext(ctx, "a command failed by a fault of ours", "method", request.Method, "error", err)
	return nil, api.Internal("")
}

func (c *Coordinator) script(ctx context.Context, script *lua.Script, args ...any) (any, error) {
	if c.tracer != nil {
		return c.scriptTraced(ctx, script, args)
	}
	return c.scripts.Run(ctx, script, []string{c.keys.Log()}, args...)
}
