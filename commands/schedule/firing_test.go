package schedule_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// moveBack moves the next tick of a schedule to a time before now.
func moveBack(t fleettest.TB, f *fleettest.Fleet, id string, by time.Duration) time.Time {
	t.Helper()
	now, err := f.Client.Time(context.Background()).Result()
	if err != nil {
		t.Fatalf("%v", err)
	}
	tick := now.Add(-by).UTC().Truncate(time.Millisecond)
	f.MoveTick(id, tick.UnixMilli())
	return tick
}

// firings returns the events schedule.fired after a seq, and how many tasks they caused.
func firings(t fleettest.TB, f *fleettest.Fleet, after int64) (list []events.ScheduleFired, tasks map[string]string) {
	t.Helper()
	tasks = map[string]string{} // ID of the event that caused a task, by the task
	ids := []string{}
	for _, e := range f.Since(after) {
		switch e.Type {
		case "schedule.fired":
			var p events.ScheduleFired
			if err := json.Unmarshal(e.Payload, &p); err != nil {
				t.Fatalf("%v", err)
			}
			list, ids = append(list, p), append(ids, e.ID)
			if e.Actor != "coordinator" || e.Cause != nil {
				t.Errorf("the actor of %s is %s, its cause %v", e.ID, e.Actor, e.Cause)
			}
		case "task.created":
			if e.Cause != nil && len(ids) > 0 && *e.Cause == ids[len(ids)-1] {
				tasks[fmt.Sprint("t-", e.Seq)] = list[len(list)-1].ID
			}
			if e.Actor != "coordinator" {
				t.Errorf("the actor of %s is %s", e.ID, e.Actor)
			}
		}
	}
	for _, p := range list {
		if p.TaskID != nil && tasks[*p.TaskID] != p.ID {
			t.Errorf("schedule %s made task %s, whose event says that it was %q", p.ID, *p.TaskID, tasks[*p.TaskID])
		}
	}
	return list, tasks
}

func pass(t fleettest.TB, f *fleettest.Fleet, want int) {
	t.Helper()
	if fired, err := f.FireSchedules(context.Background()); err != nil || fired != want {
		t.Fatalf("fired %d, %v; want %d", fired, err, want)
	}
}

func TestFiring(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		put(t, f, `{"id":"/s","cron":"@every 1h","task":{"text":"plain"}}`)
		put(t, f, `{"id":"options","cron":"@every 1h","task":{"text":"later","priority":3,"metadata":{"roles":["gpu"]},"delayMs":3600000,"timeoutMs":5000}}`)
		pass(t, f, 0)
		tick := moveBack(t, f, "/s", time.Second)
		moveBack(t, f, "options", time.Second)
		before := f.Seq()
		pass(t, f, 2)
		pass(t, f, 0)
		list, tasks := firings(t, f, before)
		if len(list) != 2 || len(tasks) != 2 {
			t.Fatalf("fired %+v, created %v", list, tasks)
		}
		for _, p := range list {
			s := get(t, f, p.ID)
			if p.Due != p.Tick || *s.LastTick != p.Tick || *s.LastTask != *p.TaskID || *s.NextTick != p.NextTick || s.Fired != 1 || s.LastError != nil && string(s.LastError) != "null" {
				t.Errorf("%+v left %+v", p, s)
			}
			task := f.Get(*p.TaskID)
			switch p.ID {
			case "/s":
				if p.Tick != tick.Format(events.TimeLayout) || at(t, &p.NextTick) != tick.Add(time.Hour).Truncate(time.Second) || task.Status != "pending" || task.Text != "plain" {
					t.Errorf("%+v made %+v", p, task)
				}
			default:
				whole := string(f.OK("task.get", `{"id":%q}`, *p.TaskID))
				if task.Status != "scheduled" || task.Priority != 3 || !strings.Contains(whole, `"timeoutMs":5000`) || !strings.Contains(whole, `"roles":["gpu"]`) {
					t.Errorf("%+v made %s", p, whole)
				}
			}
		}
		// Replacing the schedule keeps what its ticks have made.
		if s := put(t, f, `{"id":"/s","cron":"@every 2h","task":{"text":"plain"}}`).Schedule; s.Fired != 1 || s.LastTask == nil {
			t.Errorf("answered %+v", s)
		}
	})
}

func TestCatchUp(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for _, test := range []struct {
			catchUp   string
			every     time.Duration
			missed    time.Duration // since the first tick that is due
			fired     int
			tasks     int
			firstTick time.Duration // after the one that was due
		}{
			{"none", time.Hour, 30 * time.Second, 1, 1, 0},
			{"none", time.Hour, 2*time.Hour + 30*time.Minute, 1, 0, 2 * time.Hour},
			{"none", time.Hour, 2*time.Hour + 30*time.Second, 1, 1, 2 * time.Hour},
			{"one", time.Hour, 30 * time.Second, 1, 1, 0},
			{"one", time.Hour, 25*time.Hour + 30*time.Minute, 1, 1, 25 * time.Hour},
			{"all", time.Hour, 3*time.Hour + 30*time.Minute, 4, 4, 0},
			{"all", time.Hour, 200*time.Hour + 30*time.Minute, 100, 100, 101 * time.Hour},
		} {
			put(t, f, `{"id":"s","cron":"@every %s","task":{"text":"x"},"catchUp":%q}`, test.every, test.catchUp)
			due := moveBack(t, f, "s", test.missed).Truncate(time.Second)
			moved := due.UnixMilli()
			f.MoveTick("s", moved)
			before := f.Seq()
			pass(t, f, test.fired)
			pass(t, f, 0)
			list, tasks := firings(t, f, before)
			if len(list) != test.fired || len(tasks) != test.tasks {
				t.Errorf("%+v: fired %d and created %d", test, len(list), len(tasks))
				continue
			}
			for i, p := range list {
				from := due.Add(test.firstTick + time.Duration(i)*test.every)
				if expected := from.Format(events.TimeLayout); p.Tick != expected || i == 0 && at(t, &p.Due) != due || i > 0 && p.Due != p.Tick {
					t.Errorf("%+v: %+v is not for %s", test, p, expected)
				}
				if (p.TaskID == nil) != (string(p.Error) == `{"reason":"MISSED"}`) {
					t.Errorf("%+v: %+v", test, p)
				}
			}
			if s := get(t, f, "s"); time.Until(at(t, s.NextTick)) < 0 {
				t.Errorf("%+v: the next tick is %s", test, *s.NextTick)
			}
			f.OK("schedule.delete", `{"id":"s"}`)
		}
	})
}

// A coordinator that dies between reading the due schedules and firing them loses no tick, and one
// that fires what it has read long ago fires nothing twice.
func TestCrash(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		var dies func() bool
		f.With(func(o *commands.Options) { o.FiringDies = func() bool { return dies != nil && dies() } })
		other := f.Beside()
		put(t, f, `{"id":"s","cron":"@every 1h","task":{"text":"x"}}`)
		moveBack(t, f, "s", time.Second)
		before := f.Seq()
		dies = func() bool { return true }
		pass(t, f, 0)
		if f.Seq() != before {
			t.Error("the one that died has emitted")
		}
		// Another coordinator fires between the two steps of this one.
		dies = func() bool { dies = nil; pass(t, other, 1); return false }
		pass(t, f, 0)
		if list, tasks := firings(t, f, before); len(list) != 1 || len(tasks) != 1 {
			t.Errorf("fired %+v, created %v", list, tasks)
		}
		// The schedule changes between the two steps.
		for name, change := range map[string]string{
			"put":    `{"id":"s","cron":"@every 1h","task":{"text":"y"}}`,
			"pause":  `{"id":"s","cron":"@every 1h","task":{"text":"y"},"paused":true}`,
			"delete": "",
		} {
			put(t, f, `{"id":"s","cron":"@every 1h","task":{"text":"x"}}`)
			moveBack(t, f, "s", time.Second)
			before = f.Seq()
			dies = func() bool {
				dies = nil
				if change == "" {
					other.OK("schedule.delete", `{"id":"s"}`)
				} else {
					other.OK("schedule.put", "%s", change)
				}
				return false
			}
			pass(t, f, 0)
			if list, _ := firings(t, f, before); len(list) != 0 {
				t.Errorf("%s: fired %+v", name, list)
			}
		}
	})
}

// Two coordinators fire 200 schedules every second. Each tick ends exactly once, in order, and makes
// one task.
func TestTwoCoordinatorsFireOnce(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{RateLimits: fleettest.Unlimited()})
	other := f.Beside()
	const schedules = 200
	for n := range schedules {
		put(t, f, `{"id":"s%d","cron":"@every 1s","task":{"text":"%d"},"catchUp":%q}`, n, n, []string{"none", "one", "all"}[n%3])
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, c := range []*fleettest.Fleet{f, other} {
		running.Go(func() { c.RunSchedules(ctx) })
	}
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		slowest := int64(1 << 60)
		for n := range schedules {
			count, _ := f.Client.HGet(t.Context(), f.Keys.Schedule(fmt.Sprint("s", n)), "fired").Int64()
			slowest = min(slowest, count)
		}
		return slowest >= 3, fmt.Sprint(slowest)
	})
	stop()
	running.Wait()
	list, tasks := firings(t, f, schedules)
	if len(list) != len(tasks) {
		t.Errorf("%d ticks made %d tasks", len(list), len(tasks))
	}
	next := map[string]string{}
	for _, p := range list {
		due, known := next[p.ID]
		if known && p.Due != due || p.Tick < p.Due || p.NextTick <= p.Tick {
			t.Errorf("%+v, but the tick that was next is %s", p, due)
		}
		next[p.ID] = p.NextTick
	}
	if len(next) != schedules {
		t.Errorf("%d schedules fired", len(next))
	}
	f.Verify()
}

// Ticks are fired soon after their time, also those of a schedule that another coordinator has put.
func TestLateness(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{RateLimits: fleettest.Unlimited()})
	other := f.Beside()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.RunSchedules(ctx) })
	put(t, other, `{"id":"s","cron":"@every 1s","task":{"text":"x"}}`)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) { s := get(t, f, "s"); return s.Fired >= 4, fmt.Sprint(s.Fired) })
	stop()
	running.Wait()
	for _, e := range f.Since(0) {
		var p events.ScheduleFired
		if e.Type != "schedule.fired" {
			continue
		}
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			t.Fatalf("%v", err)
		}
		if late := time.UnixMilli(e.Timestamp).Sub(at(t, &p.Tick)); late < 0 || late > 1500*time.Millisecond {
			t.Errorf("%s late: %+v", late, p)
		}
	}
}

// Only the clock of Redis decides. A tick that lies in the future, because the clock has stepped
// back, waits; ticks that have ended do not end again.
func TestClockStepsBack(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		put(t, f, `{"id":"s","cron":"@every 1h","task":{"text":"x"}}`)
		moveBack(t, f, "s", time.Second)
		pass(t, f, 1)
		// The clock steps back by two hours: seen from there, all that is stored lies in the future.
		ended := get(t, f, "s")
		forward := func(text *string) int64 { return at(t, text).Add(2 * time.Hour).UnixMilli() }
		next := forward(ended.NextTick)
		f.Tamper([]any{"HSET", f.Keys.Schedule("s"), "next", next, "lastTick", forward(ended.LastTick)}, []any{"ZADD", f.Keys.Ticks(), next, "s"},
			[]any{"HSET", f.Keys.Log(), "ms", forward(ended.LastTick)})
		before := f.Seq()
		pass(t, f, 0)
		// Another coordinator that has seen the time before it stepped back does not fire it either.
		if n := f.Client.ZCard(t.Context(), f.Keys.Ticks()).Val(); n != 1 || f.Seq() != before {
			t.Errorf("%d ticks, seq %d", n, f.Seq())
		}
		// A new schedule counts from the clock, not from the later time of the log.
		if s := put(t, f, `{"id":"new","cron":"@every 1m","task":{"text":"x"}}`).Schedule; time.Until(at(t, s.NextTick)) > time.Minute {
			t.Errorf("the next tick is %s", *s.NextTick)
		}
	})
}

// A tick whose task is refused is over. The schedule goes on.
func TestRefusedTask(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: fleettest.Unlimited()}, func(t *testing.T, f *fleettest.Fleet) {
		ids := make([]string, 64)
		for n := range ids {
			ids[n] = f.Create("x", fmt.Sprintf(`,"metadata":{"roles":["r%d"]}`, n))
		}
		put(t, f, `{"id":"s","cron":"@every 1h","task":{"text":"x","metadata":{"roles":["another"]}}}`)
		moveBack(t, f, "s", time.Second)
		before := f.Seq()
		pass(t, f, 1)
		list, tasks := firings(t, f, before)
		if len(list) != 1 || len(tasks) != 0 || string(list[0].Error) != `{"reason":"TOO_MANY_ROLE_SETS","limit":64}` || list[0].TaskID != nil {
			t.Errorf("fired %+v", list)
		}
		if s := get(t, f, "s"); string(s.LastError) != `{"reason":"TOO_MANY_ROLE_SETS","limit":64}` || s.LastTask != nil || s.Fired != 0 {
			t.Errorf("left %+v", s)
		}
		f.OK("task.delete", `{"id":%q}`, ids[0])
		moveBack(t, f, "s", time.Second)
		pass(t, f, 1)
		if s := get(t, f, "s"); s.LastTask == nil || s.Fired != 1 || s.LastError != nil && string(s.LastError) != "null" {
			t.Errorf("left %+v", s)
		}
	})
}

// A schedule that this coordinator does not understand does not keep it from the others.
func TestUnknownExpressions(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: fleettest.Unlimited()}, func(t *testing.T, f *fleettest.Fleet) {
		for n := range 150 {
			id := fmt.Sprintf("s%03d", n)
			put(t, f, `{"id":%q,"cron":"@every 1h","task":{"text":"x"}}`, id)
			moveBack(t, f, id, time.Minute-time.Duration(n)*time.Millisecond)
			if n < 120 {
				f.Tamper([]any{"HSET", f.Keys.Schedule(id), "cron", "@sunset"})
			}
		}
		pass(t, f, 30)
		pass(t, f, 0)
	})
}

func TestFlushDeletesSchedules(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		put(t, f, `{"id":"s","cron":"@every 1h","task":{"text":"x"}}`)
		moveBack(t, f, "s", time.Second)
		pass(t, f, 1)
		f.Flush(fleettest.Confirmed)
		f.Refused(api.CodeNotFound, `{"id":"s"}`, "schedule.get", `{"id":"s"}`)
		if n := f.Exists(f.Keys.Schedules(), f.Keys.Ticks(), f.Keys.Firing(), f.Keys.Schedule("s")); n != 0 {
			t.Errorf("%d keys are left", n)
		}
		pass(t, f, 0)
	})
}
