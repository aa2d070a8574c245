// Package callstats counts the calls of each method in one coordinator, by outcome, and how long
// they took. system.metrics and /metrics read the counts. Counting never fails and never waits.
package callstats

import (
	"sync/atomic"
	"time"

	"github.com/claudebench/claudebench/internal/api"
)

// Counter counts the calls of one method in one coordinator. Any number of calls count at once.
type Counter struct {
	outcomes [api.NumOutcomes]atomic.Uint64
	last     atomic.Int64 // ms since 1970, 0 for never
	latency  counts
}

// Record counts a call that began then and ended now.
func (s *Counter) Record(began time.Time, outcome api.Outcome) {
	s.latency.add(time.Since(began))
	s.outcomes[outcome].Add(1)
	s.last.Store(began.UnixMilli())
}

// Stats are what a coordinator has counted of the calls of one method since it started.
type Stats struct {
	Method string
	// Circuit is how the method's circuit breaker stands.
	Circuit string
	// Calls is how many calls there were, Outcomes how many ended in each way.
	Calls    uint64
	Outcomes [api.NumOutcomes]uint64
	// Last is when the last of them came; zero for never.
	Last time.Time
	// Latency is how long they took, whatever their outcome.
	Latency Histogram
}

// Errors is how many calls did not end well.
func (s *Stats) Errors() uint64 { return s.Calls - s.Outcomes[api.OutcomeOK] }

// Snapshot returns the counts under a method's name. Calls that end meanwhile may be in it in part.
func (s *Counter) Snapshot(method string) Stats {
	snapshot := Stats{Method: method, Latency: s.latency.snapshot()}
	for i := range s.outcomes {
		snapshot.Outcomes[i] = s.outcomes[i].Load()
		snapshot.Calls += snapshot.Outcomes[i]
	}
	if last := s.last.Load(); last > 0 {
		snapshot.Last = time.UnixMilli(last).UTC()
	}
	return snapshot
}
