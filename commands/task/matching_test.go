package task_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/taskview"
)

// seeing gives the fleet a view that finds the tasks that the test adds, whatever the filter: it is
// behind the log.
func seeing(f *fleettest.Fleet) *fleettest.View {
	v := &fleettest.View{}
	f.With(func(o *commands.Options) { o.Tasks = v })
	return v
}

// sees adds tasks to what a view finds.
func sees(v *fleettest.View, ids ...string) {
	for _, id := range ids {
		v.Tasks = append(v.Tasks, fmt.Appendf(nil, `{"id":%q}`, id))
	}
}

// matches calls a method with a filter, checks what it answers, and returns the tasks that its events
// name.
func matches(t *testing.T, f *fleettest.Fleet, method, params, want string) (changed []string) {
	t.Helper()
	seq := f.Seq()
	if got := string(f.OK(method, "%s", params)); got != want {
		t.Errorf("%s %s answered %s, want %s", method, params, got, want)
	}
	for _, e := range f.Since(seq) {
		changed = append(changed, fleettest.Decoded[struct{ ID string }](t, e.Payload).ID)
	}
	return changed
}

// The view may be behind. A task that no longer has a status that the filter names is left alone, also
// if the method could change it.
func TestATaskThatHasChangedSinceIsLeftAlone(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		v := seeing(f)
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		f.OK("limit.set", `{"key":"none","concurrent":0}`)
		given := func(method, params string) string {
			id := f.Create("x", "")
			f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
			f.OK(method, params, id)
			return id
		}
		for method, statuses := range map[string][]string{
			"task.cancel_many": {"scheduled", "blocked", "pending", "in_progress"},
			"task.retry_many":  {"failed", "cancelled"},
			"task.delete_many": api.TaskStatuses,
		} {
			for _, status := range statuses {
				ids := map[string]string{
					"scheduled":   f.Create("x", `,"delayMs":3600000`),
					"blocked":     f.Create("x", `,"limitKey":"none"`),
					"pending":     f.Create("x", ""),
					"in_progress": given("task.update", `{"id":%q,"updates":{"status":"in_progress"}}`),
					"completed":   given("task.complete", `{"id":%q}`),
					"failed":      given("task.complete", `{"id":%q,"error":1}`),
					"cancelled":   given("task.cancel", `{"id":%q}`),
				}
				v.Tasks, v.Asked = nil, nil
				for _, s := range api.TaskStatuses {
					sees(v, ids[s])
				}
				if changed := matches(t, f, method, fmt.Sprintf(`{"filter":{"status":%q}}`, status), `{"matched":7,"done":1}`); !slices.Equal(changed, []string{ids[status]}) {
					t.Errorf("%s of those that are %s changed %v of %v", method, status, changed, ids)
				}
				if q := v.Asked[0]; !slices.Equal(q.Statuses, []string{status}) || q.NotCalledOff != (method == "task.cancel_many") {
					t.Errorf("%s asked for %+v", method, q)
				}
			}
		}
	})
}

// Tasks that were called off before, and whose workers have not ended them, are not called off again:
// a call with a limit goes on to the next ones.
func TestCancelManyTwice(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		v := seeing(f)
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		ids := []string{f.Create("x", ""), f.Create("x", ""), f.Create("x", ""), f.Create("x", ""), f.Create("x", "")}
		sees(v, ids...)
		f.OK("task.claim", `{"workerId":"w","maxTasks":4}`)
		for n, want := range []string{`{"matched":2,"done":2}`, `{"matched":4,"done":2}`, `{"matched":5,"done":1}`, `{"matched":5,"done":0}`} {
			changed := matches(t, f, "task.cancel_many", `{"filter":{"text":"x"},"limit":2}`, want)
			if some := ids[min(2*n, 5):min(2*n+2, 5)]; !slices.Equal(changed, some) {
				t.Errorf("call %d changed %v, want %v", n, changed, some)
			}
		}
		if changed := matches(t, f, "task.cancel_many", `{"filter":{"text":"x"},"graceMs":0}`, `{"matched":5,"done":0}`); changed != nil {
			t.Errorf("a shorter grace changed %v", changed)
		}
		if got := beats(f, "w"); got != strings.Join(ids[:4], " ") {
			t.Errorf("the worker is to end %s", got)
		}
	})
}

// crowd creates n hundred pending tasks that a view finds.
func crowd(t *testing.T, f *fleettest.Fleet, v *fleettest.View, n int) {
	t.Helper()
	for range n {
		call := `{"tasks":[` + strings.Join(slices.Repeat([]string{`{"text":"x"}`}, 100), ",") + `]}`
		for _, a := range fleettest.Decoded[many](t, f.OK("task.create_many", "%s", call)).Answers {
			sees(v, a.Result.ID)
		}
	}
}

// The limit counts what was done. The call goes on, step by step, until so many are changed.
func TestTheLimitOfMatchingCountsWhatIsDone(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		v := seeing(f)
		crowd(t, f, v, 1)
		const pending = `{"filter":{"status":"pending"}`
		if changed := matches(t, f, "task.cancel_many", pending+`,"limit":30}`, `{"matched":30,"done":30}`); len(changed) != 30 {
			t.Errorf("changed %v", changed)
		}
		v.Asked = nil
		matches(t, f, "task.cancel_many", pending+`,"limit":40}`, `{"matched":70,"done":40}`)
		if len(v.Asked) != 2 || v.Asked[0].Limit != 40 || v.Asked[1].Limit != 30 || v.Asked[1].Cursor <= v.Asked[0].Cursor {
			t.Errorf("the steps are %+v", v.Asked)
		}
		matches(t, f, "task.delete_many", pending+`}`, `{"matched":100,"done":30}`)
		matches(t, f, "task.retry_many", `{"filter":{"status":"cancelled"},"limit":1}`, `{"matched":1,"done":1}`)
	})
}

// If a store fails on the way, or a flush begins, the answer says so, and the same call goes on. If that
// happens before anything was changed, it is an error.
func TestMatchingIsCutShort(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		v := seeing(f)
		crowd(t, f, v, 6)
		for _, test := range []struct {
			name, method, params string
			fails, works         func()
			matched, code        int
			data                 string
		}{
			{
				"Postgres fails", "task.cancel_many", `{"filter":{"statuses":["pending"]},"reason":"so"}`,
				func() { v.Err = fmt.Errorf("the test: %w", taskview.ErrUnavailable) }, func() { v.Err = nil },
				500, api.CodeInternal, `"Postgres unavailable"`,
			},
			{
				"a flush begins", "task.retry_many", `{"filter":{"statuses":["cancelled"]}}`,
				func() { f.Put([]any{"HSET", f.Keys.Log(), "fence", "another"}) }, func() { f.Put([]any{"HDEL", f.Keys.Log(), "fence"}) },
				600, api.CodeConflict, `{"reason":"FLUSH_IN_PROGRESS"}`,
			},
		} {
			fails := func(in int) { // the step that finds this
				steps := 0
				v.At = func() events.ID {
					if steps++; steps == in {
						test.fails()
					}
					return events.ID{MS: math.MaxInt64, Seq: math.MaxInt64}
				}
			}
			fails(2)
			want := fmt.Sprintf(`{"matched":%d,"done":500,"incomplete":true}`, test.matched)
			if changed := matches(t, f, test.method, test.params, want); len(changed) != 500 {
				t.Errorf("%s: changed %d", test.name, len(changed))
			}
			test.works()
			fails(1)
			f.Refused(test.code, test.data, test.method, "%s", test.params)
			test.works()
			fails(0)
			matches(t, f, test.method, test.params, `{"matched":600,"done":100}`)
		}
		f.With(func(o *commands.Options) { o.Tasks = nil })
		f.Refused(api.CodeInternal, `"Postgres unavailable"`, "task.delete_many", `{"filter":{"text":"x"}}`)
	})
}
