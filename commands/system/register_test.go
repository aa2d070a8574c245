package system_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/reassign"
	"github.com/claudebench/claudebench/lua"
)

func TestRegister(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		result := f.OK("system.register", `{"id":"a","roles":["worker","go"],"metadata":{"sessionId":"s","x":1.0}}`)
		if string(result) != `{"registered":true}` {
			t.Errorf("answered %s", result)
		}
		events := f.Emitted(0, "instance.registered", "leader.elected")
		if e := events[0]; e.Actor != "a" || *e.Cause != "req-1" {
			t.Errorf("the envelope is %+v", e)
		}
		f.Holds(events[0], fmt.Sprintf(`{"id":"a","roles":["worker","go"],"becameLeader":true,"timestamp":%d,
			"metadata":{"sessionId":"s","x":1.0},"sessionId":"s","resumed":false,"previousRoles":null}`, events[0].Timestamp))
		f.Holds(events[1], `{"id":"a","term":1,"previous":null}`)

		f.Register("b", `[]`, "")
		f.Holds(f.Emitted(2, "instance.registered")[0],
			`{"id":"b","roles":[],"becameLeader":false,"metadata":null,"sessionId":null,"resumed":false,"previousRoles":null}`)
		if h := f.Hash(f.Keys.Instance("a")); h["status"] != "ACTIVE" || h["seq"] != "2" || !fleettest.IsoMoment.MatchString(h["lastHeartbeat"]) {
			t.Errorf("the instance is %v", h)
		}
		if ttl := f.Client.PTTL(t.Context(), f.Keys.Instance("a")).Val(); ttl <= 0 || ttl > 30*time.Second {
			t.Errorf("the instance expires in %v", ttl)
		}
		if g := f.Hash(f.Keys.Gossip("a")); g["status"] != "healthy" || g["sessionId"] != "s" {
			t.Errorf("its health is %v", g)
		}
	})
}

// An ID addresses no key but its own, whatever characters it holds.
func TestRegisterIDsOfAnyCharacters(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		ids := []string{
			"a:b", ":", "{x}", `"quoted"`, `back\slash/`, "*", "t-1", "tasks:pending", "alive", "gossip:a", "%s%n", "'", "é😀 ", "a,b",
			`","cause":"x`, "<html>&", "u2028:\u2028", strings.Repeat("x", 256), strings.Repeat("é", 128),
		}
		for i, id := range ids {
			f.OK("system.register", `{"id":%s,"roles":["worker",%[1]s],"metadata":{"sessionId":%[1]s,"maxTasks":0}}`, fleettest.JSONText(id))
			task := f.Create("x", `,"metadata":{"roles":[`+fleettest.JSONText(id)+`]}`)
			f.OK("task.assign", `{"taskId":%q,"instanceId":%s}`, task, fleettest.JSONText(id))
			claim := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":%s,"idempotencyKey":%[1]s}`, fleettest.JSONText(id)))
			if claim.TaskID != task || claim.Task.AssignedTo != id {
				t.Errorf("%q claimed %+v", id, claim)
			}
			if last := f.Events()[f.Seq()-1]; last.Actor != id {
				t.Errorf("the actor is %q, want %q", last.Actor, id)
			}
			if string(f.OK("system.heartbeat", `{"instanceId":%s}`, fleettest.JSONText(id))) == `{"alive":false}` {
				t.Errorf("%q is not alive", id)
			}
			if i%2 == 0 {
				f.OK("task.complete", `{"id":%q,"workerId":%s}`, task, fleettest.JSONText(id))
			} else if got := string(f.OK("system.unregister", `{"instanceId":%s,"sessionId":%[1]s}`, fleettest.JSONText(id))); got !=
				`{"unregistered":true,"tasksReassigned":1}` {
				t.Errorf("unregister %q: %s", id, got)
			}
		}
	})
}

func TestRegisterResumes(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		session := `,"metadata":{"sessionId":"s"}`
		f.Register("w", `["worker"]`, session)
		claimed := f.Create("claimed", "")
		if f.Claim("w") != claimed {
			t.Fatal("not claimed")
		}
		before := f.Seq()
		f.Register("w", `["worker"]`, session)
		f.Holds(f.Emitted(before, "instance.registered")[0], `{"resumed":true,"previousRoles":["worker"],"becameLeader":false}`)
		if got := f.Get(claimed); got.Status != "in_progress" || got.AssignedTo != "w" {
			t.Errorf("the task is %+v", got)
		}
		f.OK("task.complete", `{"id":%q,"workerId":"w","attempt":1}`, claimed)
	})
}

// Another session, or none, is a new process: the claimed tasks of the old one are to be claimed
// again.
func TestRegisterWithAnotherSession(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for i, sessions := range [][2]string{
			{`,"metadata":{"sessionId":"s"}`, `,"metadata":{"sessionId":"other"}`},
			{`,"metadata":{"sessionId":"s"}`, ``},
			{``, `,"metadata":{"sessionId":"s"}`},
			{``, ``},
		} {
			worker := fmt.Sprintf("w%d", i)
			f.Register(worker, `["worker"]`, sessions[0])
			task := f.Create("x", "")
			if f.Claim(worker) != task {
				t.Fatal("not claimed")
			}
			before := f.Seq()
			f.Register(worker, `["worker"]`, sessions[1])
			events := f.Emitted(before, "instance.registered", "task.assigned")
			f.Holds(events[0], `{"resumed":false}`)
			f.Holds(events[1], fmt.Sprintf(`{"taskId":%q,"instanceId":%q,"previousAssignment":%[2]q,"reason":"session_changed",
				"status":"pending","previousStatus":"in_progress"}`, task, worker))
			if *events[1].Cause != events[0].ID || events[1].Actor != worker {
				t.Errorf("the envelope is %+v", events[1])
			}
			f.Verify()
			// The old process cannot finish the tasks that the new one has claimed.
			if f.Claim(worker) != task {
				t.Error("the new process was not given the task")
			}
			f.Refused(api.CodeConflict, `{"reason":"STALE_ATTEMPT","attempt":2}`, "task.complete", `{"id":%q,"attempt":1}`, task)
			f.OK("task.complete", `{"id":%q,"attempt":2}`, task)
		}
	})
}

func TestRegisterWithOtherRoles(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker","a","b"]`, "")
		fits, unfit := f.Create("x", `,"metadata":{"roles":["a"]}`), f.Create("y", `,"metadata":{"roles":["b"]}`)
		for _, id := range []string{fits, unfit} {
			f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
		}
		before := f.Seq()
		f.Register("w", `["worker","a"]`, "")
		events := f.Since(before)
		f.Holds(events[0], `{"previousRoles":["worker","a","b"],"roles":["worker","a"]}`)
		if got := f.Get(fits); got.AssignedTo != "w" {
			t.Errorf("what fits is %+v", got)
		}
		if got := f.Get(unfit); got.AssignedTo != "" {
			t.Errorf("what does not fit is %+v", got)
		}
		if f.Claim("w") != fits || f.Claim("w") != "" {
			t.Error("claimed what does not fit")
		}
		f.Register("w", `["worker","a","b","c"]`, `,"metadata":{"sessionId":"s"}`)
		if got := f.Get(unfit); got.AssignedTo != "w" {
			t.Errorf("what fits again is %+v", got)
		}
		// It is no worker any longer, so it is assigned nothing.
		f.Register("w", `["a","b"]`, `,"metadata":{"sessionId":"s"}`)
		waiting := f.Create("z", "")
		f.Register("w", `["a","b"]`, `,"metadata":{"sessionId":"s"}`)
		if got := f.Get(waiting); got.AssignedTo != "" {
			t.Errorf("an instance that is no worker was given %+v", got)
		}
	})
}

// If another process registers with fewer roles, one step sets aside the claimed and the assigned
// tasks. Any worker may get the auto-assigned ones.
func TestRegisterAsAnotherProcessWithOtherRoles(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker","a"]`, `,"metadata":{"sessionId":"s"}`)
		claimed := f.Create("claimed", "")
		if f.Claim("w") != claimed {
			t.Fatal("not claimed")
		}
		auto := f.Create("auto", "")
		f.Register("w", `["worker","a"]`, `,"metadata":{"sessionId":"s"}`) // gets the waiting task
		if got := f.Get(auto); got.AssignedTo != "w" {
			t.Fatalf("the second task is %+v", got)
		}
		before := f.Seq()
		f.Register("w", `["a"]`, `,"metadata":{"sessionId":"other"}`)
		f.Holds(f.Emitted(before, "instance.registered", "task.assigned", "task.unassigned")[2],
			fmt.Sprintf(`{"taskId":%q,"reason":"roles_changed","status":"pending"}`, auto))
		f.Register("other", `["worker"]`, "")
		if got := f.Get(auto); got.AssignedTo != "other" {
			t.Errorf("what was auto-assigned is %+v", got)
		}
		f.Verify()
	})
}

// One step may set aside both claimed and assigned tasks. Any worker may then get the auto-assigned
// ones.
func TestRegisterSetsBothKindsAside(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for _, name := range []string{":instance:auto", ":auto"} { // keys of auto-assigned tasks; the latter is in older data
			claimed, auto := f.Create("claimed", ""), f.Create("auto-assigned", "")
			f.Register("w", `["worker","a"]`, `,"metadata":{"sessionId":"before"}`)
			if f.Claim("w") != claimed || f.Get(auto).AssignedTo != "w" {
				t.Fatal("it does not hold both")
			}
			requested := f.Create("requested", "")
			f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, requested)
			_, err := f.Scripts.Run(t.Context(), lua.Named("register_instance"), lua.EventContext("w", "", ""), "", 0, "w", `["worker"]`, 1,
				`{"sessionId":"after"}`, "after", 10, f.Options.InstanceTTL.Milliseconds(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			event := fmt.Sprint(f.Seq())
			if from, to := f.Keys.Orphans(event+":instance:auto"), f.Keys.Orphans(event+name); from != to {
				f.Put([]any{"RENAME", from, to})
			}
			if _, err := reassign.New(f.Scripts, f.Reassigning()).Requeue(t.Context()); err != nil {
				t.Fatal(err)
			}
			for task, owner := range map[string]string{claimed: "w", requested: "w", auto: ""} {
				if got := f.Get(task); got.AssignedTo != owner || got.Status != "pending" {
					t.Errorf("with the name %s, %s is %+v, want with %q", name, got.Text, got, owner)
				}
			}
			f.Register("other", `["worker"]`, "")
			if f.Claim("other") != auto {
				t.Error("nobody can take over what was auto-assigned")
			}
			if left := f.Scan(f.Keys.Orphans("*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			f.OK("system.unregister", `{"instanceId":"other"}`)
			f.OK("system.unregister", `{"instanceId":"w"}`)
			for _, task := range []string{claimed, requested, auto} {
				f.OK("task.delete", `{"id":%q}`, task)
			}
		}
	})
}

// A worker gets its fair share, the best tasks first, and no more than its maxTasks.
func TestRegisterGivesTheFairShare(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for i := range 12 {
			f.Create("x", fmt.Sprintf(`,"priority":%d`, i))
		}
		f.Create("needs a role", `,"priority":100,"metadata":{"roles":["gpu"]}`)
		before := f.Seq()
		f.Register("all", `["worker"]`, "") // 13 tasks, one worker: as many as a worker takes that does not say
		if got := f.Zset(f.Keys.Assigned("all")); len(got) != 10 || got[0] != "t-12" || got[9] != "t-3" {
			t.Errorf("the first worker has %v", got)
		}
		e := f.Since(before)[2]
		f.Holds(e, `{"taskId":"t-12","instanceId":"all","previousAssignment":null,"reason":"instance_registered","previousStatus":"pending"}`)
		if *e.Cause != f.Since(before)[0].ID {
			t.Errorf("the assignment was caused by %s", *e.Cause)
		}
		f.Register("gpu", `["worker","gpu"]`, "") // ⌈13 ÷ 2⌉ = 7, and 3 wait
		if got := f.Zset(f.Keys.Assigned("gpu")); len(got) != 3 || got[0] != "t-13" {
			t.Errorf("the second worker has %v", got)
		}
		for i := range 20 {
			f.Create("y", fmt.Sprintf(`,"priority":%d`, i))
		}
		f.Register("two", `["worker"]`, `,"metadata":{"maxTasks":2}`)
		if got := f.Zset(f.Keys.Assigned("two")); len(got) != 2 {
			t.Errorf("one that takes two has %v", got)
		}
		f.Register("two", `["worker"]`, `,"metadata":{"maxTasks":3}`)
		if got := f.Zset(f.Keys.Assigned("two")); len(got) != 3 {
			t.Errorf("now that it takes three it has %v", got)
		}
		f.Register("none", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		f.Register("other", `["monitor"]`, "")
		if f.Exists(f.Keys.Assigned("none"), f.Keys.Assigned("other")) != 0 {
			t.Error("given to one that takes none")
		}
		for i := range 3 { // the share: 33 open ÷ 5, 6, 7 workers; fewer than that wait
			id := fmt.Sprintf("late%d", i)
			f.Register(id, `["worker"]`, "")
			share := (33 + 5 + i - 1) / (5 + i)
			if got := f.Zset(f.Keys.Assigned(id)); len(got) > share || len(got) == 0 {
				t.Errorf("%s has %d, the fair share is %d", id, len(got), share)
			}
		}
	})
}

func TestRegisterMoreThanOneScriptGives(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for range 130 {
			f.Create("x", "")
		}
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":125}`)
		if got := f.Zset(f.Keys.Assigned("w")); len(got) != 125 {
			t.Errorf("was given %d", len(got))
		}
	})
}

func TestRegisterManyAtOnce(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for range 50 {
			f.Create("x", "")
		}
		before := f.Seq()
		coordinators := []*fleettest.Fleet{f, f.Beside()}
		instances := 200
		if f.Embedded {
			instances = 20
		}
		var g errgroup.Group
		for i := range instances {
			g.Go(func() error {
				_, err := coordinators[i%2].Do("system.register", fmt.Sprintf(`{"id":"w%d","roles":["worker"]}`, i))
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		elected, became := 0, 0
		for _, e := range f.Since(before) {
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
