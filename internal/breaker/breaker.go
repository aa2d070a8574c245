// Package breaker holds the circuit breakers of a coordinator, one for each method. A breaker works
// in process, so that it works while Redis is away, and its Reporter tells Redis about changes once
// Redis can take them.
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

// The states of a circuit.
const (
	Closed   = "CLOSED"    // it lets calls through
	Open     = "OPEN"      // it lets none through
	HalfOpen = "HALF_OPEN" // it lets one through, to see
)

// maxUnreported bounds what waits to be reported of one circuit.
const maxUnreported = 8

// Setting is the setting of a circuit breaker: so many failures of the infrastructure in a row open
// it; 0 is no breaker.
type Setting struct {
	Failures int
	Open     time.Duration
}

// Circuit is the circuit breaker of one method in one coordinator. It works in process, because it
// is there for when Redis is gone; what it did is reported to Redis when that can take it, by
// Sweep.
type Circuit struct {
	method  string
	setting Setting
	log     *slog.Logger
	breaker *gobreaker.CircuitBreaker[json.RawMessage]

	mu       sync.Mutex
	failures int       // in a row, that opened it
	until    time.Time // the time that it was last opened for
	Changes  []Change
	last     Change // the latest of them, told or not
}

// Change is a change of state.
type Change struct {
	State     string
	Failures  int
	Until, At int64 // ms
}

// New returns the closed circuit of a method.
func New(method string, setting Setting, log *slog.Logger) *Circuit {
	c := &Circuit{method: method, setting: setting, log: log}
	c.breaker = gobreaker.NewCircuitBreaker[json.RawMessage](gobreaker.Settings{
		Timeout: setting.Open,
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			return int(counts.ConsecutiveFailures) >= setting.Failures
		},
		IsSuccessful: func(err error) bool { return !errors.Is(err, ErrInfrastructure) },
		// A panic as well tells nothing of the infrastructure.
		IsExcluded:    func(err error) bool { return err != nil && !errors.Is(err, ErrInfrastructure) },
		OnStateChange: func(_ string, from, to gobreaker.State) { c.changed(from, to) },
	})
	return c
}

// What a call tells of the infrastructure. The breaker sees these and nothing else.
var (
	ErrInfrastructure = errors.New("the infrastructure failed")
	ErrNoSign         = errors.New("the call tells nothing of the infrastructure")
)

// Do runs a call if the circuit lets it through, else it returns errCircuitOpen. sign judges the
// call's error: nil, errInfrastructure or errNoSign.
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

// State reports how the circuit stands.
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

// States are the states that a circuit may have.
func States() []string { return []string{Closed, Open, HalfOpen} }

// changed notes a change of state, so that it is reported. The breaker calls it with its own lock
// held.
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
			c.log.Warn("a circuit breaker opened: calls of the method are refused until the time is over and one succeeds",
				"method", c.method, "failures", c.failures, "until", c.until.UTC().Format(events.TimeLayout))
		}
		c.Note(Change{Open, c.failures, c.until.UnixMilli(), now.UnixMilli()})
	case gobreaker.StateClosed:
		c.log.Info("a circuit breaker closed", "method", c.method)
		c.Note(Change{Closed, c.failures, c.until.UnixMilli(), now.UnixMilli()})
		c.failures = 0
	case gobreaker.StateHalfOpen: // no event: the time is over, as was told
		c.Note(Change{HalfOpen, c.failures, c.until.UnixMilli(), c.until.UnixMilli()})
	}
}

// Note adds a change. Of more than can wait, the first ones are told and the last.
func (c *Circuit) Note(change Change) {
	c.last = change
	if len(c.Changes) == maxUnreported {
		c.Changes[maxUnreported-1] = change
		return
	}
	c.Changes = append(c.Changes, change)
}

// unreported returns the change that is to be reported next.
func (c *Circuit) unreported() (Change, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.Changes) == 0 {
		return Change{}, false
	}
	return c.Changes[0], true
}

// reported takes a change off the list, unless a newer one has taken its place.
func (c *Circuit) reported(change Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.Changes) > 0 && c.Changes[0] == change {
		c.Changes = c.Changes[1:]
	}
}

// standing returns the change that made the circuit what it is, once it is told and while calls are
// refused: a flush may have removed what was told.
func (c *Circuit) standing() (Change, bool) {
	closed := c.State() == Closed // also lets its time run out, which is a change
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, !closed && len(c.Changes) == 0
}
