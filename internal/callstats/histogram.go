package callstats

import (
	"iter"
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets of a histogram are log-linear, like those of http://hdrhistogram.org: each power of
// two is divided into equal parts. The relative error is at most an eighth, from a microsecond to
// the longest timeout, in two kilobytes. A bucket includes its upper bound, as in Prometheus.
//
// The package github.com/HdrHistogram/hdrhistogram-go does not fit. It needs a lock around each
// call and twice the memory for one significant digit. Its buckets begin with a power of two
// instead of ending with it, so the counts for Prometheus would not be exact.
const (
	subBits   = 3  // a power of two has 2^subBits buckets
	firstBits = 10 // durations up to 2^firstBits ns share the first bucket
	lastBits  = 40 // durations over 2^lastBits ns (18 minutes) share the last one
	buckets   = 1 + (lastBits-firstBits)<<subBits
)

// bucketOf returns the index of the bucket of a duration.
func bucketOf(d time.Duration) int {
	d-- // a bucket includes its upper bound
	if d < 1<<firstBits {
		return 0
	}
	power := bits.Len64(uint64(d)) - 1
	if power >= lastBits {
		return buckets - 1
	}
	return 1 + (power-firstBits)<<subBits + int(d>>(power-subBits))&(1<<subBits-1)
}

// bucketEnd returns the upper bound of a bucket.
func bucketEnd(bucket int) time.Duration {
	if bucket == 0 {
		return 1 << firstBits
	}
	power, part := firstBits+(bucket-1)>>subBits, (bucket-1)&(1<<subBits-1)
	return time.Duration(1<<subBits+part+1) << (power - subBits)
}

// counts is a histogram for concurrent use.
type counts struct {
	sum    atomic.Int64 // ns
	bucket [buckets]atomic.Uint64
}

func (c *counts) add(d time.Duration) {
	c.bucket[bucketOf(d)].Add(1)
	c.sum.Add(int64(d))
}

// snapshot copies the counts. A call that ends during the copy may be in a bucket but not in the
// sum.
func (c *counts) snapshot() Histogram {
	h := Histogram{Sum: time.Duration(c.sum.Load())}
	for i := range c.bucket {
		h.bucket[i] = c.bucket[i].Load()
		h.Count += h.bucket[i]
	}
	return h
}

// Histogram is the distribution of the latency of a method.
type Histogram struct {
	Count  uint64
	Sum    time.Duration
	bucket [buckets]uint64
}

// Buckets returns the upper bound and the count of each bucket that is not empty, in ascending
// order.
func (h *Histogram) Buckets() iter.Seq2[time.Duration, uint64] {
	return func(yield func(time.Duration, uint64) bool) {
		for i, n := range h.bucket {
			if n > 0 && !yield(bucketEnd(i), n) {
				return
			}
		}
	}
}

// AtMost returns the number of durations up to d. It is exact if d is the upper bound of a bucket,
// as every power of two from 2^10 to 2^39 ns is. Otherwise it also counts the rest of d's bucket.
func (h *Histogram) AtMost(d time.Duration) uint64 {
	var sum uint64
	for _, n := range h.bucket[:bucketOf(d)+1] {
		sum += n
	}
	return sum
}

// Mean returns the exact mean, or 0 if there are no durations.
func (h *Histogram) Mean() time.Duration {
	if h.Count == 0 {
		return 0
	}
	return h.Sum / time.Duration(h.Count)
}

// Quantile returns the duration that the given part (for example 0.99) of all durations do not
// exceed. It is at most an eighth too long. It is 0 if there are no durations.
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

// Add adds another histogram to h.
func (h *Histogram) Add(other *Histogram) {
	h.Count += other.Count
	h.Sum += other.Sum
	for i, n := range other.bucket {
		h.bucket[i] += n
	}
}
