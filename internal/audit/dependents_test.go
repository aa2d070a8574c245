package audit_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

// dependents creates tasks that depend on one, and returns its id. Each third of them runs even if that
// one fails, each fifth has a limitKey, and each seventh is scheduled.
func (b *bundle) dependents(t testing.TB, n int) string {
	t.Helper()
	need := b.do(t, "task.create", object{"text": "needed", "priority": 100})["id"].(string)
	for i := 0; i < n; i += 100 {
		items := make([]object, 0, 100)
		for k := i; k < min(i+100, n); k++ {
			item := object{"text": "x", "priority": k % 90, "dependsOn": []string{need}}
			if k%3 == 0 {
				item["onDependencyFailure"] = "run"
			}
			if k%5 == 0 {
				item["limitKey"] = "l"
			}
			if k%7 == 0 {
				item["delayMs"] = 3_600_000
			}
			items = append(items, item)
		}
		answers := b.do(t, "task.create_many", object{"tasks": items})
		if answers["failed"].(float64) != 0 {
			t.Fatalf("created %v", answers)
		}
	}
	return need
}

// Whatever becomes of a task that many depend on, its end is one short script, and any coordinator goes
// on with the rest after each step. What is stored equals the log at each of these points.
func TestTheCoordinatorDiesBetweenTheStepsOfDependents(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]struct {
		end  func(t *testing.T, b *bundle, id string)
		left string // the statuses that are left, and how many tasks have each
	}{
		"completed": {func(t *testing.T, b *bundle, id string) {
			b.do(t, "task.claim", object{"workerId": "w"})
			b.do(t, "task.complete", object{"id": id})
		}, "blocked 49, pending 208, scheduled 43"},
		"failed": {func(t *testing.T, b *bundle, id string) {
			b.do(t, "task.claim", object{"workerId": "w"})
			b.do(t, "task.complete", object{"id": id, "error": "x"})
		}, "blocked 15, cancelled 200, pending 70, scheduled 15"},
		"cancelled": {func(t *testing.T, b *bundle, id string) {
			b.do(t, "task.cancel", object{"id": id})
		}, "blocked 15, cancelled 200, pending 70, scheduled 15"},
		"deleted": {func(t *testing.T, b *bundle, id string) {
			b.do(t, "task.delete", object{"id": id})
		}, "blocked 15, cancelled 200, pending 70, scheduled 15"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, false)
			b.follow(t)
			b.do(t, "system.register", object{"id": "w", "roles": []string{"worker"}, "metadata": object{"maxTasks": 0}})
			b.do(t, "limit.set", object{"key": "l", "concurrent": 2})
			id := b.dependents(t, 300)
			clean(t, b.verify(t))
			outcome.end(t, b, id)
			for step := 0; ; step++ {
				clean(t, b.verify(t))
				b.again(t) // the coordinator is gone
				changed, err := b.coordinator.StepTimers(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if changed == 0 {
					if step < 4 {
						t.Errorf("%d steps are not bounded", step)
					}
					break
				}
				if changed > 100 {
					t.Errorf("a step changed %d tasks", changed)
				}
			}
			if got := b.statuses(t, id, 300); got != outcome.left {
				t.Errorf("the tasks are %s, want %s", got, outcome.left)
			}
		})
	}
}

// statuses counts the tasks that were created after one, by status.
func (b *bundle) statuses(t testing.TB, after string, tasks int) string {
	t.Helper()
	first, err := strconv.Atoi(after[2:])
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for n := first + 1; n <= first+tasks; n++ {
		counts[b.do(t, "task.get", object{"id": fmt.Sprint("t-", n)})["status"].(string)]++
	}
	var list []string
	for status, n := range counts {
		list = append(list, fmt.Sprint(status, " ", n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// A task with 10,000 dependents ends, and they are released in bounded steps.
func TestTenThousandDependents(t *testing.T) {
	t.Parallel()
	b := newBundle(t, false)
	b.follow(t)
	b.do(t, "system.register", object{"id": "w", "roles": []string{"worker"}, "metadata": object{"maxTasks": 0}})
	id := b.dependents(t, 10_000)
	b.do(t, "task.claim", object{"workerId": "w"})
	b.do(t, "task.complete", object{"id": id})
	steps := 0
	for ; ; steps++ {
		if steps == 50 {
			clean(t, b.verify(t))
		}
		changed, err := b.coordinator.StepTimers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if changed == 0 {
			break
		}
		if changed > 100 {
			t.Fatalf("a step changed %d tasks", changed)
		}
	}
	clean(t, b.verify(t))
	if got := b.client.ZCard(t.Context(), b.space.Blocked()).Val(); got != 0 || steps < 100 {
		t.Errorf("%d are blocked after %d steps", got, steps)
	}
}

// A task becomes due when the one that it depends on has ended, and no step has told it yet: it is
// blocked until then.
func TestATaskBecomesDueBeforeItIsTold(t *testing.T) {
	t.Parallel()
	b := newBundle(t, true)
	need := b.create(t, 50, "")
	task := b.do(t, "task.create", object{"text": "x", "delayMs": 1, "dependsOn": []string{need}, "onDependencyFailure": "run"})
	b.do(t, "task.cancel", object{"id": need})
	due, err := time.Parse(time.RFC3339, task["runAt"].(string))
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		now, err := b.client.Time(t.Context()).Result()
		return err == nil && now.After(due.Add(time.Millisecond)), "the time has not come"
	})
	if _, err := b.coordinator.StepTimers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.do(t, "task.get", object{"id": task["id"]})["status"]; got != "pending" {
		t.Errorf("the task is %s", got)
	}
	b.project(t)
	clean(t, b.verify(t))
}
