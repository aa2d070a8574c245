package system

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/callstats"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/lua"
)

type getSystemMetricsArgs struct {
	TTL      int64 // ms
	Detailed bool
	Hour     bool
}

var getSystemMetrics = lua.Bind[getSystemMetricsArgs]("get_system_metrics")

func (o Options) metricsMethod() (*command.Method, error) {
	return command.New[api.MetricsParams, api.MetricsResult](command.Spec{
		Name: "system.metrics",
		Description: "Measure the system: events and tasks counted from the log, the current queues, and the memory and the calls " +
			"(since its start) of the coordinator that replies.",
		Limit:   20,
		Timeout: 3 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Readers,
		Effect:  command.Reads,
	}, o.measure)
}

func (o Options) measure(ctx context.Context, c *command.Call, p *api.MetricsParams) (json.RawMessage, error) {
	found := health{mcp: o.MCP}
	var asked sync.WaitGroup
	if p.Detailed {
		asked.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, healthPatience)
			defer cancel()
			found.lag, found.postgres = o.postgresAnswers(ctx, c.Scripts())
		})
		asked.Go(func() { found.redis = o.Writable(ctx) })
	}
	reply, err := command.Run(ctx, c, getSystemMetrics, "", getSystemMetricsArgs{
		TTL: o.InstanceTTL.Milliseconds(), Detailed: p.Detailed, Hour: p.LastHour,
	})
	asked.Wait()
	if err != nil {
		return nil, err
	}
	var fold measured
	if err := getSystemMetrics.Unmarshal(reply, &fold); err != nil {
		return nil, err
	}
	stats := o.Catalog.Stats()
	calls := sumOf(stats)
	result := api.MetricsResult{
		EventsProcessed: fold.Global.number("eventsProcessed"),
		TasksCompleted:  fold.Global.number("tasksCompleted"),
		TasksFailed:     fold.Global.number("tasksFailed"),
		TasksOpen:       fold.Open,
		Instances:       fold.Instances,
		Throughput:      fold.throughput(),
		AverageLatency:  milliseconds(calls.Latency.Mean()),
		TotalCalls:      calls.Calls,
		MemoryUsage:     megabytes(memory()),
		Uptime:          int64(time.Since(o.Started).Seconds()),
	}
	if err := json.Unmarshal([]byte(fold.Pauses), &result.Pauses); err != nil {
		return nil, fmt.Errorf("read the pauses: %w", err)
	}
	if p.LastHour {
		result.LastHour = fold.lastHour()
	}
	if p.Detailed {
		fold.detail(&result)
		result.CircuitBreaker, result.Handlers = o.handlers(stats)
		result.Counters = &api.CallCounters{ByOutcome: map[string]uint64{}, P99: milliseconds(calls.Latency.Quantile(0.99))}
		for _, o := range api.Outcomes() {
			result.Counters.ByOutcome[o.String()] = calls.Outcomes[o]
		}
		mcp := o.Catalog.MCPStats()
		result.MCPCalls = &api.MCPCalls{TotalCalls: mcp.Calls, SuccessCount: mcp.Outcomes[api.OutcomeOK], ErrorCount: mcp.Errors()}
		found.failed = fold.Failed
		result.SystemHealthCheck = &api.HealthCheck{HealthResult: found.result(), FailedInstances: fold.Failed}
	}
	return json.Marshal(result)
}

// sumOf returns the sum of the statistics of all methods.
func sumOf(stats []callstats.Stats) callstats.Stats {
	var sum callstats.Stats
	for _, s := range stats {
		sum.Calls += s.Calls
		for i, n := range s.Outcomes {
			sum.Outcomes[i] += n
		}
		sum.Latency.Add(&s.Latency)
	}
	return sum
}

// handlers returns the statistics of each method and the states of the circuit breakers.
func (o Options) handlers(stats []callstats.Stats) (*api.CircuitMetrics, map[string]api.HandlerMetrics) {
	circuits := &api.CircuitMetrics{NotClosed: map[string]string{}}
	handlers := make(map[string]api.HandlerMetrics, len(stats))
	for _, s := range stats {
		h := api.HandlerMetrics{
			TotalCalls: s.Calls, SuccessCount: s.Outcomes[api.OutcomeOK], ErrorCount: s.Errors(),
			AvgResponseTime: milliseconds(s.Latency.Mean()), P99: milliseconds(s.Latency.Quantile(0.99)),
			CircuitState: s.Circuit, RateLimitHits: s.Outcomes[api.OutcomeRateLimited],
		}
		if !s.Last.IsZero() {
			h.LastCalled = s.Last.Format(events.TimeLayout)
		}
		handlers[s.Method] = h
		if h.CircuitState == breaker.Closed {
			circuits.Closed++
		} else {
			circuits.NotClosed[s.Method] = h.CircuitState
		}
		circuits.Rejected += s.Outcomes[api.OutcomeCircuitOpen]
	}
	return circuits, handlers
}

// memory returns the number of bytes that the process has obtained from the operating system and
// not returned.
func memory() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

func milliseconds(d time.Duration) float64 { return rounded(float64(d) / float64(time.Millisecond)) }

func megabytes(bytes uint64) float64 { return rounded(float64(bytes) / (1 << 20)) }

// rounded rounds to three decimals, because more are noise.
func rounded(f float64) float64 { return math.Round(f*1000) / 1000 }
