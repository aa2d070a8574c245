// Package metrics serves the metrics that Prometheus reads at /metrics. The server creates the
// handler; docs/metrics.md explains each metric.
//
// This package counts nothing itself. The commands and the projections count anyway, and a scrape
// reads their counts, so metrics cost a command nothing. One script reads the values in Redis in
// one round trip, after one query for the task view's checkpoint. If a store does not reply within
// a second, claudebench_redis_up or claudebench_postgres_up is 0, and its metrics are left out,
// because no value may stand for an unknown one. All other metrics are served.
package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/claudebench/claudebench/internal/archiver"
	"github.com/claudebench/claudebench/internal/callstats"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/stream"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/internal/trim"
	"github.com/claudebench/claudebench/projections"
)

// Sources are where the metrics come from.
type Sources struct {
	// Commands are those of this coordinator.
	Commands Commands
	// Writable returns nil if Redis accepts commands.
	Writable func(context.Context) error
	// Gauges reads the namespace's values from Redis (ReadGauges). at has the checkpoints in
	// Postgres.
	Gauges func(ctx context.Context, at taskview.Checkpoints) (*Gauges, error)
	// Projections returns what this coordinator knows about its projections, without asking a
	// store.
	Projections func() []projections.Status
	// Checkpoints reads the checkpoints in Postgres. Nil means no Postgres.
	Checkpoints func(context.Context) (taskview.Checkpoints, error)
	// Hooks counts the hooks of agents.
	Hooks Hooks
	// Streams counts the streams of events.
	Streams func() stream.Counts
	// Seals reads how far the log is sealed. Nil if this coordinator does not seal.
	Seals func(context.Context) Seals
	// Archive returns what this coordinator knows about the archive. Nil means no archive.
	Archive func() archiver.Status
	// Trim returns what this coordinator knows of the log's retention.
	Trim func() trim.Status
	// Version is the program's version, "" if it is unknown.
	Version string
	// Logger receives the coordinator's own faults.
	Logger *slog.Logger
}

// Commands is the part of commands.Coordinator that metrics read.
type Commands interface {
	Methods() []*command.Method
	Stats() []callstats.Stats
	// Waiting returns how many claims wait for a task.
	Waiting() int
	// ClaimAttempts returns how many attempts to claim these have made.
	ClaimAttempts() int64
}

// NewHandler returns the handler of /metrics. An error is a bug: two metrics have the same name.
func NewHandler(s Sources) (http.Handler, error) {
	registry, err := newRegistry(s)
	if err != nil {
		return nil, err
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.Logger.Handler(), slog.LevelError),
		// Partial metrics are better than none, and promhttp counts the failure.
		ErrorHandling: promhttp.ContinueOnError,
		Registry:      registry,
		// Concurrent scrapes share one reading of Redis.
		CoalesceGather: true,
	}), nil
}

func newRegistry(s Sources) (*prometheus.Registry, error) {
	if s.Version == "" {
		s.Version = "unknown"
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "claudebench_build_info", Help: "Always 1; the label version is the running version.",
		ConstLabels: prometheus.Labels{"version": s.Version},
	})
	info.Set(1)
	registry := prometheus.NewRegistry()
	all := []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info,
		callCollector{s.Commands},
		progressCollector{s.Projections},
		hookCollector{s.Hooks},
		streamCollector{s.Streams},
		trimCollector{s.Trim},
		&storeCollector{Sources: s},
	}
	if s.Archive != nil {
		all = append(all, archiveCollector{s.Archive})
	}
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics: %w", err)
		}
	}
	if s.Seals != nil {
		if err := registry.Register(sealCollector{s.Seals}); err != nil {
			return nil, fmt.Errorf("register the metrics: %w", err)
		}
	}
	return registry, nil
}

// describe sends descriptions to Prometheus.
func describe(to chan<- *prometheus.Desc, all ...*prometheus.Desc) {
	for _, d := range all {
		to <- d
	}
}

func counter(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, value, labels...)
}

func gauge(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

// flag returns a boolean as a Prometheus value.
func flag(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
