package audit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

// crowd creates n tasks, each with the params that more returns, and returns the id of the task that was
// created before them.
func (b *bundle) crowd(t testing.TB, n int, more func(k int) object) (before string) {
	t.Helper()
	before = b.create(t, 0, "")
	for i := 0; i < n; i += 100 {
		var items []object
		for k := i; k < min(i+100, n); k++ {
			item := more(k)
			item["text"], item["priority"] = "x", 1+k%90
			items = append(items, item)
		}
		if answers := b.do(t, "task.create_many", object{"tasks": items}); answers["failed"].(float64) != 0 {
			t.Fatalf("created %v", answers)
		}
	}
	return before
}

// awaitTime waits until the clock of Redis has passed all times of a queue.
func (b *bundle) awaitTime(t testing.TB, queue string) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		last := b.client.ZRevRangeWithScores(t.Context(), queue, 0, 0).Val()
		now := b.client.Time(t.Context()).Val().UnixMilli()
		return len(last) == 1 && float64(now) > last[0].Score, fmt.Sprint(now, last)
	})
}

// Whatever a step of the timers does, it is short, and any coordinator goes on after it. What is stored
// equals the log at each of these points.
func TestTheCoordinatorDiesBetweenTheStepsOfTimers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tasks   int
		more    func(needed string, k int) object
		prepare func(t *testing.T, b *bundle) // what leaves something to do
		most    int64                         // tasks that a step changes
		steps   int                           // that change something
		left    string
	}{
		"due tasks": {
			250, func(needed string, k int) object {
				item := object{"delayMs": 1}
				if k%5 == 0 {
					item["limitKey"] = "two"
				}
				if k%7 == 0 {
					item["dependsOn"] = []string{needed}
				}
				return item
			}, func(t *testing.T, b *bundle) {
				t.Helper()
				b.awaitTime(t, b.space.Scheduled())
			}, 100, 3, "blocked 76, pending 174",
		},
		"deadlines": {
			70, func(_ string, k int) object {
				item := object{"timeoutMs": 1000, "limitKey": "l"}
				if k%3 == 0 {
					item["retry"] = object{"maxAttempts": 2, "backoffMs": 3_600_000}
				}
				return item
			}, func(t *testing.T, b *bundle) {
				t.Helper()
				claimed := b.do(t, "task.claim", object{"workerId": "w", "maxTasks": 70})["tasks"].([]any)
				for _, task := range claimed[:14] {
					b.do(t, "task.cancel", object{"id": task.(object)["id"], "graceMs": 1})
				}
				b.awaitTime(t, b.space.Deadlines())
			}, 25, 3, "cancelled 14, failed 37, scheduled 19",
		},
		"a lower limit": {
			200, func(string, int) object { return object{"limitKey": "l"} }, func(t *testing.T, b *bundle) {
				t.Helper()
				claimed := b.do(t, "task.claim", object{"workerId": "w", "maxTasks": 25})["tasks"].([]any)
				b.do(t, "limit.set", object{"key": "l", "concurrent": 30})
				for _, task := range claimed[:5] { // between the steps, some go back
					b.do(t, "task.unassign", object{"taskId": task.(object)["id"]})
				}
			}, 50, 3, "blocked 170, in_progress 20, pending 10",
		},
		"no limit": {
			200, func(string, int) object { return object{"limitKey": "none"} }, func(t *testing.T, b *bundle) {
				t.Helper()
				b.do(t, "limit.delete", object{"key": "none"})
			}, 50, 3, "pending 200",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, false)
			b.follow(t)
			b.do(t, "system.register", object{"id": "w", "roles": []string{"worker"}, "metadata": object{"maxTasks": 0}})
			b.do(t, "limit.set", object{"key": "two", "concurrent": 2})
			b.do(t, "limit.set", object{"key": "none", "concurrent": 0})
			needed := b.create(t, 0, "")
			before := b.crowd(t, test.tasks, func(k int) object { return test.more(needed, k) })
			test.prepare(t, b)
			var steps []string
			for {
				clean(t, b.verify(t))
				b.again(t) // the coordinator is gone
				changed, err := b.coordinator.StepTimers(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if changed == 0 {
					break
				}
				if steps = append(steps, fmt.Sprint(changed)); changed > test.most {
					t.Errorf("a step changed %d tasks", changed)
				}
			}
			if got := b.statuses(t, before, test.tasks); got != test.left || len(steps) != test.steps {
				t.Errorf("the tasks are %s, want %s, after steps of %s", got, test.left, strings.Join(steps, ", "))
			}
		})
	}
}
