package system_test

import (
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestHeartbeat(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		if got := string(f.OK("system.heartbeat", `{"instanceId":"nobody"}`)); got != `{"alive":false}` {
			t.Errorf("an unknown instance: %s", got)
		}
		f.Register("a", `["worker"]`, "")
		f.Register("b", `[]`, "")
		f.Put([]any{"PEXPIRE", f.Keys.Instance("b"), 5000})
		before, seen := f.Seq(), f.Scores(f.Keys.Alive())["b"]
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
			if got := string(f.OK("system.heartbeat", `{"instanceId":"b"}`)); got != `{"alive":true}` {
				t.Errorf("one that does not lead: %s", got)
			}
			return f.Scores(f.Keys.Alive())["b"] > seen, "lastSeen stays"
		})
		if got := string(f.OK("system.heartbeat", `{"instanceId":"a"}`)); got != `{"alive":true,"isLeader":true,"term":1}` {
			t.Errorf("the leader: %s", got)
		}
		if ttl := f.Client.PTTL(t.Context(), f.Keys.Instance("b")).Val(); ttl < 20*time.Second {
			t.Errorf("b expires in %v", ttl)
		}
		if f.Seq() != before {
			t.Error("a heartbeat emitted an event")
		}
	})
}

// The term survives the end of the lease, the leader's departure, and the loss of the log's hash.
func TestHeartbeatTakesAFreeLease(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("a", `[]`, "")
		f.Register("b", `[]`, "")
		f.Register("c", `[]`, "")
		before := f.Seq()
		f.OK("system.unregister", `{"instanceId":"a"}`)
		if got := string(f.OK("system.heartbeat", `{"instanceId":"b"}`)); got != `{"alive":true,"isLeader":true,"term":2}` {
			t.Errorf("after the leader left: %s", got)
		}
		f.Holds(f.Emitted(before, "instance.unregistered", "leader.elected")[1], `{"id":"b","term":2,"previous":"a"}`)
		if seq := f.Hash(f.Keys.Instance("b"))["seq"]; seq != f.Hash(f.Keys.Log())["seq"] {
			t.Errorf("the leader's seq is %s", seq)
		}
		f.Put([]any{"HSET", f.Keys.Leader(), "until", "1"}) // the lease of b expires
		if got := string(f.OK("system.heartbeat", `{"instanceId":"c"}`)); got != `{"alive":true,"isLeader":true,"term":3}` {
			t.Errorf("after the lease ran out: %s", got)
		}
		if got := string(f.OK("system.heartbeat", `{"instanceId":"b"}`)); got != `{"alive":true}` {
			t.Errorf("who led before: %s", got)
		}
		f.Put([]any{"HSET", f.Keys.Leader(), "until", "1"})
		if got := string(f.OK("system.heartbeat", `{"instanceId":"c"}`)); got != `{"alive":true,"isLeader":true,"term":4}` {
			t.Errorf("the leader after its own lease ran out: %s", got)
		}
		f.Put([]any{"DEL", f.Keys.Log()}, []any{"HSET", f.Keys.Leader(), "until", "1"})
		if got := string(f.OK("system.heartbeat", `{"instanceId":"b"}`)); got != `{"alive":true,"isLeader":true,"term":5}` {
			t.Errorf("after the log's hash was lost: %s", got)
		}
		f.Register("d", `[]`, "")
		f.Register("b", `[]`, "")
		if got := string(f.OK("system.heartbeat", `{"instanceId":"b"}`)); got != `{"alive":true,"isLeader":true,"term":5}` {
			t.Errorf("the leader that registered again: %s", got)
		}
	})
}

// In real time, the lease and the registration of a silent leader expire. Those of another instance
// do not.
func TestHeartbeatKeepsAliveByTheClock(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{InstanceTTL: time.Second}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("silent", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
		f.Register("lively", `["worker"]`, "")
		task := f.Create("x", "")
		f.OK("task.assign", `{"taskId":%q,"instanceId":"silent"}`, task)
		if f.Claim("silent") != task {
			t.Fatal("not claimed")
		}
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
			got := string(f.OK("system.heartbeat", `{"instanceId":"lively"}`))
			return got == `{"alive":true,"isLeader":true,"term":2}`, got
		})
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
			f.OK("system.heartbeat", `{"instanceId":"lively"}`)
			return f.Exists(f.Keys.Instance("silent")) == 0, "the silent one's registration lasts"
		})
		// It is not registered, although no check has declared it dead.
		if got := string(f.OK("system.heartbeat", `{"instanceId":"silent"}`)); got != `{"alive":false}` {
			t.Errorf("an expired instance: %s", got)
		}
		notRegistered := `{"instanceId":"silent"}`
		f.Refused(api.CodeNotRegistered, notRegistered, "task.claim", `{"workerId":"silent"}`)
		f.Refused(api.CodeNotRegistered, notRegistered, "task.complete", `{"id":%q}`, task)
		f.Refused(api.CodeNotRegistered, notRegistered, "task.update", `{"id":%q,"updates":{"status":"completed"}}`, task)
		f.Refused(api.CodeNotRegistered, notRegistered, "task.assign", `{"taskId":%q,"instanceId":"silent"}`, f.Create("y", ""))
		// It registers again with the same session and continues.
		before := f.Seq()
		f.Register("silent", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
		f.Holds(f.Since(before)[0], `{"resumed":true,"previousRoles":["worker"]}`)
		f.OK("task.complete", `{"id":%q,"attempt":1}`, task)
	})
}
