package commands

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/api"
)

func TestRegister(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		result := f.ok("system.register", `{"id":"a","roles":["worker","go"],"metadata":{"sessionId":"s","x":1.0}}`)
		if string(result) != `{"registered":true}` {
			t.Errorf("answered %s", result)
		}
		events := f.emitted(0, "instance.registered", "leader.elected")
		if e := events[0]; e.Actor != "a" || *e.Cause != "req-1" {
			t.Errorf("the envelope is %+v", e)
		}
		f.holds(events[0], fmt.Sprintf(`{"id":"a","roles":["worker","go"],"becameLeader":true,"timestamp":%d,
			"metadata":{"sessionId":"s","x":1.0},"sessionId":"s","resumed":false,"previousRoles":null}`, events[0].Timestamp))
		f.holds(events[1], `{"id":"a","term":1,"previous":null}`)

		f.register("b", `[]`, "")
		f.holds(f.emitted(2, "instance.registered")[0],
			`{"id":"b","roles":[],"becameLeader":false,"metadata":null,"sessionId":null,"resumed":false,"previousRoles":null}`)
		if h := f.hash(f.keys.Instance("a")); h["status"] != "ACTIVE" || h["seq"] != "2" || !isoMoment.MatchString(h["lastHeartbeat"]) {
			t.Errorf("the instance is %v", h)
		}
		if ttl := f.client.PTTL(t.Context(), f.keys.Instance("a")).Val(); ttl <= 0 || ttl > 30*time.Second {
			t.Errorf("the instance expires in %v", ttl)
		}
		if g := f.hash(f.keys.Gossip("a")); g["status"] != "healthy" || g["sessionId"] != "s" {
			t.Errorf("its health is %v", g)
		}
	})
}

// Nobody can name another's key, whatever characters an id holds.
func TestRegisterIDsOfAnyCharacters(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		ids := []string{
			"a:b", ":", "{x}", `"quoted"`, `back\slash/`, "*", "t-1", "tasks:pending", "alive", "gossip:a", "%s%n", "'", "é😀 ", "a,b",
			`","cause":"x`, "<html>&", "u2028:\u2028", strings.Repeat("x", 256), strings.Repeat("é", 128),
		}
		for i, id := range ids {
			f.ok("system.register", `{"id":%s,"roles":["worker",%[1]s],"metadata":{"sessionId":%[1]s,"maxTasks":0}}`, jsonText(id))
			task := f.create("x", `,"metadata":{"roles":[`+jsonText(id)+`]}`)
			f.ok("task.assign", `{"taskId":%q,"instanceId":%s}`, task, jsonText(id))
			claim := decoded[claimJSON](t, f.ok("task.claim", `{"workerId":%s,"idempotencyKey":%[1]s}`, jsonText(id)))
			if claim.TaskID != task || claim.Task.AssignedTo != id {
				t.Errorf("%q claimed %+v", id, claim)
			}
			if last := f.events()[f.seq()-1]; last.Actor != id {
				t.Errorf("the actor is %q, want %q", last.Actor, id)
			}
			if string(f.ok("system.heartbeat", `{"instanceId":%s}`, jsonText(id))) == `{"alive":false}` {
				t.Errorf("%q is not alive", id)
			}
			if i%2 == 0 {
				f.ok("task.complete", `{"id":%q,"workerId":%s}`, task, jsonText(id))
			} else if got := string(f.ok("system.unregister", `{"instanceId":%s,"sessionId":%[1]s}`, jsonText(id))); got !=
				`{"unregistered":true,"tasksReassigned":1}` {
				t.Errorf("unregister %q: %s", id, got)
			}
		}
	})
}

func TestRegisterResumes(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		session := `,"metadata":{"sessionId":"s"}`
		f.register("w", `["worker"]`, session)
		claimed := f.create("claimed", "")
		if f.claim("w") != claimed {
			t.Fatal("not claimed")
		}
		before := f.seq()
		f.register("w", `["worker"]`, session)
		f.holds(f.emitted(before, "instance.registered")[0], `{"resumed":true,"previousRoles":["worker"],"becameLeader":false}`)
		if got := f.get(claimed); got.Status != "in_progress" || got.AssignedTo != "w" {
			t.Errorf("the task is %+v", got)
		}
		f.ok("task.complete", `{"id":%q,"workerId":"w","attempt":1}`, claimed)
	})
}

// Another session, or none, is a new process: what the old one had claimed is to be claimed again.
func TestRegisterWithAnotherSession(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		for i, sessions := range [][2]string{
			{`,"metadata":{"sessionId":"s"}`, `,"metadata":{"sessionId":"other"}`},
			{`,"metadata":{"sessionId":"s"}`, ``},
			{``, `,"metadata":{"sessionId":"s"}`},
			{``, ``},
		} {
			worker := fmt.Sprintf("w%d", i)
			f.register(worker, `["worker"]`, sessions[0])
			task := f.create("x", "")
			if f.claim(worker) != task {
				t.Fatal("not claimed")
			}
			before := f.seq()
			f.register(worker, `["worker"]`, sessions[1])
			events := f.emitted(before, "instance.registered", "task.assigned")
			f.holds(events[0], `{"resumed":false}`)
			f.holds(events[1], fmt.Sprintf(`{"taskId":%q,"instanceId":%q,"previousAssignment":%[2]q,"reason":"session_changed",
				"status":"pending","previousStatus":"in_progress"}`, task, worker))
			if *events[1].Cause != events[0].ID || events[1].Actor != worker {
				t.Errorf("the envelope is %+v", events[1])
			}
			f.verify()
			// The old process cannot finish what the new one has claimed.
			if f.claim(worker) != task {
				t.Error("the new process was not given the task")
			}
			f.refused(api.CodeConflict, `{"reason":"STALE_ATTEMPT","attempt":2}`, "task.complete", `{"id":%q,"attempt":1}`, task)
			f.ok("task.complete", `{"id":%q,"attempt":2}`, task)
		}
	})
}

func TestRegisterWithOtherRoles(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker","a","b"]`, "")
		fits, unfit := f.create("x", `,"metadata":{"roles":["a"]}`), f.create("y", `,"metadata":{"roles":["b"]}`)
		for _, id := range []string{fits, unfit} {
			f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
		}
		before := f.seq()
		f.register("w", `["worker","a"]`, "")
		events := f.since(before)
		f.holds(events[0], `{"previousRoles":["worker","a","b"],"roles":["worker","a"]}`)
		if got := f.get(fits); got.AssignedTo != "w" {
			t.Errorf("what fits is %+v", got)
		}
		if got := f.get(unfit); got.AssignedTo != "" {
			t.Errorf("what does not fit is %+v", got)
		}
		if f.claim("w") != fits || f.claim("w") != "" {
			t.Error("claimed what does not fit")
		}
		f.register("w", `["worker","a","b","c"]`, `,"metadata":{"sessionId":"s"}`)
		if got := f.get(unfit); got.AssignedTo != "w" {
			t.Errorf("what fits again is %+v", got)
		}
		// No worker any more: nothing is given to it.
		f.register("w", `["a","b"]`, `,"metadata":{"sessionId":"s"}`)
		waiting := f.create("z", "")
		f.register("w", `["a","b"]`, `,"metadata":{"sessionId":"s"}`)
		if got := f.get(waiting); got.AssignedTo != "" {
			t.Errorf("an instance that is no worker was given %+v", got)
		}
	})
}

// A worker is given its fair share, the best first, and no more than it asked for.
func TestRegisterGivesTheFairShare(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		for i := range 12 {
			f.create("x", fmt.Sprintf(`,"priority":%d`, i))
		}
		f.create("needs a role", `,"priority":100,"metadata":{"roles":["gpu"]}`)
		before := f.seq()
		f.register("all", `["worker"]`, "") // 13 tasks, one worker: as many as a worker takes that does not say
		if got := f.zset(f.keys.Assigned("all")); len(got) != 10 || got[0] != "t-12" || got[9] != "t-3" {
			t.Errorf("the first worker has %v", got)
		}
		e := f.since(before)[2]
		f.holds(e, `{"taskId":"t-12","instanceId":"all","previousAssignment":null,"reason":"instance_registered","previousStatus":"pending"}`)
		if *e.Cause != f.since(before)[0].ID {
			t.Errorf("the assignment was caused by %s", *e.Cause)
		}
		f.register("gpu", `["worker","gpu"]`, "") // ⌈13 ÷ 2⌉ = 7, and 3 wait
		if got := f.zset(f.keys.Assigned("gpu")); len(got) != 3 || got[0] != "t-13" {
			t.Errorf("the second worker has %v", got)
		}
		for i := range 20 {
			f.create("y", fmt.Sprintf(`,"priority":%d`, i))
		}
		f.register("two", `["worker"]`, `,"metadata":{"maxTasks":2}`)
		if got := f.zset(f.keys.Assigned("two")); len(got) != 2 {
			t.Errorf("one that takes two has %v", got)
		}
		f.register("two", `["worker"]`, `,"metadata":{"maxTasks":3}`)
		if got := f.zset(f.keys.Assigned("two")); len(got) != 3 {
			t.Errorf("now that it takes three it has %v", got)
		}
		f.register("none", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		f.register("other", `["monitor"]`, "")
		if f.exists(f.keys.Assigned("none"), f.keys.Assigned("other")) != 0 {
			t.Error("given to one that takes none")
		}
		for i := range 3 { // the share: 33 open ÷ 5, 6, 7 workers, and fewer than that wait
			id := fmt.Sprintf("late%d", i)
			f.register(id, `["worker"]`, "")
			share := (33 + 5 + i - 1) / (5 + i)
			if got := f.zset(f.keys.Assigned(id)); len(got) > share || len(got) == 0 {
				t.Errorf("%s has %d, the fair share is %d", id, len(got), share)
			}
		}
	})
}

func TestRegisterMoreThanOneScriptGives(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		for range 130 {
			f.create("x", "")
		}
		f.register("w", `["worker"]`, `,"metadata":{"maxTasks":125}`)
		if got := f.zset(f.keys.Assigned("w")); len(got) != 125 {
			t.Errorf("was given %d", len(got))
		}
	})
}

func TestRegisterManyAtOnce(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		for range 50 {
			f.create("x", "")
		}
		before := f.seq()
		coordinators := []*fleet{f, f.beside()}
		instances := 200
		if f.embedded {
			instances = 20
		}
		var g errgroup.Group
		for i := range instances {
			g.Go(func() error {
				_, err := coordinators[i%2].do("system.register", fmt.Sprintf(`{"id":"w%d","roles":["worker"]}`, i))
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		elected, became := 0, 0
		for _, e := range f.since(before) {
			if e.Type == "leader.elected" {
				elected++
			}
			if e.Type == "instance.registered" && strings.Contains(string(e.Payload), `"becameLeader":true`) {
				became++
			}
		}
		if elected != 1 || became != 1 {
			t.Errorf("%d were elected, %d became leader", elected, became)
		}
	})
}
