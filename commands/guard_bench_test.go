package commands

import (
	"context"
	"encoding/json"
	"testing"
)

// BenchmarkGuard creates tasks with and without what guards a command: the rate limit, which its script counts, and the
// circuit breaker.
func BenchmarkGuard(b *testing.B) {
	request := Request{Method: "task.create", Params: json.RawMessage(`{"text":"x"}`), Addr: "192.0.2.1"}
	for _, guard := range []struct {
		name           string
		limit, breaker bool
	}{{"none", false, false}, {"limit", true, false}, {"breaker", false, true}, {"both", true, true}} {
		for _, load := range []struct {
			name    string
			callers int // for each processor
		}{{"alone", 0}, {"busy", 32}} {
			b.Run(guard.name+"/"+load.name, func(b *testing.B) {
				f := newFleet(b, realRedis(b), Options{})
				create := f.methods[request.Method]
				if guard.limit {
					create.Limit = 1_000_000_000
				}
				if !guard.breaker {
					create.circuit = nil
				}
				call := func() {
					if _, err := f.Call(context.Background(), request); err != nil {
						b.Error(err)
					}
				}
				b.ResetTimer()
				if load.callers == 0 {
					for range b.N {
						call()
					}
					return
				}
				b.SetParallelism(load.callers)
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						call()
					}
				})
			})
		}
	}
}
