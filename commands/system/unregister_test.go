package system_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestUnregister(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		first := f.Create("first", "")
		f.Register("w", `["worker","x"]`, `,"metadata":{"sessionId":"s"}`)
		second, best := f.Create("second", ""), f.Create("best", `,"priority":90`)
		if f.Claim("w") != best || f.Claim("w") != first {
			t.Fatal("not claimed")
		}
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, second)
		before := f.Seq()
		result := f.OK("system.unregister", `{"instanceId":"w","sessionId":"s","timestamp":1700000000000}`)
		if string(result) != `{"unregistered":true,"tasksReassigned":3}` {
			t.Errorf("answered %s", result)
		}
		events := f.Emitted(before, "instance.unregistered", "task.unassigned", "task.unassigned", "task.unassigned")
		f.Holds(events[0], fmt.Sprintf(`{"id":"w","roles":["worker","x"],"sessionId":"s","tasksReassigned":3,"timestamp":%d}`, events[0].Timestamp))
		for _, e := range events[1:] {
			f.Holds(e, `{"instanceId":"w","previousAssignment":"w","reason":"instance_unregistered","status":"pending"}`)
			if *e.Cause != events[0].ID || e.Actor != "w" {
				t.Errorf("the envelope is %+v", e)
			}
		}
		if got := f.Zset(f.Keys.Pending()); fmt.Sprint(got) != fmt.Sprint([]string{best, first, second}) {
			t.Errorf("the queue is %v", got)
		}
		if f.Exists(f.Keys.Instance("w")) != 0 || f.Hash(f.Keys.Gossip("w"))["status"] != "offline" {
			t.Error("it is still there")
		}
		// It unregisters the instance again, and then an unknown one.
		for _, id := range []string{"w", "nobody"} {
			if got := string(f.OK("system.unregister", `{"instanceId":%q}`, id)); got != `{"unregistered":true,"tasksReassigned":0}` {
				t.Errorf("unregister %s: %s", id, got)
			}
		}
		f.Emitted(events[3].Seq)
	})
}

func TestUnregisterGivesTheTasksToOthers(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("a", `["worker"]`, "")
		for range 3 {
			f.Create("x", "")
			f.Claim("a")
		}
		f.Register("b", `["worker"]`, "")
		f.Register("c", `["worker"]`, "")
		before := f.Seq()
		f.OK("system.unregister", `{"instanceId":"a"}`)
		events := f.Since(before)
		f.Holds(events[4], fmt.Sprintf(`{"reason":"instance_unregistered","previousAssignment":"a","taskId":%q}`, "t-3"))
		if len(f.Zset(f.Keys.Assigned("b")))+len(f.Zset(f.Keys.Assigned("c"))) != 3 {
			t.Errorf("b has %v, c %v", f.Zset(f.Keys.Assigned("b")), f.Zset(f.Keys.Assigned("c")))
		}
		if len(f.Zset(f.Keys.Assigned("b"))) == 3 || len(f.Zset(f.Keys.Assigned("c"))) == 3 {
			t.Error("one was given all")
		}
	})
}

func TestUnregisterAnotherSession(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
		before := f.Seq()
		if got := string(f.OK("system.unregister", `{"instanceId":"w","sessionId":"other"}`)); got != `{"unregistered":true,"tasksReassigned":0}` {
			t.Errorf("with another session: %s", got)
		}
		f.Emitted(before)
		f.Register("plain", `[]`, "")
		f.OK("system.unregister", `{"instanceId":"plain","sessionId":"any"}`)
		f.OK("system.unregister", `{"instanceId":"w"}`) // no session is given
		f.Emitted(before, "instance.registered", "instance.unregistered", "instance.unregistered")
	})
}

// The event of each requeued task contains the actor and the cause of the departure, whatever
// characters they hold.
func TestUnregisterKeepsTheContext(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		id, trace := `,"cause":"x",%d,"trace":1`, `a,b","trace":"c`
		f.OK("system.register", `{"id":%s,"roles":["worker"]}`, fleettest.JSONText(id))
		f.Create("x", "")
		f.OK("task.claim", `{"workerId":%s}`, fleettest.JSONText(id))
		before := f.Seq()
		_, err := f.Call(t.Context(), api.Request{
			Method: "system.unregister", Params: json.RawMessage(`{"instanceId":` + fleettest.JSONText(id) + `}`), Trace: trace, Cause: `,"trace":null`,
		})
		if err != nil {
			t.Fatal(err)
		}
		events := f.Emitted(before, "instance.unregistered", "task.unassigned")
		if e := events[1]; e.Actor != id || *e.Cause != events[0].ID || *e.Trace != trace {
			t.Errorf("the envelope is %+v", e)
		}
	})
}

func TestUnregisterAtOnce(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		for range 120 { // enough tasks for three scripts
			f.Create("x", "")
		}
		for range 12 {
			f.OK("task.claim", `{"workerId":"w","maxTasks":10}`)
		}
		before := f.Seq()
		coordinators := []*fleettest.Fleet{f, f.Beside()}
		var g errgroup.Group
		for i := range 10 {
			g.Go(func() error {
				_, err := coordinators[i%2].Do("system.unregister", `{"instanceId":"w"}`)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		counts := map[string]int{}
		for _, e := range f.Since(before) {
			counts[e.Type]++
		}
		if counts["instance.unregistered"] != 1 || counts["task.unassigned"] != 120 || len(counts) != 2 {
			t.Errorf("emitted %v", counts)
		}
	})
}
