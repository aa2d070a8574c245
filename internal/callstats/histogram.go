package callstats

import (
	"iter"
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets of a histogram are log-linear, as those of http://hdrhistogram.org: each power of two
// is cut into equal parts, so that a duration is known to an eighth of itself, from a microsecond
// to the longest timeout, in two kilobytes. The end of a bucket lies in it, as in Prometheus.
//
// The package github.com/HdrHistogram/hdrhistogram-go does not fit: it needs a lock around each
// call, it takes twice the memory for one significant digit, and its buckets begin with a power of
// two instead of ending with it, so that the counts Prometheus gets would not be exact.
const (
	subBits   = 3  // a power of two has 2^subBits buckets
	firstBits = 10 // durations up to 2^firstBits ns share the first bucket
	lastBits  = 40 // those beyond 2^lastBits ns (18 minutes) are in the last
	buckets   = 1 + (lastBits-firstBits)<<subBits
)

// bucketOf is the number of the bucket that a duration falls in.
func bucketOf(d time.Duration) int {
	d-- // so that a bucket's end lies in it
	if d < 1<<firstBits {
		return 0
	}
	power := bits.Len64(uint64(d)) - 1
	if power >= lastBits {
		return buckets - 1
	}
	return 1 + (power-firstBits)<<subBits + int(d>>(power-subBits))&(1<<subBits-1)
}

// bucketEnd is the longest duration that lies in a bucket.
func bucketEnd(bucket int) time.Duration {
	if bucket == 0 {
		return 1 << firstBits
	}
	power, part := firstBits+(bucket-1)>>subBits, (bucket-1)&(1<<subBits-1)
	return time.Duration(1<<subBits+part+1) << (power - subBits)
}

// counts are a histogram that many count in at once.
type counts struct {
	sum    atomic.Int64 // ns
	bucket [buckets]atomic.Uint64
}

func (c *counts) add(d time.Duration) {
	c.bucket[bucketOf(d)].Add(1)
	c.sum.Add(int64(d))
}

// snapshot copies the counts. Calls that end meanwhile may be in it in part: in a bucket and not in
// the sum.
func (c *counts) snapshot() Histogram {
	h := Histogram{Sum: time.Duration(c.sum.Load())}
	for i := range c.bucket {
		h.bucket[i] = c.bucket[i].Load()
		h.Count += h.bucket[i]
	}
	return h
}

// Histogram is how long the calls of a method took.
type Histogram struct {
	Count  uint64
	Sum    time.Duration
	bucket [buckets]uint64
}

// Buckets returns the buckets that hold a duration, the shortest first: the longest duration that
// lies in it, and how many it holds.
func (h *Histogram) Buckets() iter.Seq2[time.Duration, uint64] {
	return func(yield func(time.Duration, uint64) bool) {
		for i, n := range h.bucket {
			if n > 0 && !yield(bucketEnd(i), n) {
				return
			}
		}
	}
}

// AtMost is how many are not longer than a duration. It is exact where that is the end of a bucket,
// as each power of two from 2^10 to 2^39 ns is; else it counts up to the end of the bucket that the
// duration lies in.
func (h *Histogram) AtMost(d time.Duration) uint64 {
	var sum uint64
	for _, n := range h.bucket[:bucketOf(d)+1] {
		sum += n
	}
	return sum
}

// Mean is the mean duration, exact; 0 when there is none.
func (h *Histogram) Mean() time.Duration {
	if h.Count == 0 {
		return 0
	}
	return h.Sum / time.Duration(h.Count)
}

// Quantile is the duration that a part of all (0.99, say) do not exceed, too long by an eighth at
// most; 0 when there is none.
func (h *Histogram) Quantile(part float64) time.Duration {
	rank := uint64(part*float64(h.Count) + 0.5)
	var seen uint64
	for end, n := range h.Buckets() {
		if seen += n; seen >= max(rank, 1) {
			return end
		}
	}
	return 0
}

// Add adds another histogram to this one.
func (h *Histogram) Add(other *Histogram) {
	h.Count += other.Count
	h.Sum += other.Sum
	for i, n := range other.bucket {
		h.bucket[i] += n
	}
}
