package commands

import (
	"encoding/json"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/api"
)

func TestUnregister(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		first := f.create("first", "")
		f.register("w", `["worker","x"]`, `,"metadata":{"sessionId":"s"}`)
		second, best := f.create("second", ""), f.create("best", `,"priority":90`)
		if f.claim("w") != first || f.claim("w") != best {
			t.Fatal("not claimed")
		}
		f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, second)
		before := f.seq()
		result := f.ok("system.unregister", `{"instanceId":"w","sessionId":"s","timestamp":1700000000000}`)
		if string(result) != `{"unregistered":true,"tasksReassigned":3}` {
			t.Errorf("answered %s", result)
		}
		events := f.emitted(before, "instance.unregistered", "task.unassigned", "task.unassigned", "task.unassigned")
		f.holds(events[0], fmt.Sprintf(`{"id":"w","roles":["worker","x"],"sessionId":"s","tasksReassigned":3,"timestamp":%d}`, events[0].Timestamp))
		for _, e := range events[1:] {
			f.holds(e, `{"instanceId":"w","previousAssignment":"w","reason":"instance_unregistered","status":"pending"}`)
			if *e.Cause != events[0].ID || e.Actor != "w" {
				t.Errorf("the envelope is %+v", e)
			}
		}
		if got := f.zset(f.keys.Pending()); fmt.Sprint(got) != fmt.Sprint([]string{best, first, second}) {
			t.Errorf("the queue is %v", got)
		}
		if f.exists(f.keys.Instance("w")) != 0 || f.hash(f.keys.Gossip("w"))["status"] != "offline" {
			t.Error("it is still there")
		}
		// Again, and one that never was.
		for _, id := range []string{"w", "nobody"} {
			if got := string(f.ok("system.unregister", `{"instanceId":%q}`, id)); got != `{"unregistered":true,"tasksReassigned":0}` {
				t.Errorf("unregister %s: %s", id, got)
			}
		}
		f.emitted(events[3].Seq)
	})
}

func TestUnregisterGivesTheTasksToOthers(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("a", `["worker"]`, "")
		for range 3 {
			f.create("x", "")
			f.claim("a")
		}
		f.register("b", `["worker"]`, "")
		f.register("c", `["worker"]`, "")
		before := f.seq()
		f.ok("system.unregister", `{"instanceId":"a"}`)
		events := f.since(before)
		f.holds(events[4], fmt.Sprintf(`{"reason":"instance_unregistered","previousAssignment":"a","taskId":%q}`, "t-3"))
		if len(f.zset(f.keys.Assigned("b")))+len(f.zset(f.keys.Assigned("c"))) != 3 {
			t.Errorf("b has %v, c %v", f.zset(f.keys.Assigned("b")), f.zset(f.keys.Assigned("c")))
		}
		if len(f.zset(f.keys.Assigned("b"))) == 3 || len(f.zset(f.keys.Assigned("c"))) == 3 {
			t.Error("one was given all")
		}
	})
}

func TestUnregisterAnotherSession(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
		before := f.seq()
		if got := string(f.ok("system.unregister", `{"instanceId":"w","sessionId":"other"}`)); got != `{"unregistered":true,"tasksReassigned":0}` {
			t.Errorf("with another session: %s", got)
		}
		f.emitted(before)
		f.register("plain", `[]`, "")
		f.ok("system.unregister", `{"instanceId":"plain","sessionId":"any"}`)
		f.ok("system.unregister", `{"instanceId":"w"}`) // none is said
		f.emitted(before, "instance.registered", "instance.unregistered", "instance.unregistered")
	})
}

// Who and what caused a departure is told with each task that is put back, whatever it holds.
func TestUnregisterKeepsTheContext(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		id, trace := `,"cause":"x",%d,"trace":1`, `a,b","trace":"c`
		f.ok("system.register", `{"id":%s,"roles":["worker"]}`, jsonText(id))
		f.create("x", "")
		f.ok("task.claim", `{"workerId":%s}`, jsonText(id))
		before := f.seq()
		_, err := f.Call(t.Context(), api.Request{
			Method: "system.unregister", Params: json.RawMessage(`{"instanceId":` + jsonText(id) + `}`), Trace: trace, Cause: `,"trace":null`,
		})
		if err != nil {
			t.Fatal(err)
		}
		events := f.emitted(before, "instance.unregistered", "task.unassigned")
		if e := events[1]; e.Actor != id || *e.Cause != events[0].ID || *e.Trace != trace {
			t.Errorf("the envelope is %+v", e)
		}
	})
}

func TestUnregisterAtOnce(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		for range 120 { // three scripts' worth
			f.create("x", "")
		}
		for range 12 {
			f.ok("task.claim", `{"workerId":"w","maxTasks":10}`)
		}
		before := f.seq()
		coordinators := []*fleet{f, f.beside()}
		var g errgroup.Group
		for i := range 10 {
			g.Go(func() error {
				_, err := coordinators[i%2].do("system.unregister", `{"instanceId":"w"}`)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		counts := map[string]int{}
		for _, e := range f.since(before) {
			counts[e.Type]++
		}
		if counts["instance.unregistered"] != 1 || counts["task.unassigned"] != 120 || len(counts) != 2 {
			t.Errorf("emitted %v", counts)
		}
	})
}
