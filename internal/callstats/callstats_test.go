package callstats

import (
	"math"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/internal/api"
)

// Every duration is within its bucket, and the width of a bucket is at most an eighth of the
// duration.
func TestHistogramBuckets(t *testing.T) {
	t.Parallel()
	for i := range buckets - 1 {
		if end := bucketEnd(i); bucketOf(end) != i || bucketOf(end+1) != i+1 {
			t.Fatalf("bucket %d ends with %d ns, but %d lies in %d and %d in %d", i, end, end, bucketOf(end), end+1, bucketOf(end+1))
		}
	}
	for d, want := range map[time.Duration]int{-1: 0, 0: 0, 1: 0, 1024: 0, 1025: 1, math.MaxInt64: buckets - 1} {
		if got := bucketOf(d); got != want {
			t.Errorf("%d ns lies in bucket %d, want %d", d, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(1<<firstBits+1, 1<<lastBits).Draw(t, "ns"))
		if end := bucketEnd(bucketOf(d)); end < d || float64(end) > float64(d)*1.125 {
			t.Fatalf("%d ns lies in a bucket that ends with %d", d, end)
		}
	})
}

// Prometheus gets the exact number of durations up to each power of two, to the nanosecond.
func TestHistogramCountsUpToPowersOfTwo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c counts
		power := rapid.IntRange(firstBits, lastBits-1).Draw(t, "power")
		var want uint64
		for _, d := range rapid.SliceOf(rapid.OneOf(
			rapid.Int64Range(0, 1<<lastBits+1),
			rapid.Int64Range(1<<power-2, 1<<power+2),
		)).Draw(t, "durations") {
			c.add(time.Duration(d))
			if d <= 1<<power {
				want++
			}
		}
		if h := c.snapshot(); h.AtMost(1<<power) != want {
			t.Fatalf("%d are not longer than 2^%d ns, want %d", h.AtMost(1<<power), power, want)
		}
	})
}

func TestHistogramQuantiles(t *testing.T) {
	t.Parallel()
	var c counts
	if h := c.snapshot(); h.Mean() != 0 || h.Quantile(0.99) != 0 {
		t.Errorf("an empty histogram has mean %v and p99 %v", h.Mean(), h.Quantile(0.99))
	}
	for i := range 1000 {
		c.add(time.Duration(i+1) * time.Millisecond)
	}
	h := c.snapshot()
	if h.Count != 1000 || h.Mean() != 500500*time.Microsecond {
		t.Errorf("%d durations with mean %v", h.Count, h.Mean())
	}
	for part, exact := range map[float64]time.Duration{
		0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second, 0: time.Millisecond,
	} {
		if got := h.Quantile(part); got < exact || float64(got) > float64(exact)*1.126 {
			t.Errorf("quantile %g is %v, exactly %v", part, got, exact)
		}
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  *api.Error
		want api.Outcome
	}{
		{nil, api.OutcomeOK},
		{api.InvalidParams("x"), api.OutcomeInvalid},
		{&api.Error{Code: api.CodeUnauthorized}, api.OutcomeUnauthorized},
		{&api.Error{Code: api.CodeNotRegistered}, api.OutcomeRefused},
		{&api.Error{Code: api.CodeNotFound}, api.OutcomeRefused},
		{&api.Error{Code: api.CodeConflict, Data: []byte("not comparable")}, api.OutcomeRefused},
		{&api.Error{Code: api.CodeRateLimited}, api.OutcomeRateLimited},
		{api.Internal("Circuit breaker open"), api.OutcomeCircuitOpen},
		{api.Internal(api.RedisUnavailable), api.OutcomeUnavailable},
		{api.Internal(api.PostgresUnavailable), api.OutcomeUnavailable},
		{api.Internal(api.OutcomeUnknown), api.OutcomeLost},
		{api.Internal(""), api.OutcomeFault},
	} {
		if got := test.err.Outcome(); got != test.want {
			t.Errorf("%v counts as %v, want %v", test.err, got, test.want)
		}
	}
	seen := map[string]bool{}
	for _, o := range api.Outcomes() {
		if seen[o.String()] || o.String() == "" {
			t.Errorf("outcome %d is named %q", o, o)
		}
		seen[o.String()] = true
	}
}

// Concurrent calls are all counted.
func TestRecordAtOnce(t *testing.T) {
	t.Parallel()
	var s Counter
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20_000 {
				s.Record(time.Now(), api.OutcomeOK)
			}
		})
	}
	all.Wait()
	if got := s.Snapshot("x"); got.Calls != 160_000 || got.Latency.Count != 160_000 || got.Outcomes[api.OutcomeOK] != 160_000 {
		t.Errorf("%d calls, %d durations", got.Calls, got.Latency.Count)
	}
}

// BenchmarkRecord measures the cost of counting a call.
func BenchmarkRecord(b *testing.B) {
	var s Counter
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Record(time.Now(), api.OutcomeOK)
		}
	})
}
