package metrics

import "github.com/prometheus/client_golang/prometheus"

var (
	hooksReceived = prometheus.NewDesc("claudebench_hooks_total",
		"Hooks of agents that this coordinator has answered over HTTP, by outcome.", []string{"outcome"}, nil)
	hooksDecided = prometheus.NewDesc("claudebench_hook_decisions_total",
		"Hooks of agents that the policy of this coordinator has decided about, by decision.", []string{"decision"}, nil)
)

// Hooks is the part of hooks.Handler that metrics read.
type Hooks interface {
	Counts() map[string]uint64
	Decisions() map[string]uint64
}

// hookCollector collects what became of the hooks of agents.
type hookCollector struct{ Hooks }

func (c hookCollector) Describe(to chan<- *prometheus.Desc) {
	describe(to, hooksReceived, hooksDecided)
}

func (c hookCollector) Collect(to chan<- prometheus.Metric) {
	for outcome, n := range c.Counts() {
		to <- counter(hooksReceived, float64(n), outcome)
	}
	for decision, n := range c.Decisions() {
		to <- counter(hooksDecided, float64(n), decision)
	}
}
