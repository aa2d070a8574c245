package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/claudebench/claudebench/internal/stream"
)

var (
	streamSubscribers = prometheus.NewDesc("claudebench_stream_subscribers",
		"Subscriptions to the event log at this coordinator, by transport.", []string{"transport"}, nil)
	streamEvents = prometheus.NewDesc("claudebench_stream_events_total",
		"Events that this coordinator has delivered to subscriptions, by transport.", []string{"transport"}, nil)
	streamsEnded = prometheus.NewDesc("claudebench_streams_ended_total",
		"Streams of events that this coordinator has ended, by reason.", []string{"reason"}, nil)
)

// streamCollector collects the counts of the streams of events.
type streamCollector struct{ counts func() stream.Counts }

func (c streamCollector) Describe(to chan<- *prometheus.Desc) {
	describe(to, streamSubscribers, streamEvents, streamsEnded)
}

func (c streamCollector) Collect(to chan<- prometheus.Metric) {
	counts := c.counts()
	for transport, n := range counts.Subscribers {
		to <- gauge(streamSubscribers, float64(n), transport)
	}
	for transport, n := range counts.Sent {
		to <- counter(streamEvents, float64(n), transport)
	}
	for reason, n := range counts.Ended {
		to <- counter(streamsEnded, float64(n), reason)
	}
}
