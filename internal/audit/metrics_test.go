package audit_test

import (
	"maps"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

// The metrics of a version that did not count tries are right as they are, and go on.
func TestMetricsWithoutCountsOfTries(t *testing.T) {
	t.Parallel()
	d := newDay(t, false)
	tries := []string{"tasksRetried", "tasksTimedOut", "tasksLost", "tasksCancelled"}
	counts := func() map[string]string {
		found := map[string]string{}
		for i, value := range d.client.HMGet(t.Context(), d.space.Metrics("global"), tries...).Val() {
			if text, ok := value.(string); ok {
				found[tries[i]] = text
			}
		}
		return found
	}
	if got := counts(); len(got) > 0 {
		t.Fatalf("plain tasks are counted as %v", got)
	}
	d.follow(t)
	d.do(t, "task.cancel", object{"id": d.waiting})
	d.do(t, "system.unregister", object{"instanceId": "w1"})
	clean(t, d.verify(t))
	want := map[string]string{"tasksCancelled": "1", "tasksLost": "1"}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) { return maps.Equal(counts(), want), "the metrics do not follow" })
}

// Metrics that no coordinator has begun are no violation.
func TestNoMetrics(t *testing.T) {
	t.Parallel()
	d := newDay(t, false)
	if err := d.client.Del(t.Context(), d.space.Checkpoint("metrics"), d.space.Metrics("global")).Err(); err != nil {
		t.Fatal(err)
	}
	clean(t, d.verify(t))
}
