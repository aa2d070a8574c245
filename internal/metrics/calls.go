package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/callstats"
)

// The upper bounds of the duration buckets are powers of two of a nanosecond, from an eighth of a
// millisecond to nine minutes. They are also bounds of the buckets that commands count in, so the
// counts are exact.
const (
	firstPower = 17
	lastPower  = 39
)

var (
	calls = prometheus.NewDesc("claudebench_commands_total",
		"Calls that this coordinator has completed, by method and outcome.", []string{"method", "outcome"}, nil)
	durations = prometheus.NewDesc("claudebench_command_duration_seconds",
		"Duration of the calls in this coordinator, whatever the outcome.", []string{"method"}, nil)
	waiting = prometheus.NewDesc("claudebench_claims_waiting",
		"Calls of task.claim that wait for a task at this coordinator.", nil, nil)
	attempts = prometheus.NewDesc("claudebench_claim_attempts_total",
		"Attempts to claim that this coordinator has made for calls of task.claim that wait.", nil, nil)
	circuits = prometheus.NewDesc("claudebench_circuit_state",
		"1 for the current state of the method's circuit breaker in this coordinator.", []string{"method", "state"}, nil)
)

// callCollector collects the commands of this coordinator.
type callCollector struct{ Commands }

func (c callCollector) Describe(to chan<- *prometheus.Desc) {
	describe(to, calls, durations, circuits, waiting, attempts)
}

func (c callCollector) Collect(to chan<- prometheus.Metric) {
	for _, s := range c.Stats() {
		for _, o := range api.Outcomes() {
			to <- counter(calls, float64(s.Outcomes[o]), s.Method, o.String())
		}
		to <- prometheus.MustNewConstHistogram(durations, s.Latency.Count, s.Latency.Sum.Seconds(), cumulative(&s.Latency), s.Method)
	}
	to <- gauge(waiting, float64(c.Waiting()))
	to <- counter(attempts, float64(c.ClaimAttempts()))
	for _, m := range c.Methods() {
		if m.Circuit == nil {
			continue
		}
		at := m.Circuit.State()
		for _, state := range breaker.States() {
			to <- gauge(circuits, flag(state == at), m.Name, strings.ToLower(state))
		}
	}
}

// cumulative returns, for each bucket bound in seconds, how many durations do not exceed it.
func cumulative(h *callstats.Histogram) map[float64]uint64 {
	counts := make(map[float64]uint64, lastPower-firstPower+1)
	for power := firstPower; power <= lastPower; power++ {
		end := time.Duration(1 << power)
		counts[end.Seconds()] = h.AtMost(end)
	}
	return counts
}
