package task_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// Without maxAttempts, a task has one try.
func TestTheDefaultsOfRetry(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		for given, tries := range map[string]int{`{}`: 1, `{"backoffMs":0,"jitter":0}`: 1, `{"maxAttempts":1}`: 1, `{"maxAttempts":2}`: 2} {
			id := f.Create("x", `,"retry":`+given)
			claimSoon(t, f, "w", id)
			answer := f.OK("task.complete", `{"id":%q,"error":1}`, id)
			want := map[int]string{1: "failed", 2: "scheduled"}[tries]
			if task := timedTask(f, id); task.Status != want || task.Failures != 1 || !strings.Contains(string(answer), `"status":"`+want+`"`) {
				t.Errorf("with %s it is %+v, answered %s", given, task, answer)
			}
		}
		whole := string(f.OK("task.get", `{"id":%q}`, f.Create("x", `,"retry":{}`)))
		if want := `"retry":{"maxAttempts":1,"backoffMs":1000,"factor":2,"maxBackoffMs":3600000,"jitter":0.1}`; !strings.Contains(whole, want) {
			t.Errorf("the defaults are not %s in %s", want, whole)
		}
	})
}

// Tasks that fail together are not tried again together, if there is a jitter: their pauses differ, on
// both sides of the pause without one, and within its share. Without a jitter they are exact.
func TestJitterSpreadsTheTries(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		const tasks = 60
		const year = 31_536_000_000
		for _, test := range []struct {
			retry             string
			shortest, longest int64
		}{
			{`"backoffMs":60000,"jitter":0`, 60_000, 60_000},
			{`"backoffMs":60000,"jitter":0,"maxBackoffMs":50000`, 50_000, 50_000},
			{`"backoffMs":60000`, 54_000, 66_000},
			{`"backoffMs":60000,"jitter":0.5`, 30_000, 90_000},
			{`"backoffMs":31536000000,"jitter":0.5,"maxBackoffMs":60000`, 30_000, 90_000},
			{`"backoffMs":31536000000,"jitter":1,"maxBackoffMs":31536000000`, 0, 2 * year},
			{`"backoffMs":0,"jitter":1`, 0, 0},
		} {
			f.OK("task.create_many", `{"tasks":[%s]}`, strings.Join(slices.Repeat([]string{`{"text":"x","retry":{"maxAttempts":3,` + test.retry + `}}`}, tasks), ","))
			pauses := failAll(t, f, tasks)
			low, high := slices.Min(pauses), slices.Max(pauses)
			if low < test.shortest || high > test.longest {
				t.Errorf("%s: pauses from %d to %d", test.retry, low, high)
			}
			slices.Sort(pauses)
			kinds, middle := len(slices.Compact(pauses)), (test.shortest+test.longest)/2
			if spread := test.longest - test.shortest; spread > 0 && (kinds < tasks/2 || low > middle-spread/4 || high < middle+spread/4) || spread == 0 && kinds != 1 {
				t.Errorf("%s: %d pauses of %d tasks, from %d to %d", test.retry, kinds, tasks, low, high)
			}
		}
	})
}

// failAll claims so many tasks, makes them fail together, and returns the pauses before their next
// tries, in ms.
func failAll(t *testing.T, f *fleettest.Fleet, tasks int) (pauses []int64) {
	t.Helper()
	claim := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w","maxTasks":%d}`, tasks))
	var items []string
	for _, task := range claim.Tasks {
		items = append(items, fmt.Sprintf(`{"id":%q,"error":1}`, task.ID))
	}
	seq := f.Seq()
	f.OK("task.complete_many", `{"items":[%s]}`, strings.Join(items, ","))
	for _, e := range f.Emitted(seq, slices.Repeat([]string{"task.retried"}, tasks)...) {
		pauses = append(pauses, moment(t, fleettest.Decoded[timed](t, e.Payload).RunAt)-e.Timestamp)
	}
	return pauses
}
