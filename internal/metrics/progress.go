package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/claudebench/claudebench/projections"
)

var (
	byProjection = []string{"projection"}

	applied = prometheus.NewDesc("claudebench_projection_events_applied_total",
		"Events that this coordinator has applied to the projection.", byProjection, nil)
	bad = prometheus.NewDesc("claudebench_projection_bad_entries_total",
		"Log entries that this coordinator skipped because they are not events.", byProjection, nil)
	rebuilds = prometheus.NewDesc("claudebench_projection_rebuilds_total",
		"Rebuilds of the projection by this coordinator because the log was rolled back.", byProjection, nil)
	leases = prometheus.NewDesc("claudebench_projection_lease_held",
		"1 while this coordinator runs the projection.", byProjection, nil)
	failing = prometheus.NewDesc("claudebench_projection_failing",
		"1 while an error stops this coordinator from running the projection.", byProjection, nil)
)

// progressCollector collects what this coordinator has done on projections.
type progressCollector struct{ statuses func() []projections.Status }

func (c progressCollector) Describe(to chan<- *prometheus.Desc) {
	describe(to, applied, bad, rebuilds, leases, failing)
}

func (c progressCollector) Collect(to chan<- prometheus.Metric) {
	for _, s := range c.statuses() {
		to <- counter(applied, float64(s.Applied), s.Name)
		to <- counter(bad, float64(s.BadEntries), s.Name)
		to <- counter(rebuilds, float64(s.Rebuilds), s.Name)
		to <- gauge(leases, flag(s.Holder), s.Name)
		to <- gauge(failing, flag(!s.FailingSince.IsZero()), s.Name)
	}
}
