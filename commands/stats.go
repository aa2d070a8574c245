package commands

import (
	"errors"
	"sync/atomic"
	"time"
)

// Outcome is how a call ended.
type Outcome int

// The outcomes of calls.
const (
	OutcomeOK           Outcome = iota
	OutcomeInvalid              // its params were refused
	OutcomeUnauthorized         // its token or role is missing
	OutcomeRefused              // the state was not such that it could be done
	OutcomeRateLimited          // it came too soon
	OutcomeCircuitOpen          // the circuit breaker let nothing through
	OutcomeUnavailable          // a store could not be reached
	OutcomeLost                 // the reply was lost: Outcome unknown
	OutcomeFault                // a fault of ours
	outcomes
)

// outcomeNames are the names of outcomes in metrics.
var outcomeNames = [outcomes]string{
	"ok", "invalid_params", "unauthorized", "refused", "rate_limited", "circuit_open", "unavailable", "outcome_unknown", "fault",
}

// String is the outcome's name in metrics.
func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes lists all outcomes.
func Outcomes() []Outcome {
	list := make([]Outcome, outcomes)
	for i := range list {
		list[i] = Outcome(i)
	}
	return list
}

// outcomeOf tells how a call ended that gave this error.
func outcomeOf(err error) Outcome {
	if err == nil {
		return OutcomeOK
	}
	var known *Error
	if !errors.As(err, &known) {
		return OutcomeFault
	}
	switch known.Code {
	case CodeInvalidParams:
		return OutcomeInvalid
	case CodeUnauthorized:
		return OutcomeUnauthorized
	case CodeNotRegistered, CodeNotFound, CodeConflict:
		return OutcomeRefused
	case CodeRateLimited:
		return OutcomeRateLimited
	}
	switch known.Data {
	case CircuitBreakerOpen:
		return OutcomeCircuitOpen
	case RedisUnavailable, PostgresUnavailable:
		return OutcomeUnavailable
	case OutcomeUnknown:
		return OutcomeLost
	}
	return OutcomeFault
}

// callStats counts the calls of one method in one coordinator. Any number of calls count at once.
type callStats struct {
	outcomes [outcomes]atomic.Uint64
	last     atomic.Int64 // ms since 1970, 0 for never
	latency  counts
}

// record counts a call that began then and ended now.
func (s *callStats) record(began time.Time, err error) {
	s.latency.add(time.Since(began))
	s.outcomes[outcomeOf(err)].Add(1)
	s.last.Store(began.UnixMilli())
}

// CallStats are what a coordinator has counted of the calls of one method since it started.
type CallStats struct {
	Method string
	// Calls is how many calls there were, Outcomes how many ended in each way.
	Calls    uint64
	Outcomes [outcomes]uint64
	// Last is when the last of them came; zero for never.
	Last time.Time
	// Latency is how long they took, whatever their outcome.
	Latency Histogram
}

// Errors is how many calls did not end well.
func (s *CallStats) Errors() uint64 { return s.Calls - s.Outcomes[OutcomeOK] }

func (s *callStats) snapshot(method string) CallStats {
	snapshot := CallStats{Method: method, Latency: s.latency.snapshot()}
	for i := range s.outcomes {
		snapshot.Outcomes[i] = s.outcomes[i].Load()
		snapshot.Calls += snapshot.Outcomes[i]
	}
	if last := s.last.Load(); last > 0 {
		snapshot.Last = time.UnixMilli(last).UTC()
	}
	return snapshot
}

// Stats are the statistics of all methods, in the order of the list. Calls under way are not in them.
func (c *Coordinator) Stats() []CallStats {
	all := make([]CallStats, len(c.list))
	for i, m := range c.list {
		all[i] = m.stats.snapshot(m.Name)
	}
	return all
}
