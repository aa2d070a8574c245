package commands_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// BenchmarkGuard creates tasks with and without the guards of a command: the rate limit, which the
// script counts, and the circuit breaker. The variants alternate, so that other load on the machine
// affects all of them. The benchmark reports the medians in µs a call.
func BenchmarkGuard(b *testing.B) {
	request := api.Request{Method: "task.create", Params: json.RawMessage(`{"text":"x"}`), Addr: "192.0.2.1"}
	client := fleettest.RealRedis(b)
	for name, load := range map[string]struct{ callers, calls int }{"alone": {1, 50}, "busy": {64, 10}} {
		b.Run(name, func(b *testing.B) {
			guards := []struct {
				name           string
				limit, breaker bool
				fleet          *fleettest.Fleet
				took           []time.Duration
			}{{name: "none"}, {name: "limit", limit: true}, {name: "breaker", breaker: true}, {name: "both", limit: true, breaker: true}}
			for i := range guards {
				g := &guards[i]
				g.fleet = fleettest.New(b, client, commands.Options{})
				create := g.fleet.Method(request.Method)
				if g.limit {
					create.Limit = 1_000_000_000
				}
				if !g.breaker {
					create.Circuit = nil
				}
			}
			for n := range b.N {
				for turn := range guards {
					g := &guards[(n+turn)%len(guards)]
					began := time.Now()
					var callers sync.WaitGroup
					for range load.callers {
						callers.Go(func() {
							for range load.calls {
								if _, err := g.fleet.Call(context.Background(), request); err != nil {
									b.Error(err)
								}
							}
						})
					}
					callers.Wait()
					g.took = append(g.took, time.Since(began)/time.Duration(load.callers*load.calls))
				}
			}
			for i := range guards {
				slices.Sort(guards[i].took)
				b.ReportMetric(float64(guards[i].took[len(guards[i].took)/2])/float64(time.Microsecond), guards[i].name+"-µs/call")
			}
		})
	}
}
