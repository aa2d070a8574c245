package commands

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
	circuitClosed   = "CLOSED"    // it lets calls through
	circuitOpen     = "OPEN"      // it lets none through
	circuitHalfOpen = "HALF_OPEN" // it lets one through, to see
)

// maxUnreported bounds what waits to be reported of one circuit.
const maxUnreported = 8

// Breaker is the setting of a circuit breaker: so many failures of the infrastructure in a row open it; 0 is no breaker.
type Breaker struct {
	Failures int
	Open     time.Duration
}

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

func newCircuit(method string, setting Breaker, log *slog.Logger) *circuit {
	c := &circuit{method: method, setting: setting, log: log}
	c.breaker = gobreaker.NewCircuitBreaker[json.RawMessage](gobreaker.Settings{
		Timeout: setting.Open,
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			return int(counts.ConsecutiveFailures) >= setting.Failures
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

// do runs a call if the circuit lets it through, else it returns errCircuitOpen. sign judges the call's error:
// nil, errInfrastructure or errNoSign.
func (c *circuit) do(run func() (json.RawMessage, error), sign func(error) error) (json.RawMessage, error) {
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
		return nil, errCircuitOpen
	}
	return result, failed
}

// errCircuitOpen is the error of a call that an open circuit rejected.
var errCircuitOpen = errors.New("the circuit is open")

// State reports how the circuit stands.
func (c *circuit) State() string {
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
				"method", c.method, "failures", c.failures, "until", c.until.UTC().Format(events.TimeLayout))
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
	closed := c.State() == circuitClosed // also lets its time run out, which is a change
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, !closed && len(c.changes) == 0
}
