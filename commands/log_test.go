package commands_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/lua"
)

// If the log's hash is lost, the position of the log is restored from the stream.
func TestLogHashLost(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("a", `[]`, "")
		f.Create("x", "")
		last := f.Events()[2]
		f.Put([]any{"DEL", f.Keys.Log()})
		f.Create("y", "")
		events := f.Events() // fails if there is a gap
		if len(events) != 4 || events[3].Timestamp < last.Timestamp {
			t.Errorf("%d events, the last is %+v", len(events), events[len(events)-1])
		}
		log := f.Hash(f.Keys.Log())
		if log["seq"] != "4" || log["base"] != "1" || log["term"] != "1" {
			t.Errorf("the log's hash is %v", log)
		}
		f.Put([]any{"XTRIM", f.Keys.Events(), "MAXLEN", "2"}, []any{"DEL", f.Keys.Log()})
		f.Create("z", "")
		if log := f.Hash(f.Keys.Log()); log["seq"] != "5" || log["base"] != "3" {
			t.Errorf("the trimmed log's hash is %v", log)
		}
		f.OK("system.unregister", `{"instanceId":"a"}`)
		// A trimmed log cannot be folded, so the test ends with an empty namespace.
		*f = *fleettest.New(t, f.Client, commands.Options{})
	})
}

// A fence of another program, for example a newer coordinator, stops commands and the monitor too.
func TestFenceOfAnother(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.With(func(o *commands.Options) { o.Tasks, o.Index = &fleettest.View{}, &fleettest.View{} })
		f.Register("w", `["worker"]`, "")
		id, other := f.Create("x", ""), f.Create("y", "")
		f.Claim("w")
		f.Put([]any{"HSET", f.Keys.Log(), "fence", "1"})
		for method, params := range map[string]string{
			"system.register": `{"id":"v","roles":[]}`, "system.unregister": `{"instanceId":"w"}`, "system.check_health": `{"timeout":0}`,
			"task.create": `{"text":"x"}`, "task.update": fmt.Sprintf(`{"id":%q,"updates":{"text":"z"}}`, id), "task.claim": `{"workerId":"w"}`,
			"task.assign": fmt.Sprintf(`{"taskId":%q,"instanceId":"w"}`, other), "task.unassign": fmt.Sprintf(`{"taskId":%q}`, id),
			"task.complete": fmt.Sprintf(`{"id":%q}`, id), "task.delete": fmt.Sprintf(`{"id":%q}`, id), "task.get": fmt.Sprintf(`{"id":%q}`, id),
			"schedule.put": `{"id":"s","cron":"@daily","task":{"text":"x"}}`, "schedule.get": `{"id":"s"}`, "schedule.list": `{}`, "schedule.delete": `{"id":"s"}`,
			"task.list": `{}`, "session.list": `{}`, "session.get": `{"id":"s"}`,
			"task.history": `{"id":"t-1"}`, "instance.history": `{"id":"w"}`, "event.list": `{}`,
		} {
			before := f.Snapshot()
			f.Refused(api.CodeConflict, `{"reason":"FLUSH_IN_PROGRESS"}`, method, "%s", params)
			if diff := cmp.Diff(before, f.Snapshot()); diff != "" {
				t.Errorf("%s changed: %s", method, diff)
			}
		}
		before := f.Snapshot()
		if err := f.Sweep(t.Context()); err != nil {
			t.Errorf("the monitor calls a fence a fault: %v", err)
		}
		if diff := cmp.Diff(before, f.Snapshot()); diff != "" {
			t.Errorf("the monitor passed the fence and changed: %s", diff)
		}
		f.Put([]any{"HDEL", f.Keys.Log(), "fence"})
	})
}

// Event times never go back, even if Redis's clock does.
func TestLogTimeNeverGoesBack(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Create("x", "")
		ahead := f.Events()[0].Timestamp + 3_600_000
		f.Put([]any{"HSET", f.Keys.Log(), "ms", ahead})
		f.Register("w", `["worker"]`, "")
		f.Claim("w")
		f.OK("task.complete", `{"id":"t-1"}`)
		for _, e := range f.Since(1) {
			if e.Timestamp != ahead {
				t.Errorf("%s happened at %d, want %d", e.Type, e.Timestamp, ahead)
			}
		}
		// Liveness uses the clock itself.
		if got := f.CheckHealth(10_000); len(got.Failed) != 0 {
			t.Errorf("declared dead: %v", got.Failed)
		}
	})
}

// A foreign key with a topic's name makes no command fail.
func TestTopicOfAnotherType(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Put([]any{"SET", f.Keys.Topic("task.created"), "mine"})
		f.Put([]any{"XADD", f.Keys.Topic("task.claimed"), "99999999999999-1", "foreign", "entry"})
		f.Register("w", `["worker"]`, "")
		id := f.Create("x", "")
		if f.Claim("w") != id {
			t.Error("not claimed")
		}
		if got := f.Client.Get(t.Context(), f.Keys.Topic("task.created")).Val(); got != "mine" {
			t.Errorf("the foreign key holds %q", got)
		}
		f.Put([]any{"DEL", f.Keys.Topic("task.created"), f.Keys.Topic("task.claimed")})
		types := f.Read(f.Keys.Events())
		if len(types) != 4 {
			t.Errorf("the log holds %d events", len(types))
		}
		*f = *fleettest.New(t, f.Client, commands.Options{}) // the final check would fail on the incomplete topics
	})
}

// A foreign entry in the log, with an ID that no later ID can exceed, makes commands fail. None of
// them changes anything, because there is no change without an event.
func TestForeignEntryInTheLog(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		// There is one task in each state, so that each command has one to change.
		f.Register("w", `["worker","a"]`, `,"metadata":{"sessionId":"s"}`)
		assigned, claimed, stolen := f.Create("assigned", ""), f.Create("claimed", ""), f.Create("roles", `,"metadata":{"roles":["a"]}`)
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, claimed)
		f.Claim("w")
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, assigned)
		f.Register("auto", `["worker","a"]`, "")
		if f.Get(stolen).AssignedTo != "auto" {
			t.Fatal("not given automatically")
		}
		f.Register("thief", `["a"]`, "")
		waiting := f.Create("waiting", "")
		f.Register("dead", `[]`, "")
		f.Put([]any{"ZADD", f.Keys.Alive(), "XX", 1000, "dead"})
		f.Verify()

		f.Put([]any{"XADD", f.Keys.Events(), "18446744073709551615-18446744073709551615", "foreign", "entry"})
		f.Watched()
		before := f.Snapshot()
		for _, c := range []struct{ method, params string }{
			{"task.create", `{"text":"x","idempotencyKey":"k"}`},
			{"task.create", `{"text":"x","metadata":{"roles":["new"]}}`},
			{"task.update", fmt.Sprintf(`{"id":%q,"updates":{"text":"y","priority":1,"metadata":{"roles":["b"]}}}`, assigned)},
			{"task.update", fmt.Sprintf(`{"id":%q,"updates":{"status":"in_progress"}}`, assigned)},
			{"task.update", fmt.Sprintf(`{"id":%q,"updates":{"status":"completed"}}`, claimed)},
			{"task.assign", fmt.Sprintf(`{"taskId":%q,"instanceId":"w"}`, waiting)},
			{"task.unassign", fmt.Sprintf(`{"taskId":%q}`, claimed)},
			{"task.unassign", fmt.Sprintf(`{"taskId":%q}`, assigned)},
			{"task.claim", `{"workerId":"w"}`},     // a task assigned to w
			{"task.claim", `{"workerId":"thief"}`}, // a waiting task
			{"task.complete", fmt.Sprintf(`{"id":%q}`, claimed)},
			{"task.complete", fmt.Sprintf(`{"id":%q}`, assigned)},
			{"task.delete", fmt.Sprintf(`{"id":%q}`, waiting)},
			{"system.register", `{"id":"new","roles":["worker"]}`},
			{"system.register", `{"id":"w","roles":["worker"]}`},
			{"system.unregister", `{"instanceId":"w"}`},
			{"system.check_health", `{}`},
		} {
			_, err := f.Do(c.method, c.params)
			var known *api.Error
			if !errors.As(err, &known) || known.Code != api.CodeInternal || known.Data != nil {
				t.Errorf("%s %s: %v", c.method, c.params, err)
			}
			if diff := cmp.Diff(before, f.Snapshot()); diff != "" {
				t.Fatalf("%s %s changed: %s", c.method, c.params, diff)
			}
		}
		// Auto-assignment, and a claim that must take a task from another instance, change nothing
		// either.
		for _, c := range [][]any{
			{lua.Named("auto_assign_tasks"), lua.EventContext("x", "", ""), "", "instance_failed", 30_000},
		} {
			if _, err := f.Scripts.Run(t.Context(), lua.Named("auto_assign_tasks"), c[1:]...); err == nil {
				t.Errorf("%v did not fail", c)
			}
			if diff := cmp.Diff(before, f.Snapshot()); diff != "" {
				t.Fatalf("auto-assignment changed: %s", diff)
			}
		}
		f.Put([]any{"ZREM", f.Keys.Pending(), waiting})
		before = f.Snapshot()
		if _, err := f.Do("task.claim", `{"workerId":"thief"}`); err == nil {
			t.Error("a claim that takes from another did not fail")
		}
		if diff := cmp.Diff(before, f.Snapshot()); diff != "" {
			t.Fatalf("a claim that takes from another changed: %s", diff)
		}
		// Without the foreign entry, commands succeed again.
		f.Put([]any{"XDEL", f.Keys.Events(), "18446744073709551615-18446744073709551615"})
		*f = *fleettest.New(t, f.Client, commands.Options{})
	})
}
