package commands

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// The states of a circuit.
const (
	circuitClosed   = "CLOSED"    // it lets calls through
	circuitOpen     = "OPEN"      // it lets none through
	circuitHalfOpen = "HALF_OPEN" // it lets one through, to see
)

var reportCircuit = lua.Named("report_circuit")

const (
	// circuitKept is how long Redis shows what a coordinator last reported of a circuit.
	circuitKept = time.Hour
	// maxUnreported bounds what waits to be reported of one circuit.
	maxUnreported = 8
)

// errMethodTimeout ends a call at its method's timeout. A call that ended by anything else was given up by its caller.
var errMethodTimeout = errors.New("the method's timeout is over")

// circuit is the circuit breaker of one method in one coordinator. It works in process, for it is there for when Redis is
// gone; what it did is reported to Redis when that can take it, by Sweep.
type circuit struct {
	method  string
	setting Breaker
	log     *slog.Logger
	breaker *gobreaker.CircuitBreaker[json.RawMessage]

	mu       sync.Mutex
	failures int       // in a row, that opened it
	until    time.Time // the time that it was last opened for
	changes  []circuitChange
	last     circuitChange // the latest of them, told or not
}

// circuitChange is a change of state.
type circuitChange struct {
	state     string
	failures  int
	until, at int64 // ms
}

func newCircuit(m *Method, log *slog.Logger) *circuit {
	c := &circuit{method: m.Name, setting: m.Breaker, log: log}
	c.breaker = gobreaker.NewCircuitBreaker[json.RawMessage](gobreaker.Settings{
		Timeout: m.Breaker.Open,
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			return int(counts.ConsecutiveFailures) >= m.Breaker.Failures
		},
		IsSuccessful: func(err error) bool { return !errors.Is(err, errInfrastructure) },
		// A panic as well tells nothing of the infrastructure.
		IsExcluded:    func(err error) bool { return err != nil && !errors.Is(err, errInfrastructure) },
		OnStateChange: func(_ string, from, to gobreaker.State) { c.changed(from, to) },
	})
	return c
}

// What a call tells of the infrastructure. The breaker sees these and nothing else.
var (
	errInfrastructure = errors.New("the infrastructure failed")
	errNoSign         = errors.New("the call tells nothing of the infrastructure")
)

// guarded runs a method's handler if its circuit lets it through.
func (c *call) guarded(ctx context.Context, handle func() (json.RawMessage, error)) (json.RawMessage, error) {
	if c.method.circuit == nil {
		return handle()
	}
	var failed error
	result, err := c.method.circuit.breaker.Execute(func() (json.RawMessage, error) {
		result, err := handle()
		failed = err
		return result, c.sign(ctx, err)
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return nil, api.Internal(api.CircuitBreakerOpen)
	}
	return result, failed
}

// sign is what a call that ended so tells of the infrastructure: nil that it works.
func (c *call) sign(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	failed := apiError(err)
	switch api.OutcomeOf(failed) {
	case api.OutcomeInvalid, api.OutcomeUnauthorized, api.OutcomeRateLimited:
		return errNoSign // perhaps nobody was asked, or Redis and not Postgres
	case api.OutcomeUnavailable, api.OutcomeLost:
		if c.options.Tasks == nil && outcomeIs(failed, api.PostgresUnavailable) {
			return nil // there is none to be away, and Redis has answered
		}
	case api.OutcomeFault:
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrViewUnavailable) {
			return errNoSign
		}
	default:
		return nil
	}
	if ctx.Err() != nil && (c.late || !errors.Is(context.Cause(ctx), errMethodTimeout)) {
		return errNoSign // the caller did not wait, or took the time itself to send the request
	}
	return errInfrastructure
}

// outcomeIs tells whether an error is an internal one that says this.
func outcomeIs(err error, what string) bool {
	var known *api.Error
	return errors.As(err, &known) && known.Data == what
}

// state tells how the circuit stands.
func (c *circuit) state() string {
	if c == nil {
		return circuitClosed
	}
	switch c.breaker.State() {
	case gobreaker.StateOpen:
		return circuitOpen
	case gobreaker.StateHalfOpen:
		return circuitHalfOpen
	default:
		return circuitClosed
	}
}

// CircuitStates are the states that a circuit may have.
func CircuitStates() []string { return []string{circuitClosed, circuitOpen, circuitHalfOpen} }

// Circuit is how the method's circuit stands in the coordinator that gave the method; "" where it has none.
func (m *Method) Circuit() string {
	if m.circuit == nil {
		return ""
	}
	return m.circuit.state()
}

// changed notes a change of state, so that it is reported. The breaker calls it with its own lock held.
func (c *circuit) changed(from, to gobreaker.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch to {
	case gobreaker.StateOpen:
		c.failures++
		if from == gobreaker.StateClosed {
			c.failures = c.setting.Failures
		}
		c.until = now.Add(c.setting.Open)
		if from == gobreaker.StateClosed {
			c.log.Warn("a circuit breaker opened: calls of the method are refused until the time is over and one succeeds",
				"method", c.method, "failures", c.failures, "until", c.until.UTC().Format(isoLayout))
		}
		c.note(circuitChange{circuitOpen, c.failures, c.until.UnixMilli(), now.UnixMilli()})
	case gobreaker.StateClosed:
		c.log.Info("a circuit breaker closed", "method", c.method)
		c.note(circuitChange{circuitClosed, c.failures, c.until.UnixMilli(), now.UnixMilli()})
		c.failures = 0
	case gobreaker.StateHalfOpen: // no event: the time is over, as was told
		c.note(circuitChange{circuitHalfOpen, c.failures, c.until.UnixMilli(), c.until.UnixMilli()})
	}
}

// note adds a change. Of more than can wait, the first ones are told and the last.
func (c *circuit) note(change circuitChange) {
	c.last = change
	if len(c.changes) == maxUnreported {
		c.changes[maxUnreported-1] = change
		return
	}
	c.changes = append(c.changes, change)
}

// unreported gives the change that is to be reported next.
func (c *circuit) unreported() (circuitChange, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.changes) == 0 {
		return circuitChange{}, false
	}
	return c.changes[0], true
}

// reported takes a change off the list, unless a newer one has taken its place.
func (c *circuit) reported(change circuitChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.changes) > 0 && c.changes[0] == change {
		c.changes = c.changes[1:]
	}
}

// standing gives the change that made the circuit what it is, once it is told and while calls are refused: a flush may have
// removed what was told.
func (c *circuit) standing() (circuitChange, bool) {
	closed := c.state() == circuitClosed // also lets its time run out, which is a change
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, !closed && len(c.changes) == 0
}

// reportCircuits tells Redis how circuits stand and, by events, which opened and closed. What cannot be told stays for the next time.
func (c *Coordinator) reportCircuits(ctx context.Context) error {
	c.reporting.Lock()
	defer c.reporting.Unlock()
	for _, m := range c.list {
		if m.circuit == nil {
			continue
		}
		if change, standing := m.circuit.standing(); standing {
			if err := c.reportCircuit(ctx, m, change); err != nil {
				return err
			}
		}
		for change, more := m.circuit.unreported(); more; change, more = m.circuit.unreported() {
			if err := c.reportCircuit(ctx, m, change); err != nil {
				return err
			}
			m.circuit.reported(change)
		}
	}
	return nil
}

// reportCircuit tells one change. Told again, it changes nothing.
func (c *Coordinator) reportCircuit(ctx context.Context, m *Method, change circuitChange) error {
	_, err := c.script(ctx, reportCircuit, envelopeContext("coordinator", "", ""), m.Name, c.name,
		change.state, change.failures, change.until, change.at, ms(circuitKept))
	return err
}
