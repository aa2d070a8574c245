package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/claudebench/claudebench/internal/trim"
)

var (
	trimmed = prometheus.NewDesc("claudebench_trim_removed_entries_total",
		"Entries that this coordinator has removed from the start of the log.", nil, nil)
	trimFailing = prometheus.NewDesc("claudebench_trim_failing",
		"1 while an error stops this coordinator from trimming the log.", nil, nil)
	heldBack = prometheus.NewDesc("claudebench_trim_held_back_events",
		"Events that the log keeps beyond its retention, as seen by the coordinator that trims.", nil, nil)
	holders = prometheus.NewDesc("claudebench_trim_holder_events",
		"Events that the log keeps beyond its retention for a reader, for the five that hold back most.", []string{"kind", "name"}, nil)
)

// trimCollector collects what this coordinator knows of the log's retention.
type trimCollector struct{ status func() trim.Status }

func (c trimCollector) Describe(to chan<- *prometheus.Desc) {
	describe(to, trimmed, trimFailing, heldBack, holders)
}

func (c trimCollector) Collect(to chan<- prometheus.Metric) {
	s := c.status()
	to <- counter(trimmed, float64(s.Removed))
	to <- gauge(trimFailing, flag(s.Err != nil))
	to <- gauge(heldBack, float64(s.HeldBack))
	for _, h := range s.Holders {
		to <- gauge(holders, float64(h.Events), h.Kind, h.Name)
	}
}
