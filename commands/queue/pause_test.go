package queue_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

const everyWorker = `["worker","gpu","cpu"]`

func pauses(f *fleettest.Fleet, method, params string) api.PausesResult {
	f.T.Helper()
	return fleettest.Decoded[api.PausesResult](f.T, f.OK(method, "%s", params))
}

const forGPU = `,"metadata":{"roles":["gpu"]}`

func assign(f *fleettest.Fleet, id, instance string) {
	f.T.Helper()
	f.OK("task.assign", `{"taskId":%q,"instanceId":%q}`, id, instance)
}

// most returns the metadata of an instance that auto-assignment gives n tasks at most.
func most(n int) string { return fmt.Sprintf(`,"metadata":{"maxTasks":%d}`, n) }

// A pause is one of exactly a set of roles, of the tasks without roles, or of all tasks. It is made
// and ended once.
func TestPauseAndResume(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens()}, func(t *testing.T, f *fleettest.Fleet) {
		call := func(name, method, params string) api.PausesResult {
			t.Helper()
			return fleettest.Decoded[api.PausesResult](t, f.May(name, method, "%s", params))
		}
		reason := `the "driver" <is> replaced/é`
		gpu := api.Pause{Roles: []string{"cpu", "gpu"}, Reason: &reason, By: "ops"}
		none, all := api.Pause{Roles: []string{}, By: "root"}, api.Pause{By: "ops"}
		for i, c := range []struct {
			by, method, params string
			want               api.PausesResult
			event              string // roles in the event, "" for no event
		}{
			{"ops", "queue.resume", `{}`, api.PausesResult{Pauses: []api.Pause{}}, ""},
			{"ops", "queue.pause", `{"roles":["gpu","cpu","gpu"],"reason":"the \"driver\" <is> replaced/é"}`, api.PausesResult{Changed: true, Pauses: []api.Pause{gpu}}, `["cpu","gpu"]`},
			{"root", "queue.pause", `{"roles":["cpu","gpu"],"reason":"another"}`, api.PausesResult{Pauses: []api.Pause{gpu}}, ""},
			{"root", "queue.pause", `{"roles":[]}`, api.PausesResult{Changed: true, Pauses: []api.Pause{gpu, none}}, `[]`},
			{"ops", "queue.pause", `{}`, api.PausesResult{Changed: true, Pauses: []api.Pause{gpu, none, all}}, `null`},
			{"ops", "queue.resume", `{"roles":["gpu"]}`, api.PausesResult{Pauses: []api.Pause{gpu, none, all}}, ""},
			{"ops", "queue.resume", `{}`, api.PausesResult{Changed: true, Pauses: []api.Pause{gpu, none}}, `null`},
			{"ops", "queue.resume", `{}`, api.PausesResult{Pauses: []api.Pause{gpu, none}}, ""},
			{"root", "queue.resume", `{"roles":["gpu","cpu"]}`, api.PausesResult{Changed: true, Pauses: []api.Pause{none}}, `["cpu","gpu"]`},
			{"ops", "queue.resume", `{"roles":[]}`, api.PausesResult{Changed: true, Pauses: []api.Pause{}}, `[]`},
		} {
			before := f.Seq()
			got := call(c.by, c.method, c.params)
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(api.Pause{}, "At"), cmpopts.SortSlices(func(a, b api.Pause) bool { return len(a.Roles) < len(b.Roles) })); diff != "" {
				t.Errorf("%d. %s %s: -want +got\n%s", i, c.method, c.params, diff)
			}
			state := fleettest.Decoded[api.GetStateResult](t, f.May("alice", "system.get_state", `{}`)).Pauses
			if diff := cmp.Diff(got.Pauses, state, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%d. system.get_state: -want +got\n%s", i, diff)
			}
			metrics := fleettest.Decoded[api.MetricsResult](t, f.May("audit", "system.metrics", `{}`)).Pauses
			if diff := cmp.Diff(got.Pauses, metrics, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%d. system.metrics: -want +got\n%s", i, diff)
			}
			if c.event == "" {
				if f.Seq() != before {
					t.Errorf("%d. %s %s emitted an event", i, c.method, c.params)
				}
				continue
			}
			events := f.Events()
			last := events[len(events)-1]
			if f.Seq() != before+1 || last.Type != c.method+"d" || !strings.HasPrefix(string(last.Payload), `{"roles":`+c.event+`,`) || !strings.Contains(string(last.Payload), `"by":"`+c.by+`"`) {
				t.Errorf("%d. %s %s emitted %s %s", i, c.method, c.params, last.Type, last.Payload)
			}
		}
	})
}

// A namespace has at most 64 pauses.
func TestPausesAreBounded(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"queue.pause": 0}}, func(t *testing.T, f *fleettest.Fleet) {
		for i := range 64 {
			pauses(f, "queue.pause", fmt.Sprintf(`{"roles":["r%d"]}`, i))
		}
		f.Refused(api.CodeConflict, `{"reason":"TOO_MANY_PAUSES","limit":64}`, "queue.pause", "%s", `{}`)
		if got := pauses(f, "queue.pause", `{"roles":["r63"]}`); got.Changed || len(got.Pauses) != 64 {
			t.Errorf("%+v", got)
		}
		pauses(f, "queue.resume", `{"roles":["r63"]}`)
		pauses(f, "queue.pause", `{}`)
	})
}

func TestInvalidQueues(t *testing.T) {
	t.Parallel()
	f := fleettest.NewChecker(t)
	for _, c := range []struct{ method, params, says string }{
		{"queue.pause", `{"roles":null}`, "roles parameter must be an array"},
		{"queue.pause", `{"roles":[""]}`, "roles parameter item 0"},
		{"queue.pause", `{"roles":["a\u0000"]}`, "roles parameter"},
		{"queue.pause", `{"roles":"gpu"}`, "roles parameter must be an array"},
		{"queue.pause", `{"roles":[` + strings.Repeat(`"r",`, 64) + `"r"]}`, "at most 64"},
		{"queue.pause", `{"reason":""}`, "reason parameter"},
		{"queue.pause", `{"reason":"` + strings.Repeat("x", 501) + `"}`, "reason parameter"},
		{"queue.resume", `{"reason":"x"}`, "unknown parameter"},
		{"queue.resume", `{"roles":[7]}`, "roles parameter item 0"},
	} {
		if got := f.Refuses(t, c.method, c.params); !strings.Contains(got, c.says) {
			t.Errorf("%s %.80s: %q, want %q", c.method, c.params, got, c.says)
		}
	}
}

// Nothing is claimed from a paused queue: neither a task that waits, nor one that was assigned, by
// whomever, nor one of another instance. What is claimed goes on.
func TestNothingIsClaimedFromAPausedQueue(t *testing.T) {
	for name, c := range map[string]struct {
		pause         string
		gpu, roleless bool // whether such tasks are still claimed
	}{
		"one set of roles":    {`{"roles":["gpu"]}`, false, true},
		"tasks without roles": {`{"roles":[]}`, true, false},
		"all":                 {`{}`, false, false},
		"another set":         {`{"roles":["cpu","gpu"]}`, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
				f.Register("v", everyWorker, most(0))
				running := f.Create("running", forGPU)
				f.Claim("v")
				auto, autoGPU := f.Create("auto", ""), f.Create("auto", forGPU)
				f.Register("w", everyWorker, most(2)) // both are auto-assigned to it
				given, givenGPU := f.Create("given", ""), f.Create("given", forGPU)
				for _, id := range []string{given, givenGPU} {
					assign(f, id, "w")
				}
				pauses(f, "queue.pause", c.pause)
				waits, waitsGPU := f.Create("waits", ""), f.Create("waits", forGPU)
				want := map[string]bool{}
				for _, task := range []struct {
					id      string
					claimed bool
				}{{auto, c.roleless}, {given, c.roleless}, {waits, c.roleless}, {autoGPU, c.gpu}, {givenGPU, c.gpu}, {waitsGPU, c.gpu}} {
					if task.claimed {
						want[task.id] = true
					}
				}
				got := map[string]bool{}
				for _, worker := range []string{"w", "w", "w", "v", "v", "v", "v", "v", "w"} {
					if id := f.Claim(worker); id != "" {
						got[id] = true
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("claimed: -want +got\n%s", diff)
				}
				f.OK("task.complete", `{"id":%q,"workerId":"v"}`, running)
				// The best one is not found behind the paused ones by a claim of many, either.
				f.OK("task.claim", `{"workerId":"w","maxTasks":100}`)
				f.Verify()
				pauses(f, "queue.resume", c.pause)
				for range 6 - len(want) {
					if id := f.Claim("w"); id == "" {
						t.Error("not everything can be claimed after the end of the pause")
					}
				}
			})
		})
	}
}

// Nothing is auto-assigned from a paused queue: neither when a worker registers nor when one dies.
// The tasks of the dead return to their queues.
func TestNothingIsAutoAssignedFromAPausedQueue(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", everyWorker, "")
		held := f.Create("x", forGPU)
		f.Claim("w")
		pauses(f, "queue.pause", `{"roles":["gpu"]}`)
		waits, free := f.Create("x", forGPU), f.Create("x", "")
		f.Register("v", everyWorker, "")
		f.OK("system.unregister", `{"instanceId":"w"}`)
		for id, owner := range map[string]string{held: "", waits: "", free: "v"} {
			if task := f.Get(id); task.AssignedTo != owner || task.Status != "pending" {
				t.Errorf("%s is %s with %q, want %q", id, task.Status, task.AssignedTo, owner)
			}
		}
	})
}

// An assigned task may still be ended, but not claimed by task.update.
func TestWhatAnOwnerMayDo(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", everyWorker, most(0))
		pauses(f, "queue.pause", `{"roles":["gpu"]}`)
		for _, end := range []string{`task.complete {"id":%q,"workerId":"w"}`, `task.update {"id":%q,"updates":{"status":"completed"}}`} {
			id := f.Create("x", forGPU)
			assign(f, id, "w")
			f.Refused(api.CodeConflict, `{"reason":"QUEUE_PAUSED"}`, "task.update", `{"id":%q,"updates":{"status":"in_progress"}}`, id)
			method, params, _ := strings.Cut(end, " ")
			f.OK(method, params, id)
			if task := f.Get(id); task.Status != "completed" || task.Attempt != 1 {
				t.Errorf("%s: %+v", end, task)
			}
		}
		// The roles after the call count.
		id := f.Create("x", forGPU)
		assign(f, id, "w")
		f.OK("task.update", `{"id":%q,"updates":{"status":"in_progress","metadata":{"roles":["cpu"]}}}`, id)
	})
}

// A claim finds a task behind a thousand that it may not take, in each of the places where it looks.
func TestPausedTasksAreNotInTheWay(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.assign": 0}}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", everyWorker, most(200))
		var gpu []string
		for range 150 {
			gpu = append(gpu, f.Create("x", `,"priority":90`+forGPU))
		}
		waits := f.Create("x", "")
		pauses(f, "queue.pause", `{"roles":["gpu"]}`)
		if id := f.Claim("w"); id != waits {
			t.Errorf("claimed %q, want the one that waits", id)
		}
		f.OK("task.complete", `{"id":%q}`, waits)
		for _, id := range gpu {
			assign(f, id, "w")
		}
		given := f.Create("x", "")
		assign(f, given, "w")
		if id := f.Claim("w"); id != given {
			t.Errorf("claimed %q, want the one that was given to it", id)
		}
		f.OK("task.complete", `{"id":%q}`, given)
		pauses(f, "queue.resume", `{"roles":["gpu"]}`)
		f.OK("system.unregister", `{"instanceId":"w"}`)
		f.Create("x", "")
		f.Register("a", everyWorker, most(200))
		pauses(f, "queue.pause", `{"roles":["gpu"]}`)
		f.Register("v", everyWorker, most(0))
		if id := f.Claim("v"); id == "" || fleettest.Text(f.Get(id).Metadata) != "" {
			t.Errorf("took %q from the other one", id)
		}
		last := f.Create("x", "")
		if id := f.Claim("a"); id != last {
			t.Errorf("claimed %q, want %s", id, last)
		}
	})
}

// A flush ends all pauses.
func TestAFlushEndsPauses(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		pauses(f, "queue.pause", `{}`)
		pauses(f, "queue.pause", `{"roles":["gpu"]}`)
		f.Flush(fleettest.Confirmed)
		if log := f.Hash(f.Keys.Log()); log["paused"] != "" || f.Exists(f.Keys.Paused()) != 0 {
			t.Errorf("after a flush: %v", log)
		}
		f.Register("w", everyWorker, "")
		id := f.Create("x", "")
		if got := f.Claim("w"); got != id {
			t.Errorf("claimed %q", got)
		}
		if got := pauses(f, "queue.resume", `{}`); got.Changed || len(got.Pauses) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// If the log's hash is lost, the pauses hold all the same.
func TestPausesSurviveTheHashOfTheLog(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", everyWorker, most(0))
		id := f.Create("x", "")
		pauses(f, "queue.pause", `{"roles":[]}`)
		f.Put([]any{"DEL", f.Keys.Log()})
		for range 2 {
			if got := f.Claim("w"); got != "" {
				t.Errorf("claimed %q", got)
			}
		}
		pauses(f, "queue.resume", `{"roles":[]}`)
		if got := f.Claim("w"); got != id {
			t.Errorf("claimed %q", got)
		}
	})
}

// While nothing is paused, no command of a task looks at the pauses: it would fail here, because the
// key has the wrong type.
func TestWithoutAPauseNothingIsRead(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("v", everyWorker, most(2))
		f.Put([]any{"SET", f.Keys.Paused(), "x"}) // after the first event, which creates the log's hash
		f.Create("auto", "")
		f.Create("auto", forGPU)
		f.Register("w", everyWorker, most(2))
		waits, given := f.Create("waits", forGPU), f.Create("given", forGPU)
		assign(f, given, "w")
		assign(f, waits, "v")
		f.OK("task.update", `{"id":%q,"updates":{"status":"in_progress"}}`, waits)
		for range 3 {
			if id := f.Claim("w"); id == "" {
				t.Error("claimed nothing")
			}
		}
		f.OK("task.complete", `{"id":%q}`, given)
		f.OK("task.complete", `{"id":%q}`, waits)
		f.OK("task.claim", `{"workerId":"w","waitMs":1}`)
		f.OK("system.unregister", `{"instanceId":"w"}`)
		f.Put([]any{"DEL", f.Keys.Paused()})
	})
}
