package server

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// crowd writes 300,000 keys into the namespace, among them a few huge ones: the log, a queue, a
// topic.
func crowd(t testing.TB, rdb redis.UniversalClient, namespace string, n int) {
	t.Helper()
	fill(t, rdb, namespace, n)
	for from := 0; from < n; from += 5000 {
		if _, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for i := from; i < min(from+5000, n); i++ {
				id := fmt.Sprintf("%d-%d", time.Now().UnixMilli(), i+1_000_000)
				p.XAdd(t.Context(), &redis.XAddArgs{Stream: "cb:{" + namespace + "}:stream:huge", ID: id, Values: []any{"data", "of some length, as events are"}})
				p.ZAdd(t.Context(), "cb:{"+namespace+"}:queue:huge", redis.Z{Score: float64(i), Member: fmt.Sprint("t-", i)})
				p.HSet(t.Context(), "cb:{"+namespace+"}:service:huge", fmt.Sprint("field-", i), "value")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// A flush delays no other client: while it deletes 300,000 keys, Redis replies to another client
// within 20 ms. The benchmark measures Redis's own time between the two commands of a pair, and
// counts the commands that Redis logs as slow, so that a slow test machine does not look like a
// slow Redis.
func BenchmarkFlush(b *testing.B) {
	const many = 300_000
	server := testenv.OwnRedis(b, devstack.RedisOptions{})
	for range b.N {
		b.StopTimer()
		cfg := &config.Config{
			Listen: "127.0.0.1:0", Namespace: testenv.Namespace(b), RedisURL: server.URL(), InstanceTTL: time.Minute,
			MonitorInterval: time.Second, TaskRetention: time.Hour, MaxLosses: 10, RateLimits: config.RateLimits{Off: true}, AllowVolatile: true,
		}
		c := startBench(b, cfg)
		rdb := testenv.ClientOf(b, server)
		crowd(b, rdb, cfg.Namespace, many)
		idle := worstPing(b, rdb, func() { idleFor(b, 2*time.Second) })
		if err := rdb.Do(b.Context(), "CONFIG", "SET", "slowlog-log-slower-than", 2000, "slowlog-max-len", 1000).Err(); err != nil {
			b.Fatal(err)
		}
		rdb.Do(b.Context(), "SLOWLOG", "RESET")
		var got api.FlushResult
		worst := worstPing(b, rdb, func() {
			b.StartTimer()
			got = call[api.FlushResult](b, c, "system.flush", params{"confirm": confirm})
			b.StopTimer()
		})
		slow, err := rdb.SlowLogGet(b.Context(), -1).Result()
		if err != nil {
			b.Fatal(err)
		}
		slowest := time.Duration(0)
		for _, command := range slow {
			slowest = max(slowest, command.Duration)
		}
		if got.Redis.KeysDeleted < many {
			b.Errorf("%d keys deleted", got.Redis.KeysDeleted)
		}
		b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
		b.ReportMetric(float64(idle.Microseconds())/1000, "idle-worst-ms")
		b.ReportMetric(float64(slowest.Microseconds())/1000, "slowest-command-ms")
		b.ReportMetric(float64(len(slow)), "slow-commands")
	}
}

// worstPing returns the longest time that another client waited for Redis while meanwhile ran.
func worstPing(b *testing.B, rdb *redis.Client, meanwhile func()) (worst time.Duration) {
	b.Helper()
	stop := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			if err := rdb.Ping(b.Context()).Err(); err != nil {
				b.Error(err)
				return
			}
			worst = max(worst, time.Since(began))
		}
	})
	meanwhile()
	close(stop)
	asking.Wait()
	return worst
}

// idleFor waits. The time itself is what the benchmark measures over.
func idleFor(b *testing.B, d time.Duration) {
	b.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.Context().Done():
	}
}

func startBench(b *testing.B, cfg *config.Config) *client {
	b.Helper()
	s, err := Start(b.Context(), cfg, Options{Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	return newClient(b, s.Addr())
}
