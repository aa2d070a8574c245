package commands

import (
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestHeartbeat(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		if got := string(f.ok("system.heartbeat", `{"instanceId":"nobody"}`)); got != `{"alive":false}` {
			t.Errorf("an unknown instance: %s", got)
		}
		f.register("a", `["worker"]`, "")
		f.register("b", `[]`, "")
		f.put([]any{"PEXPIRE", f.keys.Instance("b"), 5000})
		before, seen := f.seq(), f.scores(f.keys.Alive())["b"]
		testenv.Eventually(t, patience, func() (bool, string) {
			if got := string(f.ok("system.heartbeat", `{"instanceId":"b"}`)); got != `{"alive":true}` {
				t.Errorf("one that does not lead: %s", got)
			}
			return f.scores(f.keys.Alive())["b"] > seen, "lastSeen stays"
		})
		if got := string(f.ok("system.heartbeat", `{"instanceId":"a"}`)); got != `{"alive":true,"isLeader":true,"term":1}` {
			t.Errorf("the leader: %s", got)
		}
		if ttl := f.client.PTTL(t.Context(), f.keys.Instance("b")).Val(); ttl < 20*time.Second {
			t.Errorf("b expires in %v", ttl)
		}
		if f.seq() != before {
			t.Error("a heartbeat emitted an event")
		}
	})
}

// The term outlives the lease, the leader's leaving, its death, and the log's hash.
func TestHeartbeatTakesAFreeLease(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("a", `[]`, "")
		f.register("b", `[]`, "")
		f.register("c", `[]`, "")
		before := f.seq()
		f.ok("system.unregister", `{"instanceId":"a"}`)
		if got := string(f.ok("system.heartbeat", `{"instanceId":"b"}`)); got != `{"alive":true,"isLeader":true,"term":2}` {
			t.Errorf("after the leader left: %s", got)
		}
		f.holds(f.emitted(before, "instance.unregistered", "leader.elected")[1], `{"id":"b","term":2,"previous":"a"}`)
		if seq := f.hash(f.keys.Instance("b"))["seq"]; seq != f.hash(f.keys.Log())["seq"] {
			t.Errorf("the leader's seq is %s", seq)
		}
		f.put([]any{"HSET", f.keys.Leader(), "until", "1"}) // b is silent for the length of the lease
		if got := string(f.ok("system.heartbeat", `{"instanceId":"c"}`)); got != `{"alive":true,"isLeader":true,"term":3}` {
			t.Errorf("after the lease ran out: %s", got)
		}
		if got := string(f.ok("system.heartbeat", `{"instanceId":"b"}`)); got != `{"alive":true}` {
			t.Errorf("who led before: %s", got)
		}
		f.put([]any{"HSET", f.keys.Leader(), "until", "1"})
		if got := string(f.ok("system.heartbeat", `{"instanceId":"c"}`)); got != `{"alive":true,"isLeader":true,"term":4}` {
			t.Errorf("the leader after its own lease ran out: %s", got)
		}
		f.put([]any{"DEL", f.keys.Log()}, []any{"HSET", f.keys.Leader(), "until", "1"})
		if got := string(f.ok("system.heartbeat", `{"instanceId":"b"}`)); got != `{"alive":true,"isLeader":true,"term":5}` {
			t.Errorf("after the log's hash was lost: %s", got)
		}
		f.register("d", `[]`, "")
		f.register("b", `[]`, "")
		if got := string(f.ok("system.heartbeat", `{"instanceId":"b"}`)); got != `{"alive":true,"isLeader":true,"term":5}` {
			t.Errorf("the leader that registered again: %s", got)
		}
	})
}

// With real time: the lease and the registration of a silent leader run out, another's do not.
func TestHeartbeatKeepsAliveByTheClock(t *testing.T) {
	everywhere(t, Options{InstanceTTL: time.Second}, func(t *testing.T, f *fleet) {
		f.register("silent", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
		f.register("lively", `["worker"]`, "")
		task := f.create("x", "")
		f.ok("task.assign", `{"taskId":%q,"instanceId":"silent"}`, task)
		if f.claim("silent") != task {
			t.Fatal("not claimed")
		}
		testenv.Eventually(t, patience, func() (bool, string) {
			got := string(f.ok("system.heartbeat", `{"instanceId":"lively"}`))
			return got == `{"alive":true,"isLeader":true,"term":2}`, got
		})
		testenv.Eventually(t, patience, func() (bool, string) {
			f.ok("system.heartbeat", `{"instanceId":"lively"}`)
			return f.exists(f.keys.Instance("silent")) == 0, "the silent one's registration lasts"
		})
		// It is not registered, though nobody has declared it dead.
		if got := string(f.ok("system.heartbeat", `{"instanceId":"silent"}`)); got != `{"alive":false}` {
			t.Errorf("an expired instance: %s", got)
		}
		notRegistered := `{"instanceId":"silent"}`
		f.refused(api.CodeNotRegistered, notRegistered, "task.claim", `{"workerId":"silent"}`)
		f.refused(api.CodeNotRegistered, notRegistered, "task.complete", `{"id":%q}`, task)
		f.refused(api.CodeNotRegistered, notRegistered, "task.update", `{"id":%q,"updates":{"status":"completed"}}`, task)
		f.refused(api.CodeNotRegistered, notRegistered, "task.assign", `{"taskId":%q,"instanceId":"silent"}`, f.create("y", ""))
		// It comes back with the same session, and goes on.
		before := f.seq()
		f.register("silent", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
		f.holds(f.since(before)[0], `{"resumed":true,"previousRoles":["worker"]}`)
		f.ok("task.complete", `{"id":%q,"attempt":1}`, task)
	})
}
