package minutes

import (
	"slices"
	"strconv"
	"testing"
)

func TestBuckets(t *testing.T) {
	t.Parallel()
	for ms, want := range map[int64]int64{-5: 1, 0: 1, 1: 1, 2: 2, 3: 3, 11: 11, 12: 16, 1000: 1024, 1025: 1448, 90_000: 92682} {
		if got := bounds[Bucket(ms)]; got != want {
			t.Errorf("%d ms: up to %d, want %d", ms, got, want)
		}
	}
	if Bucket(1<<62) != len(bounds)-1 {
		t.Error("the last bucket does not have all longer times")
	}
	for i, bound := range bounds[1:] {
		if before := bounds[i]; float64(bound) > 1.42*float64(before+1) {
			t.Errorf("%d follows %d", bound, before)
		}
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	const minute = 29_000_001
	hash := map[string]string{}
	put := func(ms, count, minute int64) {
		hash[Field(Wait+strconv.Itoa(Bucket(ms)), minute)] = Value(minute, count)
	}
	if got := Quantiles(hash, Wait, minute, 0.5); got != nil {
		t.Errorf("of nothing: %v", got)
	}
	put(1, 94, minute)
	put(1000, 5, minute)
	put(60_000, 1, minute)
	put(4, 99, minute-Kept) // another turn
	if got := Quantiles(hash, Wait, minute, 0, 0.5, 0.94, 0.95, 0.99, 1); !slices.Equal(got, []int64{1, 1, 1, 1024, 1024, 65536}) {
		t.Errorf("got %v", got)
	}
	if got := Quantiles(hash, Run, minute, 0.5); got != nil {
		t.Errorf("of the other time: %v", got)
	}
}
