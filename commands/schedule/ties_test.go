package schedule_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// tick lets the next tick of a schedule come, and returns how it ended and the events that follow.
// The schedule must agree with the event.
func tick(t *testing.T, f *fleettest.Fleet, id string) (events.ScheduleFired, []fleettest.Event) {
	t.Helper()
	moveBack(t, f, id, time.Second)
	before := f.Seq()
	pass(t, f, 1)
	pass(t, f, 0)
	all := f.Since(before)
	if all[0].Type != "schedule.fired" {
		t.Fatalf("emitted %+v", all)
	}
	for _, e := range all[1:] {
		if e.Actor != "coordinator" || e.Cause == nil || *e.Cause != all[0].ID {
			t.Errorf("%s has the actor %s and the cause %v", e.Type, e.Actor, e.Cause)
		}
	}
	p, s := fleettest.Decoded[events.ScheduleFired](t, all[0].Payload), get(t, f, id)
	same := func(a, b *string) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }
	if *s.LastTick != p.Tick || *s.NextTick != p.NextTick || p.NextTick <= p.Tick || !same(s.LastTask, p.TaskID) || int64(s.Fired) != p.Fired ||
		reason(s.LastError) != reason(p.Error) {
		t.Errorf("%s left %+v", all[0].Payload, s)
	}
	return p, all[1:]
}

// reason returns the error of a tick, "" for none.
func reason(text []byte) string { return strings.TrimPrefix(string(text), "null") }

// While the task of an earlier tick is unfinished, a tick makes no second one with its uniqueKey. It
// names the one that is there, and does not count it.
func TestATickNeedsTheUniqueKey(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		put(t, f, `{"id":"s","cron":"@every 1h","task":{"text":"x","uniqueKey":"u","retry":{"maxAttempts":2,"backoffMs":0}}}`)
		put(t, f, `{"id":"other","cron":"@every 1h","task":{"text":"y","uniqueKey":"u"}}`)
		made := int64(0)
		for _, end := range []struct{ method, params string }{
			{"task.complete", `{"id":%q}`},
			{"task.complete", `{"id":%q,"error":1,"retryable":false}`},
			{"task.cancel", `{"id":%q,"graceMs":0}`},
			{"task.delete", `{"id":%q}`},
		} {
			p, more := tick(t, f, "s")
			if made++; len(more) != 1 || more[0].Type != "task.created" || p.TaskID == nil || *p.TaskID != fmt.Sprint("t-", more[0].Seq) || p.Fired != made {
				t.Fatalf("fired %+v, then %+v", p, more)
			}
			id := *p.TaskID
			kept := func(when string) {
				t.Helper()
				for schedule, fired := range map[string]int64{"s": made, "other": 0} {
					p, more := tick(t, f, schedule)
					if len(more) != 0 || p.TaskID == nil || *p.TaskID != id || p.Fired != fired || reason(p.Error) != "" {
						t.Errorf("%s, %s fired %+v, then %+v", when, schedule, p, more)
					}
				}
			}
			kept("while it is pending")
			if f.Claim("w") != id {
				t.Fatalf("%s cannot be claimed", id)
			}
			kept("while it is in progress")
			f.OK("task.complete", `{"id":%q,"error":1}`, id)
			kept("while it waits for its next try")
			if f.Claim("w") != id {
				t.Fatalf("%s cannot be claimed again", id)
			}
			f.OK(end.method, end.params, id)
		}
		// Ticks that are made up for together make one task too.
		put(t, f, `{"id":"all","cron":"@every 1h","task":{"text":"x","uniqueKey":"v"},"catchUp":"all"}`)
		moveBack(t, f, "all", 3*time.Hour+30*time.Minute)
		before := f.Seq()
		pass(t, f, 4)
		told := f.Emitted(before, "schedule.fired", "task.created", "schedule.fired", "schedule.fired", "schedule.fired")
		for _, e := range slices.Delete(told, 1, 2) {
			f.Holds(e, fmt.Sprintf(`{"taskId":"t-%d","fired":1,"error":null}`, before+2))
		}
	})
}

// A tick makes its task whatever became of those that it depends on, unless one does not exist: then
// the tick ends with that error. Either way, the next tick comes.
func TestATickWhoseTaskDependsOnOthers(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		for name, test := range map[string]struct {
			method, params string // what becomes of the task that is needed
			options        string
			status         string // of the tick's task, "" for none
		}{
			"waits":               {"task.get", `{"id":%q}`, "", "blocked"},
			"completed":           {"task.complete", `{"id":%q}`, "", "pending"},
			"failed":              {"task.complete", `{"id":%q,"error":1}`, "", "cancelled"},
			"cancelled":           {"task.cancel", `{"id":%q,"graceMs":0}`, "", "cancelled"},
			"failed, runs":        {"task.complete", `{"id":%q,"error":1}`, `,"onDependencyFailure":"run"`, "pending"},
			"deleted":             {"task.delete", `{"id":%q}`, "", ""},
			"deleted, runs":       {"task.delete", `{"id":%q}`, `,"onDependencyFailure":"run"`, ""},
			"deleted with others": {"task.delete", `{"id":%q}`, `,"uniqueKey":"u","limitKey":"l"`, ""},
		} {
			need := f.Create("needed", `,"priority":100`)
			put(t, f, `{"id":"s","cron":"@every 1h","task":{"text":"x","dependsOn":[%q]%s}}`, need, test.options)
			if f.Claim("w") != need {
				t.Fatalf("%s cannot be claimed", need)
			}
			f.OK(test.method, test.params, need)
			for n := range int64(2) {
				p, more := tick(t, f, "s")
				if test.status == "" {
					if want := fmt.Sprintf(`{"reason":"NOT_FOUND","id":%q}`, need); string(p.Error) != want || p.TaskID != nil || p.Fired != 0 || len(more) != 0 {
						t.Errorf("%s: tick %d fired %+v with the error %s, then %+v", name, n, p, p.Error, more)
					}
					continue
				}
				types := map[bool]int{true: 2, false: 1}[test.status == "cancelled"]
				if p.TaskID == nil || p.Fired != n+1 || reason(p.Error) != "" || len(more) != types || more[0].Type != "task.created" {
					t.Fatalf("%s: tick %d fired %+v, then %+v", name, n, p, more)
				}
				if types == 2 {
					outcome := map[string]string{"failed": "failed", "cancelled": "was cancelled"}[name]
					f.Holds(more[1], fmt.Sprintf(`{"id":%q,"by":%q,"reason":"dependency %s %s"}`, *p.TaskID, need, need, outcome))
				}
				if got := f.Get(*p.TaskID).Status; got != test.status {
					t.Errorf("%s: tick %d made a task that is %s, want %s", name, n, got, test.status)
				}
			}
			f.OK("schedule.delete", `{"id":"s"}`)
		}
	})
}
