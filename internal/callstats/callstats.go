// Package callstats counts the calls of each method in one coordinator by outcome, and measures
// their latency. system.metrics and /metrics read the counts. Counting never fails and never waits.
package callstats

import (
	"sync/atomic"
	"time"

	"github.com/claudebench/claudebench/internal/api"
)

// Counter counts the calls of one method in one coordinator. It is safe for concurrent use.
type Counter struct {
	outcomes [api.NumOutcomes]atomic.Uint64
	last     atomic.Int64 // ms since 1970, 0 for never
	latency  counts
}

// Record counts a call that started at began and ends now.
func (s *Counter) Record(began time.Time, outcome api.Outcome) {
	s.latency.add(time.Since(began))
	s.outcomes[outcome].Add(1)
	s.last.Store(began.UnixMilli())
}

// Stats are the counts of one method since the coordinator started.
type Stats struct {
	Method string
	// Circuit is the state of the method's circuit breaker.
	Circuit string
	// Calls is the number of calls, Outcomes the number of calls by outcome.
	Calls    uint64
	Outcomes [api.NumOutcomes]uint64
	// Last is the time of the last call. It is zero if there was none.
	Last time.Time
	// Latency is the latency of all calls, whatever their outcome.
	Latency Histogram
}

// Errors returns the number of calls that did not succeed.
func (s *Stats) Errors() uint64 { return s.Calls - s.Outcomes[api.OutcomeOK] }

// Snapshot returns the counts of a method with that name. A call that ends during the snapshot may
// be included in part.
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
