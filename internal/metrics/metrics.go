// Package metrics is what Prometheus reads at /metrics. The server makes its handler;
// docs/metrics.md tells what each metric means.
//
// Nothing is counted here. The commands and the projections count anyhow, and a scrape reads what
// they have counted, so that a command pays nothing for being watched. What is in Redis is read by
// one script in one round trip, and the task view's checkpoint by one query before it. When a store
// does not answer within a second, claudebench_redis_up or claudebench_postgres_up is 0, and what
// it would have told is left out: no number stands for what nobody knows. The rest is answered as
// ever.
package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/callstats"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/projections"
)

// Sources are what the numbers come from.
type Sources struct {
	// Commands are those of this coordinator.
	Commands Commands
	// Writable returns nil if Redis takes commands.
	Writable func(context.Context) error
	// Gauges asks Redis how the namespace stands (ReadGauges); view is the checkpoint of the task
	// view, "" when that is not known.
	Gauges func(ctx context.Context, view string) (*Gauges, error)
	// Projections returns what this coordinator knows of its projections, without asking a store.
	Projections func() []projections.Status
	// View asks Postgres for the checkpoint of the task view; nil where there is no Postgres.
	View func(context.Context) (events.ID, error)
	// Version is the program's; "" when it is not known.
	Version string
	// Logger takes faults of ours.
	Logger *slog.Logger
}

// Commands is the part of commands.Coordinator that is watched.
type Commands interface {
	Methods() []*command.Method
	Stats() []callstats.Stats
}

// NewHandler returns scrapes. An error is a mistake of ours: two metrics of one name.
func NewHandler(s Sources) (http.Handler, error) {
	registry, err := newRegistry(s)
	if err != nil {
		return nil, err
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.Logger.Handler(), slog.LevelError),
		// The rest is better than nothing, and promhttp counts the failure.
		ErrorHandling: promhttp.ContinueOnError,
		Registry:      registry,
		// However many scrape at once, Redis is asked by one of them.
		CoalesceGather: true,
	}), nil
}

func newRegistry(s Sources) (*prometheus.Registry, error) {
	if s.Version == "" {
		s.Version = "unknown"
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "claudebench_build_info", Help: "Always 1; the label tells the version that runs.",
		ConstLabels: prometheus.Labels{"version": s.Version},
	})
	info.Set(1)
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info,
		callCollector{s.Commands},
		progressCollector{s.Projections},
		&storeCollector{Sources: s},
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics: %w", err)
		}
	}
	return registry, nil
}

// describe returns descriptions to Prometheus.
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

// flag is a yes or no as Prometheus has them.
func flag(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
