// Package breaker implements the circuit breakers of a coordinator, one for each method. Their
// state is in process, so they work while Redis is unavailable. The Reporter reports changes of
// state to Redis once Redis accepts them.
package breaker

import (
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/claudebench/claudebench/events"
)

// States of a circuit.
const (
	Closed   = "CLOSED"    // all calls pass
	Open     = "OPEN"      // no call passes
	HalfOpen = "HALF_OPEN" // one trial call passes
)

// maxUnreported is the maximum number of unreported changes of one circuit.
const maxUnreported = 8

// Setting configures a circuit breaker. Failures is how many consecutive failures of the
// infrastructure open it; 0 disables it. Open is how long it stays open.
type Setting struct {
	Failures int
	Open     time.Duration
}

// Circuit is the circuit breaker of one method in one coordinator. Its state is in process, because
// it must work while Redis is unavailable. Reporter.Report reports its changes to Redis.
type Circuit struct {
	method  string
	setting Setting
	log     *slog.Logger
	breaker *gobreaker.CircuitBreaker[json.RawMessage]

	mu       sync.Mutex
	failures int       // consecutive ones that opened it
	until    time.Time // end of the time it was last opened for
	Changes  []Change
	last     Change // the latest change, reported or not
}

// Change is a change of a circuit's state.
type Change struct {
	State     string
	Failures  int
	Until, At int64 // ms
}

// New returns a closed circuit for a method.
func New(method string, setting Setting, log *slog.Logger) *Circuit {
	c := &Circuit{method: method, setting: setting, log: log}
	c.breaker = gobreaker.NewCircuitBreaker[json.RawMessage](gobreaker.Settings{
		Timeout: setting.Open,
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			return int(counts.ConsecutiveFailures) >= setting.Failures
		},
		IsSuccessful: func(err error) bool { return !errors.Is(err, ErrInfrastructure) },
		// A panic says nothing about the infrastructure either.
		IsExcluded:    func(err error) bool { return err != nil && !errors.Is(err, ErrInfrastructure) },
		OnStateChange: func(_ string, from, to gobreaker.State) { c.changed(from, to) },
	})
	return c
}

// Signs of the infrastructure's health that a call can give. The breaker sees only these.
var (
	ErrInfrastructure = errors.New("the infrastructure failed")
	ErrNoSign         = errors.New("the call says nothing about the infrastructure")
)

// Do runs a call if the circuit lets it pass. Otherwise it returns ErrOpen. sign returns what the
// call's error says about the infrastructure: nil, ErrInfrastructure or ErrNoSign.
func (c *Circuit) Do(run func() (json.RawMessage, error), sign func(error) error) (json.RawMessage, error) {
	if c == nil {
		return run()
	}
	var failed error
	result, err := c.breaker.Execute(func() (json.RawMessage, error) {
		result, err := run()
		failed = err
		return result, sign(err)
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return nil, ErrOpen
	}
	return result, failed
}

// ErrOpen is the error of a call that an open circuit rejected.
var ErrOpen = errors.New("the circuit is open")

// State returns the state of the circuit.
func (c *Circuit) State() string {
	if c == nil {
		return Closed
	}
	switch c.breaker.State() {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	default:
		return Closed
	}
}

// States returns all states of a circuit.
func States() []string { return []string{Closed, Open, HalfOpen} }

// changed notes a change of state for the next report. The breaker calls it while holding its own
// lock.
func (c *Circuit) changed(from, to gobreaker.State) {
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
			c.log.Warn("a circuit breaker opened; calls of the method are rejected until the open time ends and a call succeeds",
				"method", c.method, "failures", c.failures, "until", c.until.UTC().Format(events.TimeLayout))
		}
		c.Note(Change{Open, c.failures, c.until.UnixMilli(), now.UnixMilli()})
	case gobreaker.StateClosed:
		c.log.Info("a circuit breaker closed", "method", c.method)
		c.Note(Change{Closed, c.failures, c.until.UnixMilli(), now.UnixMilli()})
		c.failures = 0
	case gobreaker.StateHalfOpen: // no event: the end was announced when it opened
		c.Note(Change{HalfOpen, c.failures, c.until.UnixMilli(), c.until.UnixMilli()})
	}
}

// Note adds a change. If too many are unreported, it keeps the first ones and the last.
func (c *Circuit) Note(change Change) {
	c.last = change
	if len(c.Changes) == maxUnreported {
		c.Changes[maxUnreported-1] = change
		return
	}
	c.Changes = append(c.Changes, change)
}

// unreported returns the next change to report.
func (c *Circuit) unreported() (Change, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.Changes) == 0 {
		return Change{}, false
	}
	return c.Changes[0], true
}

// reported removes a change from the list, unless a newer one has replaced it.
func (c *Circuit) reported(change Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.Changes) > 0 && c.Changes[0] == change {
		c.Changes = c.Changes[1:]
	}
}

// standing returns the change that led to the current state, if it is reported and the circuit is
// not closed. A flush may have removed that report.
func (c *Circuit) standing() (Change, bool) {
	closed := c.State() == Closed // also ends the open time if it is over, which is a change
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, !closed && len(c.Changes) == 0
}
