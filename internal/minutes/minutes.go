// Package minutes defines the ring of the last hour's minutes in the hash metrics:minutes, which the
// projection of the metrics writes and system.metrics reads.
package minutes

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Kept is how many minutes the ring keeps, including the current one.
const Kept = 60

// What is counted in a minute. The times of tasks are counted by [Bucket]: Wait + "7" is how many
// tasks had a waiting time in bucket 7.
const (
	Created   = "created"
	Completed = "completed"
	Failed    = "failed"
	Wait      = "wait" // from queueing a task to its claim
	Run       = "run"  // from a task's last claim to its end
)

// Of returns the minute of a time in ms since 1970.
func Of(ms int64) int64 { return ms / 60_000 }

// Field returns the field of the hash for what is counted in a minute.
func Field(what string, minute int64) string { return what + "." + strconv.FormatInt(minute%Kept, 10) }

// Value returns the field's value. The minute says which turn of the ring the count is of.
func Value(minute, count int64) string {
	return strconv.FormatInt(minute, 10) + ":" + strconv.FormatInt(count, 10)
}

// Count returns what a field of the hash counted in a minute. It is 0 if the value is of another turn
// of the ring.
func Count(hash map[string]string, what string, minute int64) int64 {
	of, count, _ := strings.Cut(hash[Field(what, minute)], ":")
	if of != strconv.FormatInt(minute, 10) {
		return 0
	}
	n, _ := strconv.ParseInt(count, 10, 64) // the projection writes only integers
	return n
}

// bounds are the upper bounds of the buckets in ms. Each is √2 times the one before, up to 24 days.
var bounds = func() (bounds []int64) {
	for half := range 63 {
		if bound := int64(math.Round(math.Pow(2, float64(half)/2))); len(bounds) == 0 || bound > bounds[len(bounds)-1] {
			bounds = append(bounds, bound)
		}
	}
	return bounds
}()

// Bucket returns the bucket of a time in ms. The last one has all longer times.
func Bucket(ms int64) int {
	place, _ := slices.BinarySearch(bounds, ms)
	return min(place, len(bounds)-1)
}

// Quantiles returns, for each quantile from 0 to 1, the upper bound of the bucket in which it lies, in
// ms, which is at most 42 % too high. It returns nil if nothing was counted. what is Wait
// or Run.
func Quantiles(hash map[string]string, what string, minute int64, quantiles ...float64) []int64 {
	counts := make([]int64, len(bounds))
	var all int64
	for i := range counts {
		counts[i] = Count(hash, what+strconv.Itoa(i), minute)
		all += counts[i]
	}
	if all == 0 {
		return nil
	}
	found := make([]int64, len(quantiles))
	for i, q := range quantiles {
		rank := max(int64(math.Ceil(q*float64(all))), 1)
		for bucket, n := range counts {
			if rank -= n; rank <= 0 {
				found[i] = bounds[bucket]
				break
			}
		}
	}
	return found
}
