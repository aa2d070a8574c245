package system

import "testing"

// The sliding minute covers all of this calendar minute and a part of the previous one. It covers
// no older minutes, and none from an hour ago, which have the same place in the ring.
func TestThroughput(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		clock int64
		ring  map[string]string
		want  float64
	}{
		{600_000, nil, 0},
		{600_000, map[string]string{"completed.10": "10:7"}, 7},
		{600_000, map[string]string{"failed.9": "9:8", "completed.10": "10:7"}, 15},
		{615_000, map[string]string{"failed.9": "9:8", "completed.10": "10:7"}, 13},
		{659_999, map[string]string{"failed.9": "9:8", "completed.10": "10:7"}, 7},
		{615_000, map[string]string{"completed.8": "8:8", "completed.10": "70:7", "failed.9": "nonsense"}, 0},
	} {
		m := measured{Clock: test.clock, Minutes: test.ring}
		if got := m.throughput(); got != test.want {
			t.Errorf("at %d with %v: %v, want %v", test.clock, test.ring, got, test.want)
		}
	}
}
