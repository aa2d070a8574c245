package commands

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// The stream is what happened: when the log's hash is gone, its position is found there again.
func TestLogHashLost(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("a", `[]`, "")
		f.create("x", "")
		last := f.events()[2]
		f.put([]any{"DEL", f.keys.Log()})
		f.create("y", "")
		events := f.events() // complains of any gap
		if len(events) != 4 || events[3].Timestamp < last.Timestamp {
			t.Errorf("%d events, the last is %+v", len(events), events[len(events)-1])
		}
		log := f.hash(f.keys.Log())
		if log["seq"] != "4" || log["base"] != "1" || log["term"] != "1" {
			t.Errorf("the log's hash is %v", log)
		}
		f.put([]any{"XTRIM", f.keys.Events(), "MAXLEN", "2"}, []any{"DEL", f.keys.Log()})
		f.create("z", "")
		if log := f.hash(f.keys.Log()); log["seq"] != "5" || log["base"] != "3" {
			t.Errorf("the trimmed log's hash is %v", log)
		}
		f.ok("system.unregister", `{"instanceId":"a"}`)
		// What was trimmed cannot be folded any more; end with a namespace of nothing.
		*f = *newFleet(t, f.client, Options{})
	})
}

// A fence that no flush of ours put up, as a newer coordinator's, holds commands and the monitor off all the same.
func TestFenceOfAnother(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.with(func(o *Options) { o.Tasks = &view{} })
		f.register("w", `["worker"]`, "")
		id, other := f.create("x", ""), f.create("y", "")
		f.claim("w")
		f.put([]any{"HSET", f.keys.Log(), "fence", "1"})
		for method, params := range map[string]string{
			"system.register": `{"id":"v","roles":[]}`, "system.unregister": `{"instanceId":"w"}`, "system.check_health": `{"timeout":0}`,
			"task.create": `{"text":"x"}`, "task.update": fmt.Sprintf(`{"id":%q,"updates":{"text":"z"}}`, id), "task.claim": `{"workerId":"w"}`,
			"task.assign": fmt.Sprintf(`{"taskId":%q,"instanceId":"w"}`, other), "task.unassign": fmt.Sprintf(`{"taskId":%q}`, id),
			"task.complete": fmt.Sprintf(`{"id":%q}`, id), "task.delete": fmt.Sprintf(`{"id":%q}`, id), "task.get": fmt.Sprintf(`{"id":%q}`, id),
			"task.list": `{}`,
		} {
			before := f.snapshot()
			f.refused(api.CodeConflict, `{"reason":"FLUSH_IN_PROGRESS"}`, method, "%s", params)
			if diff := cmp.Diff(before, f.snapshot()); diff != "" {
				t.Errorf("%s changed: %s", method, diff)
			}
		}
		before := f.snapshot()
		if err := f.Sweep(t.Context()); err != nil {
			t.Errorf("the monitor calls a fence a fault: %v", err)
		}
		if diff := cmp.Diff(before, f.snapshot()); diff != "" {
			t.Errorf("the monitor passed the fence and changed: %s", diff)
		}
		f.put([]any{"HDEL", f.keys.Log(), "fence"})
	})
}

// Time in the log never goes back, also when Redis's clock does.
func TestLogTimeNeverGoesBack(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.create("x", "")
		ahead := f.events()[0].Timestamp + 3_600_000
		f.put([]any{"HSET", f.keys.Log(), "ms", ahead})
		f.register("w", `["worker"]`, "")
		f.claim("w")
		f.ok("task.complete", `{"id":"t-1"}`)
		for _, e := range f.since(1) {
			if e.Timestamp != ahead {
				t.Errorf("%s happened at %d, want %d", e.Type, e.Timestamp, ahead)
			}
		}
		// Who is alive is told by the clock itself.
		if got := f.checkHealth(10_000); len(got.Failed) != 0 {
			t.Errorf("declared dead: %v", got.Failed)
		}
	})
}

// What somebody else wrote under a topic's name fails no command.
func TestTopicOfAnotherType(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.put([]any{"SET", f.keys.Topic("task.created"), "mine"})
		f.put([]any{"XADD", f.keys.Topic("task.claimed"), "99999999999999-1", "foreign", "entry"})
		f.register("w", `["worker"]`, "")
		id := f.create("x", "")
		if f.claim("w") != id {
			t.Error("not claimed")
		}
		if got := f.client.Get(t.Context(), f.keys.Topic("task.created")).Val(); got != "mine" {
			t.Errorf("the foreign key holds %q", got)
		}
		f.put([]any{"DEL", f.keys.Topic("task.created"), f.keys.Topic("task.claimed")})
		types := f.read(f.keys.Events())
		if len(types) != 4 {
			t.Errorf("the log holds %d events", len(types))
		}
		*f = *newFleet(t, f.client, Options{}) // its topics are not whole, and would not pass
	})
}

// An entry that somebody else put into the log, with an ID that ours cannot follow, makes commands fail.
// None of them changes anything: no command without its event.
func TestForeignEntryInTheLog(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		// One task in each state, for each command to change.
		f.register("w", `["worker","a"]`, `,"metadata":{"sessionId":"s"}`)
		assigned, claimed, stolen := f.create("assigned", ""), f.create("claimed", ""), f.create("roles", `,"metadata":{"roles":["a"]}`)
		f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, claimed)
		f.claim("w")
		f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, assigned)
		f.register("auto", `["worker","a"]`, "")
		if f.get(stolen).AssignedTo != "auto" {
			t.Fatal("not given automatically")
		}
		f.register("thief", `["a"]`, "")
		waiting := f.create("waiting", "")
		f.register("dead", `[]`, "")
		f.put([]any{"ZADD", f.keys.Alive(), "XX", 1000, "dead"})
		f.verify()

		f.put([]any{"XADD", f.keys.Events(), "18446744073709551615-18446744073709551615", "foreign", "entry"})
		before := f.snapshot()
		for _, c := range []struct{ method, params string }{
			{"task.create", `{"text":"x","idempotencyKey":"k"}`},
			{"task.create", `{"text":"x","metadata":{"roles":["new"]}}`},
			{"task.update", fmt.Sprintf(`{"id":%q,"updates":{"text":"y","priority":1,"metadata":{"roles":["b"]}}}`, assigned)},
			{"task.update", fmt.Sprintf(`{"id":%q,"updates":{"status":"in_progress"}}`, assigned)},
			{"task.update", fmt.Sprintf(`{"id":%q,"updates":{"status":"completed"}}`, claimed)},
			{"task.assign", fmt.Sprintf(`{"taskId":%q,"instanceId":"w"}`, waiting)},
			{"task.unassign", fmt.Sprintf(`{"taskId":%q}`, claimed)},
			{"task.unassign", fmt.Sprintf(`{"taskId":%q}`, assigned)},
			{"task.claim", `{"workerId":"w"}`},     // its own
			{"task.claim", `{"workerId":"thief"}`}, // one that waits
			{"task.complete", fmt.Sprintf(`{"id":%q}`, claimed)},
			{"task.complete", fmt.Sprintf(`{"id":%q}`, assigned)},
			{"task.delete", fmt.Sprintf(`{"id":%q}`, waiting)},
			{"system.register", `{"id":"new","roles":["worker"]}`},
			{"system.register", `{"id":"w","roles":["worker"]}`},
			{"system.unregister", `{"instanceId":"w"}`},
			{"system.check_health", `{}`},
		} {
			_, err := f.do(c.method, c.params)
			var known *api.Error
			if !errors.As(err, &known) || known.Code != api.CodeInternal || known.Data != nil {
				t.Errorf("%s %s: %v", c.method, c.params, err)
			}
			if diff := cmp.Diff(before, f.snapshot()); diff != "" {
				t.Fatalf("%s %s changed: %s", c.method, c.params, diff)
			}
		}
		// A claim that has to take from another, and auto-assignment.
		for _, c := range [][]any{
			{lua.Named("auto_assign_tasks"), lua.EventContext("x", "", ""), "", "instance_failed", 30_000},
		} {
			if _, err := f.scripts.Run(t.Context(), lua.Named("auto_assign_tasks"), c[1:]...); err == nil {
				t.Errorf("%v did not fail", c)
			}
			if diff := cmp.Diff(before, f.snapshot()); diff != "" {
				t.Fatalf("auto-assignment changed: %s", diff)
			}
		}
		f.put([]any{"ZREM", f.keys.Pending(), waiting})
		before = f.snapshot()
		if _, err := f.do("task.claim", `{"workerId":"thief"}`); err == nil {
			t.Error("a claim that takes from another did not fail")
		}
		if diff := cmp.Diff(before, f.snapshot()); diff != "" {
			t.Fatalf("a claim that takes from another changed: %s", diff)
		}
		// Without the entry all goes on.
		f.put([]any{"XDEL", f.keys.Events(), "18446744073709551615-18446744073709551615"})
		*f = *newFleet(t, f.client, Options{})
	})
}
