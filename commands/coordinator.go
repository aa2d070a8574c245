// Package commands runs the coordinator's methods. The methods themselves are in one package for
// each domain; list.go lists the domains. Transports, discovery and documentation derive from that
// list.
//
// Transports call Coordinator.Call, and the monitor calls Coordinator.Sweep. A script in Redis
// decides every command, so any number of coordinators work side by side. The process itself keeps
// only circuit breakers and statistics. If Redis is unavailable, Call returns "Redis unavailable"
// within the method's timeout, or "Outcome unknown" if a script was sent and its reply was lost.
// After several such errors in a row, the method's circuit breaker opens, and Call returns "Circuit
// breaker open" at once until the breaker's time is over.
package commands

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/claudebench/claudebench/commands/audit"
	"github.com/claudebench/claudebench/commands/event"
	"github.com/claudebench/claudebench/commands/hook"
	"github.com/claudebench/claudebench/commands/instance"
	"github.com/claudebench/claudebench/commands/limit"
	"github.com/claudebench/claudebench/commands/session"
	"github.com/claudebench/claudebench/commands/system"
	"github.com/claudebench/claudebench/commands/task"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/callstats"
	"github.com/claudebench/claudebench/internal/claudehook"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/flush"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/past"
	"github.com/claudebench/claudebench/internal/readiness"
	"github.com/claudebench/claudebench/internal/reassign"
	"github.com/claudebench/claudebench/internal/schedule"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/internal/timers"
	"github.com/claudebench/claudebench/internal/verification"
	"github.com/claudebench/claudebench/internal/waiting"
	"github.com/claudebench/claudebench/lua"
)

// Options configure a Coordinator. Zero values mean the documented defaults.
type Options struct {
	// Runner runs the scripts. A process has one Runner for each Redis.
	Runner *lua.Runner
	// Keys are the key names of the coordinator's namespace. The default is the default namespace.
	Keys keys.Space
	// InstanceTTL is how long a registration lasts without a heartbeat. The default is 30 s.
	InstanceTTL time.Duration
	// MonitorInterval is the interval at which Sweep is called. The default is 1 s.
	MonitorInterval time.Duration
	// TaskRetention is how long finished tasks stay in Redis. The default is 7 days.
	TaskRetention time.Duration
	// MaxLosses is after how many losses with its worker a task fails. The default is 10.
	MaxLosses int
	// RateLimits overrides the rate limits of methods by name, in calls a minute of each actor; 0
	// is no limit. A method that counts as another method always has that method's limits.
	RateLimits map[string]int
	// TokenRateLimits overrides the rate limits of all instances of a token together, by method, in
	// calls a minute; 0 is no limit. The default is five times the method's limit.
	TokenRateLimits map[string]int
	// ByteLimit is the maximum number of bytes of params a minute that a token, or an address
	// without one, may send to methods that change something. It is also the maximum number of
	// bytes of answers a minute that task.claim and task.update may return to it. 0 is no limit.
	// Params and answers of up to 4 KiB do not count.
	ByteLimit int
	// HookContent is how much of the content of agents' hooks is stored. The default is
	// claudehook.Names.
	HookContent claudehook.Level
	// Name identifies the coordinator in leases and in the circuit breaker states that it reports
	// to Redis. The default is random.
	Name string
	// FlushDies reports whether a flush stops at a step, as if the coordinator had died. It is for
	// tests.
	FlushDies func(ctx context.Context, step string) bool
	// FiringDies reports whether the coordinator dies between reading the due schedules and firing
	// them. It is for tests.
	FiringDies func() bool
	// BreakerOpen overrides how long circuit breakers stay open; 0 keeps each method's time. It is
	// for tests.
	BreakerOpen time.Duration
	// Tokens holds the accepted tokens. Nil disables authentication.
	Tokens api.Tokens
	// Tasks is the view that task.list and session.* read. Nil means no Postgres.
	Tasks taskview.View
	// Index is the index of events that task.history, instance.history and event.list read. Nil means
	// no Postgres; taskview.NoIndex means that there is none.
	Index taskview.EventIndex
	// Rows are the rows of that view, which a flush deletes. Nil means no Postgres.
	Rows taskview.Rows
	// Verify verifies the log for audit.verify. Nil means that the coordinator cannot.
	Verify verification.Func
	// Past folds the log for system.get_state with at and for audit.diff. Nil means that the coordinator
	// cannot.
	Past past.Reader
	// MCP is set if the MCP endpoint is served. system.health reports it.
	MCP bool
	// Version is the program's version, TraceURL the template of links to traces, and Stores
	// describes the stores. system.info reports them. Nil Stores are unknown.
	Version  string
	TraceURL string
	Stores   system.Stores
	// Traces creates the spans of commands and their scripts. Nil disables traces.
	Traces trace.TracerProvider
	// Logger receives the coordinator's own faults. The default is slog.Default().
	Logger *slog.Logger
}

// Coordinator runs commands.
type Coordinator struct {
	tokens   api.Tokens
	list     []*command.Method
	methods  map[string]*command.Method
	scripts  lua.Scripts
	circuits *breaker.Reporter
	flusher  *flush.Flusher
	verifier *verification.Verifier
	waiting  *waiting.Hub
	tick     reassign.SweepOptions
	sweeper  *reassign.Reassigner
	timers   *timers.Timers
	ticks    *schedule.Scheduler
	probe    *readiness.Probe
	tracer   trace.Tracer // nil if traces are disabled
	logger   *slog.Logger

	// mcp counts the calls over MCP.
	mcp callstats.Counter
}

// New returns a Coordinator, or an error that names the invalid option.
func New(o Options) (*Coordinator, error) {
	o.InstanceTTL = cmp.Or(o.InstanceTTL, 30*time.Second)
	o.MonitorInterval = cmp.Or(o.MonitorInterval, time.Second)
	o.TaskRetention = cmp.Or(o.TaskRetention, 7*24*time.Hour)
	o.MaxLosses = cmp.Or(o.MaxLosses, 10)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Past == nil {
		o.Past = past.Unavailable{}
	}
	c := &Coordinator{
		tokens: o.Tokens, scripts: o.Runner.On(o.Keys.Log()), methods: map[string]*command.Method{}, logger: o.Logger,
		tick: reassign.SweepOptions{
			Context: lua.EventContext("coordinator", "", ""), Timeout: o.InstanceTTL.Milliseconds(), Tick: true,
		},
	}
	c.probe = readiness.New(c.scripts)
	if o.Traces != nil {
		c.tracer = o.Traces.Tracer(tracerName)
		c.scripts = command.TraceScripts(c.scripts, c.tracer)
	}
	o.Name = cmp.Or(o.Name, rand.Text())
	c.sweeper = reassign.New(c.scripts, reassign.Options{
		TTL: o.InstanceTTL, Interval: o.MonitorInterval, Losses: o.MaxLosses, Retention: o.TaskRetention,
	})
	c.timers = timers.New(timers.Options{
		Scripts: c.scripts, Context: c.tick.Context, Retention: o.TaskRetention, Logger: o.Logger, UnderWay: flush.UnderWay,
	})
	c.ticks = schedule.New(schedule.Options{
		Scripts: c.scripts, Context: c.tick.Context, Retention: o.TaskRetention, Logger: o.Logger, UnderWay: flush.UnderWay, Fired: c.timers.Look,
		Dies: o.FiringDies,
	})
	c.flusher = flush.New(flush.Options{
		Scripts: c.scripts, Prefix: o.Keys.Prefix(), Rows: o.Rows, InstanceTTL: o.InstanceTTL, Name: o.Name, Logger: o.Logger, Dies: o.FlushDies,
	})
	c.verifier = verification.New(verification.Options{Scripts: c.scripts, Name: o.Name, Logger: o.Logger, Verify: o.Verify})
	c.waiting = waiting.New(waiting.Options{Scripts: c.scripts, Runner: o.Runner, Wakeups: o.Keys.Wakeups()})
	shares := taskview.NewShares()
	var err error
	c.list, err = methods(options{
		system: system.Options{
			Catalog: c, Past: o.Past, InstanceTTL: o.InstanceTTL, View: o.Tasks, Index: o.Index, MCP: o.MCP, Reassigner: c.sweeper, Flusher: c.flusher,
			Writable: c.probe.Writable, Info: system.Info{
				Version: o.Version, Namespace: o.Keys.Namespace(), TraceURL: o.TraceURL, Authentication: o.Tokens != nil, Stores: o.Stores,
			},
			Started: time.Now(), Logger: o.Logger,
		},
		task:     task.Options{View: o.Tasks, Index: o.Index, Shares: shares, Retention: o.TaskRetention, Waiting: c.waiting, Timers: c.timers},
		limit:    limit.Options{Timers: c.timers},
		session:  session.Options{View: o.Tasks, Shares: shares},
		instance: instance.Options{Index: o.Index, Shares: shares},
		event:    event.Options{Index: o.Index, Shares: shares},
		hook:     hook.Options{Content: cmp.Or(o.HookContent, claudehook.Names), Retention: o.TaskRetention},
		audit:    audit.Options{Verifier: c.verifier, Past: o.Past},
	})
	if err != nil {
		return nil, err
	}
	var circuits []*breaker.Circuit
	for _, m := range c.list {
		if c.methods[m.Name] != nil {
			return nil, fmt.Errorf("method %s is listed twice", m.Name)
		}
		c.methods[m.Name] = m
		if m.Effect != command.Reads {
			m.ByteLimit = o.ByteLimit
		}
		m.Breaker.Open = cmp.Or(o.BreakerOpen, m.Breaker.Open)
		if m.Breaker.Failures > 0 {
			m.Circuit = breaker.New(m.Name, m.Breaker, o.Logger)
			circuits = append(circuits, m.Circuit)
		}
	}
	c.circuits = breaker.NewReporter(c.scripts, o.Name, circuits)
	for name, limit := range o.RateLimits {
		if c.methods[name] == nil {
			return nil, fmt.Errorf("rate limit for %s: no such method", name)
		}
		c.methods[name].Limit, c.methods[name].TokenLimit = limit, command.TokenShare*limit
	}
	for name, limit := range o.TokenRateLimits {
		if c.methods[name] == nil {
			return nil, fmt.Errorf("token rate limit for %s: no such method", name)
		}
		c.methods[name].TokenLimit = limit
	}
	for _, m := range c.list {
		if as := c.methods[m.CountsAs]; as != nil {
			m.Limit, m.TokenLimit = as.Limit, as.TokenLimit
		}
	}
	return c, nil
}

// Methods returns the methods with the limits in force. Callers must not modify them.
func (c *Coordinator) Methods() []*command.Method { return c.list }

// Known reports whether a method exists.
func (c *Coordinator) Known(method string) bool { return c.methods[method] != nil }

// Stats returns the statistics of all methods, in the order of Methods. It leaves out calls in
// progress.
func (c *Coordinator) Stats() []callstats.Stats {
	all := make([]callstats.Stats, len(c.list))
	for i, m := range c.list {
		all[i] = m.Stats.Snapshot(m.Name)
		all[i].Circuit = m.Circuit.State()
	}
	return all
}

// MCPStats returns the statistics of all calls over MCP.
func (c *Coordinator) MCPStats() callstats.Stats { return c.mcp.Snapshot("") }

// Writable returns nil if Redis accepts commands, else the error that commands get. It asks Redis
// at most once a second and returns within about a second.
func (c *Coordinator) Writable(ctx context.Context) error { return c.probe.Writable(ctx) }

// Waiting returns how many calls wait for something: claims, for a task.
func (c *Coordinator) Waiting() int { return c.waiting.Waiting() }

// ClaimAttempts returns how many attempts to claim the calls of task.claim that wait have made.
func (c *Coordinator) ClaimAttempts() int64 { return c.waiting.Attempts() }

// StopWaiting ends all calls that wait for something, as if their time were over. Later calls do not
// wait.
func (c *Coordinator) StopWaiting() { c.waiting.Stop() }

// Stop ends the calls that wait, and what outlives its callers: a verification, which ends as
// interrupted, and a flush. It waits until a flush is undone or left to another coordinator.
func (c *Coordinator) Stop() {
	c.waiting.Close()
	c.verifier.Stop()
	c.flusher.Stop()
}

// Sweep is one tick of the monitor. It declares instances dead that have been silent for the
// instance TTL, requeues the tasks of lost instances, and assigns waiting tasks to live workers. It
// also finishes or undoes a flush whose coordinator is gone, and reports the changes of this
// coordinator's circuit breakers. Several coordinators may call it at once.
func (c *Coordinator) Sweep(ctx context.Context) error {
	if isFenced, err := c.flusher.Recover(ctx); isFenced || err != nil {
		return err
	}
	_, err := c.sweeper.Sweep(ctx, c.tick)
	if err == nil {
		err = c.ReportCircuits(ctx)
	}
	if flush.UnderWay(err) {
		return nil
	}
	return err
}

// RunTimers does what time alone brings about, until ctx ends: scheduled tasks become due, time
// limits and graces end. Several coordinators may run it at once.
func (c *Coordinator) RunTimers(ctx context.Context) { c.timers.Run(ctx) }

// StepTimers does a bounded part of that, and returns how many tasks it changed.
func (c *Coordinator) StepTimers(ctx context.Context) (int64, error) {
	changed, _, err := c.timers.Step(ctx)
	return changed, err
}

// RunSchedules creates the tasks of schedules at their ticks, until ctx ends. Several coordinators may
// run it at once.
func (c *Coordinator) RunSchedules(ctx context.Context) { c.ticks.Run(ctx) }

// FireSchedules creates the tasks of the ticks that have come, and returns how many ticks it has ended.
// RunSchedules calls it too, so do not call both.
func (c *Coordinator) FireSchedules(ctx context.Context) (int, error) {
	fired, _, err := c.ticks.Pass(ctx)
	return fired, err
}

// ReportCircuits reports the changes of this coordinator's circuit breakers to Redis. Sweep calls
// it too.
func (c *Coordinator) ReportCircuits(ctx context.Context) error { return c.circuits.Report(ctx) }

// Call runs one command and returns its result as JSON. Compare its error with nil before assigning
// it to a variable of type error: a nil *api.Error in such a variable is not nil.
func (c *Coordinator) Call(ctx context.Context, request api.Request) (json.RawMessage, *api.Error) {
	m := c.methods[request.Method]
	if m == nil {
		return nil, api.MethodNotFound(request.Method)
	}
	began := time.Now()
	if request.Received.IsZero() {
		request.Received = began
	}
	perform := c.perform
	if c.tracer != nil {
		perform = c.performTraced
	}
	result, waited, failed := perform(ctx, m, request)
	began = began.Add(waited)
	outcome := failed.Outcome()
	m.Stats.Record(began, outcome)
	if request.MCP {
		c.mcp.Record(began, outcome)
	}
	return result, failed
}

// perform authorizes and runs one command. waited is the time in which it only waited, because its
// params asked for it.
func (c *Coordinator) perform(ctx context.Context, m *command.Method, request api.Request) (result json.RawMessage, waited time.Duration, failed *api.Error) {
	token, failed := c.authorize(request, m)
	if failed != nil {
		return nil, 0, failed
	}
	call := command.NewCall(request, m, token, c.scripts)
	result, err := m.Run(ctx, call)
	if err == nil {
		return result, call.Waited(), nil
	}
	failed, known := command.APIError(err)
	if !known {
		c.logger.ErrorContext(ctx, "a command failed because of a bug in the coordinator; please report it", "method", request.Method, "error", err)
	}
	return nil, call.Waited(), failed
}
