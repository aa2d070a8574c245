package commands_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// Each of many concurrent calls counts once, under its outcome.
func TestStatsCountEachCall(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.get": 3}}, func(t *testing.T, f *fleettest.Fleet) {
		began := time.Now().Truncate(time.Millisecond)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 5 {
					_, _ = f.Do("task.create", `{"text":"x"}`)
					_, _ = f.Do("task.create", `{"text":""}`)
					_, _ = f.Do("task.delete", `{"id":"t-0"}`)
					_, _ = f.Do("task.get", `{"id":"t-1"}`)
				}
			})
		}
		all.Wait()
		took := time.Since(began)
		want := map[string]map[api.Outcome]uint64{
			"task.create": {api.OutcomeOK: 40, api.OutcomeInvalid: 40},
			"task.delete": {api.OutcomeRefused: 40},
			"task.get":    {api.OutcomeOK: 3, api.OutcomeRateLimited: 37},
		}
		got := map[string]map[api.Outcome]uint64{}
		for _, s := range f.Stats() {
			if s.Calls == 0 {
				if !s.Last.IsZero() || s.Latency.Count != 0 {
					t.Errorf("%s was never called: %v, %d durations", s.Method, s.Last, s.Latency.Count)
				}
				continue
			}
			got[s.Method] = map[api.Outcome]uint64{}
			var calls uint64
			for o, n := range s.Outcomes {
				if calls += n; n > 0 {
					got[s.Method][api.Outcome(o)] = n
				}
			}
			if s.Calls != calls || s.Latency.Count != calls || s.Errors() != calls-s.Outcomes[api.OutcomeOK] {
				t.Errorf("%s: %d calls, %d outcomes, %d durations, %d errors", s.Method, s.Calls, calls, s.Latency.Count, s.Errors())
			}
			if s.Last.Before(began) || s.Last.After(time.Now()) {
				t.Errorf("%s was called last at %v", s.Method, s.Last)
			}
			if s.Latency.Sum <= 0 || s.Latency.Sum > 8*took {
				t.Errorf("%s took %v in all, and the test %v", s.Method, s.Latency.Sum, took)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		for _, s := range f.Beside().Stats() {
			if s.Calls != 0 {
				t.Errorf("another coordinator counts %d calls of %s", s.Calls, s.Method)
			}
		}
	})
}
