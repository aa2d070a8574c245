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
	Tokens Tokens
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

// Call runs one command and gives its result as JSON. The error is always an *Error.
func (c *Coordinator) Call(ctx context.Context, request Request) (json.RawMessage, error) {
	m := c.methods[request.Method]
	if m == nil {
		return nil, MethodNotFound(request.Method)
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
func (c *Coordinator) perform(ctx context.Context, m *Method, request Request) (json.RawMessage, error) {
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
	if known := (*Error)(nil); errors.As(err, &known) {
		return nil, known
	}
	c.options.Logger.ErrorContext(ctx, "a command failed by a fault of ours", "method", request.Method, "error", err)
	return nil, Internal("")
}

// call is one run of one command.
type call struct {
	*Coordinator
	Request
	method *Method
	token  Token // zero where no tokens are in use
	late   bool  // most of the method's time was over before the call began
}

// run runs the script that decides the command: its arguments are the envelope's context and the rate
// limit, then those given. instance is the one that the caller acts for, "" for none.
func (c *call) run(ctx context.Context, script *lua.Script, instance string, args ...any) (any, error) {
	if instance != "" {
		if err := c.mayName(instance); err != nil {
			return nil, err
		}
	}
	full := make([]any, 0, 3+len(args))
	full = append(full, c.context(instance, c.Cause), c.subject(instance), c.method.Limit)
	return c.script(ctx, script, append(full, args...)...)
}

func (c *Coordinator) script(ctx context.Context, script *lua.Script, args ...any) (any, error) {
	if c.tracer != nil {
		return c.scriptTraced(ctx, script, args)
	}
	return c.scripts.Run(ctx, script, []string{c.keys.Log()}, args...)
}

// decide is run for a script that returns the method's result as JSON text.
func (c *call) decide(ctx context.Context, script *lua.Script, instance string, args ...any) (json.RawMessage, error) {
	reply, err := c.run(ctx, script, instance, args...)
	if err != nil {
		return nil, err
	}
	text, ok := reply.(string)
	if !ok {
		return nil, fmt.Errorf("script %s returned %T, not text", script.Name, reply)
	}
	return json.RawMessage(text), nil
}

// actor is who acts: the token's name and the instance, either of them, or anonymous.
func (c *call) actor(instance string) string {
	switch {
	case c.Caller != "" && instance != "":
		return c.Caller + "/" + instance
	case c.Caller != "":
		return c.Caller
	case instance != "":
		return instance
	}
	return "anonymous"
}

// context is the inside of the envelope that tells the actor, the cause and the trace.
func (c *call) context(instance, cause string) string {
	return envelopeContext(c.actor(instance), cause, c.Trace)
}

func envelopeContext(actor, cause, trace string) string {
	b := make([]byte, 0, 96)
	b = append(append(b, `"actor":`...), quote(actor)...)
	b = append(append(b, `,"cause":`...), quotedOrNull(cause)...)
	b = append(append(b, `,"trace":`...), quotedOrNull(trace)...)
	return string(b)
}

func quotedOrNull(s string) []byte {
	if s == "" {
		return []byte("null")
	}
	return quote(s)
}

// subject is whose calls of the method the rate limit counts: the instance's, else the token's, else the address's. An
// instance's are counted for each token, so that nobody uses up another's by naming its instances.
func (c *call) subject(instance string) string {
	if instance == "" && c.Caller == "" {
		return c.Method + ":" + c.Addr
	}
	return c.Method + ":" + c.actor(instance)
}

func ms(d time.Duration) int64 { return d.Milliseconds() }
