package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/hooks"
	"github.com/claudebench/claudebench/internal/testenv"
)

// BenchmarkHooks sends the hooks of a recorded session, from agents that wait for each answer, and
// reports the latency that they see: all at once, as fast as they can, and at a rate of hooks a
// second.
func BenchmarkHooks(b *testing.B) {
	text, err := os.ReadFile("../claudehook/testdata/session-2.1.197.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	bodies := strings.Split(strings.TrimSpace(string(text)), "\n")
	c := startBench(b, &config.Config{
		Listen: "127.0.0.1:0", Namespace: testenv.Namespace(b), InstanceTTL: 30 * time.Second, MonitorInterval: time.Second, TaskRetention: time.Hour, MaxLosses: 10,
		RateLimits: config.RateLimits{Off: true}, RedisURL: testenv.Redis(b).URL(),
	})
	c.ready(b)
	for _, agents := range []int{1, 16} {
		for _, rate := range []int{500, 0} {
			b.Run(fmt.Sprintf("agents=%d/rate=%d", agents, rate), func(b *testing.B) { c.hookLoad(b, bodies, agents, rate) })
		}
	}
	if n := c.hooked(b, "dropped"); n > 0 {
		b.Errorf("%v hooks were dropped", n)
	}
}

// hookLoad sends b.N hooks. rate is in hooks a second of all agents together; 0 is as fast as they
// can.
func (c *client) hookLoad(b *testing.B, bodies []string, agents, rate int) {
	began := time.Now()
	work := make(chan int)
	var each sync.WaitGroup
	took := make([]time.Duration, b.N)
	for range agents {
		each.Go(func() {
			for i := range work {
				start := time.Now()
				r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, c.url+hooks.Path, strings.NewReader(bodies[i%len(bodies)]))
				if err != nil {
					b.Error(err)
					continue
				}
				r.Header.Set("Content-Type", "application/json")
				response, err := c.http.Do(r)
				if err != nil {
					b.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				took[i] = time.Since(start)
			}
		})
	}
	for i := range b.N {
		if rate > 0 {
			<-time.After(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		}
		work <- i
	}
	close(work)
	each.Wait()
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "hooks/s")
}
