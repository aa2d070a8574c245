package system_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/lua"
)

func TestCheckHealth(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("dead", `["worker","x"]`, "")
		claimed, assigned := f.Create("claimed", ""), f.Create("assigned", "")
		if f.Claim("dead") != claimed {
			t.Fatal("not claimed")
		}
		f.OK("task.assign", `{"taskId":%q,"instanceId":"dead"}`, assigned)
		f.Register("lives", `["monitor"]`, "")
		if got := f.CheckHealth(60_000); len(got.Failed) != 0 || !slices.Equal(got.Healthy, []string{"lives", "dead"}) &&
			!slices.Equal(got.Healthy, []string{"dead", "lives"}) {
			t.Errorf("nobody has been silent: %+v", got)
		}
		seen := f.Scores(f.Keys.Alive())["dead"]
		before := f.Seq()
		f.Put([]any{"ZADD", f.Keys.Alive(), "XX", 1000, "dead"})
		f.Watched()
		result := fleettest.Decoded[api.CheckHealthResult](t, f.OK("system.check_health", `{}`))
		if !slices.Equal(result.Failed, []string{"dead"}) || result.Reassigned["dead"] != 2 || !slices.Equal(result.Healthy, []string{"lives"}) {
			t.Errorf("answered %+v (it was seen at %v)", result, seen)
		}
		events := f.Emitted(before, "instance.failed", "task.unassigned", "task.unassigned")
		f.Holds(events[0], fmt.Sprintf(`{"id":"dead","roles":["worker","x"],"lastSeen":1000,"tasksReassigned":2,"timestamp":%d}`, events[0].Timestamp))
		f.Holds(events[1], fmt.Sprintf(`{"taskId":%q,"previousStatus":"in_progress","reason":"instance_failed"}`, claimed))
		f.Holds(events[2], fmt.Sprintf(`{"taskId":%q,"previousStatus":"pending","reason":"instance_failed"}`, assigned))
		if events[1].Cause == nil || *events[1].Cause != events[0].ID {
			t.Errorf("the envelope is %+v", events[1])
		}
		if got := fleettest.Decoded[api.CheckHealthResult](t, f.OK("system.check_health", `{}`)); len(got.Failed) != 0 {
			t.Errorf("declared dead again: %+v", got)
		}
	})
}

// The tasks of a dead worker go to live workers. Its later calls are rejected.
func TestCheckHealthHandsOver(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("dead", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
		var tasks []string
		for range 4 {
			tasks = append(tasks, f.Create("x", ""))
			f.Claim("dead")
		}
		f.Register("heir", `["worker"]`, `,"metadata":{"maxTasks":3}`)
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
			f.OK("system.heartbeat", `{"instanceId":"heir"}`)
			all := f.Scores(f.Keys.Alive())
			return all["heir"] > all["dead"], "both were seen in one millisecond"
		})
		f.Put([]any{"ZADD", f.Keys.Alive(), "XX", 1000, "dead"})
		if got := f.CheckHealth(10_000); got.Reassigned["dead"] != 4 {
			t.Errorf("answered %+v", got)
		}
		if got := f.Zset(f.Keys.Assigned("heir")); !slices.Equal(got, tasks[:3]) {
			t.Errorf("the heir has %v", got)
		}
		if got := f.Zset(f.Keys.Pending()); !slices.Equal(got, tasks[3:]) {
			t.Errorf("waiting are %v", got)
		}
		f.Refused(api.CodeConflict, `{"reason":"NOT_OWNER","assignedTo":"heir"}`, "task.complete", `{"id":%q,"workerId":"dead"}`, tasks[0])
		f.Refused(api.CodeConflict, `{"reason":"NOT_ASSIGNED"}`, "task.complete", `{"id":%q,"workerId":"dead"}`, tasks[3])
		f.Refused(api.CodeNotRegistered, `{"instanceId":"dead"}`, "task.claim", `{"workerId":"dead"}`)
		if f.Claim("heir") != tasks[0] {
			t.Fatal("the heir did not claim")
		}
		f.Refused(api.CodeConflict, `{"reason":"STALE_ATTEMPT","attempt":2}`, "task.complete", `{"id":%q,"attempt":1}`, tasks[0])
		// It was declared dead, so it cannot resume anything.
		before := f.Seq()
		f.Register("dead", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
		f.Holds(f.Since(before)[0], `{"resumed":false,"previousRoles":null}`)
		if f.Claim("dead") != tasks[3] {
			t.Error("the waiting one was not given")
		}
	})
}

func TestCheckHealthWithTimeoutZero(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for i := range 60 { // more than one run of the script declares dead
			f.Register(fmt.Sprintf("w%d", i), `["worker"]`, "")
		}
		failed := map[string]bool{}
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
			for _, id := range f.CheckHealth(0).Failed {
				if failed[id] {
					t.Fatalf("%s died twice", id)
				}
				failed[id] = true
			}
			return len(failed) == 60, fmt.Sprintf("%d are dead", len(failed))
		})
		if got := f.CheckHealth(0); len(got.Healthy) != 0 {
			t.Errorf("alive are %v", got.Healthy)
		}
	})
}

func TestCheckHealthAtOnce(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for i := range 30 {
			f.Register(fmt.Sprintf("w%d", i), `["worker"]`, "")
			f.Put([]any{"ZADD", f.Keys.Alive(), "XX", 1000 + i, fmt.Sprintf("w%d", i)})
		}
		f.Create("x", "")
		f.Register("heir", `["worker"]`, "")
		before := f.Seq()
		f.Watched()
		coordinators := []*fleettest.Fleet{f, f.Beside()}
		var g errgroup.Group
		for i := range 8 {
			g.Go(func() error {
				if i%2 == 0 {
					_, err := coordinators[i/4].Do("system.check_health", `{}`)
					return err
				}
				return coordinators[i/4].Sweep(t.Context())
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		died := 0
		for _, e := range f.Since(before) {
			if e.Type == "instance.failed" {
				died++
			}
		}
		if died != 30 {
			t.Errorf("%d were declared dead, want 30", died)
		}
	})
}

// After an outage nobody is declared dead for one TTL, by any caller. An operator may still order
// it with a shorter timeout.
func TestNobodyIsDeclaredDeadAfterAStop(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{InstanceTTL: 150 * time.Millisecond, MonitorInterval: time.Hour}, func(t *testing.T, f *fleettest.Fleet) {
		monitor := f.Keys.Prefix() + "health:monitor"
		for _, stop := range []func(){
			func() {}, // the first start
			func() { f.Put([]any{"HSET", monitor, "tick", "1000"}) }, // all coordinators were down
			func() { f.Put([]any{"DEL", monitor}) },                  // a flush
		} {
			f.Register("w", `["worker"]`, "")
			f.Put([]any{"ZADD", f.Keys.Alive(), "XX", 1000, "w"})
			stop()
			before := f.Seq()
			start := time.Now()
			testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
				for _, timeout := range []int{150, 10_000} {
					if got := f.CheckHealth(timeout); len(got.Failed) > 0 && time.Since(start) < 145*time.Millisecond {
						t.Errorf("asked, and %v were declared dead", got.Failed)
					}
				}
				if err := f.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				return f.Seq() > before, "nobody was declared dead"
			})
			if waited := time.Since(start); waited < 145*time.Millisecond {
				t.Errorf("the monitor waited %v only", waited)
			}
			if e := f.Emitted(before, "instance.failed")[0]; e.Actor == "coordinator" && e.Cause != nil {
				t.Errorf("the envelope is %+v", e)
			}
		}
		f.Put([]any{"DEL", monitor})
		f.Register("w", `["worker"]`, "")
		f.Put([]any{"ZADD", f.Keys.Alive(), "XX", 1000, "w"})
		if err := f.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.CheckHealth(149); !slices.Equal(got.Failed, []string{"w"}) {
			t.Errorf("ordered, and yet: %+v", got)
		}
	})
}

// With a short TTL, an outage shorter than three monitor intervals is long enough to make all
// instances silent.
func TestAShortStopIsAStop(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{InstanceTTL: 2 * time.Second, MonitorInterval: time.Hour}, func(t *testing.T, f *fleettest.Fleet) {
		for late, want := range map[time.Duration]int{-10 * time.Minute: 1, 10 * time.Minute: 0} {
			f.Register("w", `["worker"]`, "")
			f.Put([]any{"ZADD", f.Keys.Alive(), "XX", 1000, "w"})
			f.Put([]any{"HSET", f.Keys.Prefix() + "health:monitor", "tick", time.Now().Add(-time.Hour - late).UnixMilli(), "patience", 0})
			if got := f.CheckHealth(2000); len(got.Failed) != want {
				t.Errorf("a tick that is late by %v: %v were declared dead", late, got.Failed)
			}
		}
	})
}

// If a coordinator stops between two scripts, another one continues and nothing is left behind.
func TestSweepGoesOnWhereAnotherStopped(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		steady := func() {
			f.Put([]any{"HSET", f.Keys.Prefix() + "health:monitor", "tick", time.Now().Add(time.Minute).UnixMilli(), "patience", 0})
		}
		heir := func(n int) string { return fmt.Sprintf("heir%d", n) }
		for n, crash := range []func(id string) error{
			func(id string) error {
				_, err := f.Scripts.Run(t.Context(), lua.Named("unregister_instance"), lua.EventContext(id, "", ""), "", 0, id, "", "")
				return err
			},
			func(id string) error {
				f.Put([]any{"ZADD", f.Keys.Alive(), "XX", 1000, id})
				_, err := f.Scripts.Run(t.Context(), lua.Named("reassign_failed_tasks"), lua.EventContext(id, "", ""), "", 0, 20_000, 0, 30_000, 0, 0)
				return err
			},
			func(id string) error { // stops again in the middle of requeueing
				if _, err := f.Scripts.Run(t.Context(), lua.Named("unregister_instance"), lua.EventContext(id, "", ""), "", 0, id, "", ""); err != nil {
					return err
				}
				_, err := f.Scripts.Run(t.Context(), lua.Named("requeue_orphans"), 10, 1000)
				return err
			},
		} {
			id := fmt.Sprintf("w%d", n)
			f.Register(id, `["worker"]`, "")
			for range 70 {
				f.Create("x", "")
			}
			for range 3 {
				f.OK("task.claim", `{"workerId":%q,"maxTasks":10}`, id)
			}
			for _, task := range f.Zset(f.Keys.Pending())[:35] {
				f.OK("task.assign", `{"taskId":%q,"instanceId":%q}`, task, id)
			}
			f.Register(heir(n), `["worker"]`, `,"metadata":{"maxTasks":0}`)
			f.Register(heir(n), `["worker"]`, `,"metadata":{"maxTasks":100}`)
			if err := crash(id); err != nil {
				t.Fatal(err)
			}
			if f.Exists(f.Keys.Orphaned()) == 0 {
				t.Fatal("nothing was left behind")
			}
			steady()
			if err := f.Beside().Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if f.Exists(f.Keys.Orphaned()) != 0 {
				t.Error("orphans are left")
			}
			for _, task := range f.Zset(f.Keys.Assigned(id)) {
				t.Errorf("%s is still with the one that left", task)
			}
			f.OK("system.unregister", `{"instanceId":%q}`, heir(n))
		}
	})
}

// A change of an orphan before it is requeued counts, and requeueing then leaves the task alone.
func TestOrphansThatFoundAnotherWay(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		var tasks []string
		for range 6 {
			tasks = append(tasks, f.Create("x", ""))
		}
		f.OK("task.claim", `{"workerId":"w","maxTasks":6}`)
		// Another process registers, and the coordinator stops right after the script.
		_, err := f.Scripts.Run(t.Context(), lua.Named("register_instance"), lua.EventContext("w", "", ""), "", 0, "w", `["worker"]`, 1, "", "", 10, 30_000, "", "")
		if err != nil {
			t.Fatal(err)
		}
		f.OK("task.complete", `{"id":%q,"workerId":"w"}`, tasks[0])
		f.OK("task.delete", `{"id":%q}`, tasks[1])
		f.OK("task.unassign", `{"taskId":%q}`, tasks[2])
		f.OK("task.unassign", `{"taskId":%q}`, tasks[3])
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, tasks[3])
		if f.Claim("w") != tasks[3] {
			t.Error("not claimed again")
		}
		f.OK("task.update", `{"id":%q,"updates":{"priority":99,"metadata":{"roles":["x"]}}}`, tasks[4])
		before := f.Seq()
		f.Verify() // requeues the rest
		events := f.Emitted(before, "task.unassigned", "task.assigned")
		f.Holds(events[0], fmt.Sprintf(`{"taskId":%q,"reason":"session_changed"}`, tasks[4])) // its owner does not have the new role
		f.Holds(events[1], fmt.Sprintf(`{"taskId":%q,"reason":"session_changed"}`, tasks[5]))
	})
}
