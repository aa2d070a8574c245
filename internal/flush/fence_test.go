package flush_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// During the fence every command returns the conflict and writes nothing, except those that show
// that the coordinator lives.
func TestFence(t *testing.T) {
	for _, step := range []string{"fenced", "rows", "deleting", "deleted"} {
		t.Run(step, func(t *testing.T) {
			fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{}}, func(t *testing.T, f *fleettest.Fleet) {
				f.WithRows(1)
				f.Populate()
				f.Crashed(step, fleettest.Confirmed)
				f.Snapshotted(t, func() {
					answered := map[string]bool{"system.health": true, "system.metrics": true, "system.discover": true, "system.info": true, "system.subscribers": true, "audit.status": true, "system.heartbeat": true}
					for method, params := range examples(t, f) {
						result, err := f.Do(method, params)
						var known *api.Error
						switch {
						case answered[method] && err != nil:
							t.Errorf("%s: %v", method, err)
						case answered[method]:
						case !errors.As(err, &known) || known.Code != api.CodeConflict || fmt.Sprintf("%s", known.Data) != `{"reason":"FLUSH_IN_PROGRESS"}`:
							t.Errorf("%s answered %s, %v", method, result, err)
						}
					}
					// The leader's heartbeat says that it leads, as long as the leader is known.
					beat := string(f.OK("system.heartbeat", `{"instanceId":"w"}`))
					if beat != `{"alive":true,"isLeader":true,"term":1}` && (step == "fenced" || step == "rows" || beat != `{"alive":true}`) {
						t.Errorf("a heartbeat is answered %s", beat)
					}
					if err := f.Sweep(t.Context()); err != nil { // the lease has not ended
						t.Errorf("the monitor: %v", err)
					}
				})
				f.Expire()
				f.SweepOnce()
			})
		})
	}
}

// examples returns params for every method.
func examples(t *testing.T, f *fleettest.Fleet) map[string]string {
	t.Helper()
	params := map[string]string{}
	given := map[string]string{
		"system.register": `{"id":"n","roles":["worker"]}`, "system.heartbeat": `{"instanceId":"nobody"}`,
		"system.unregister": `{"instanceId":"w"}`, "system.batch.process": `{"batchId":"b","instanceId":"w","items":[1]}`,
		"system.quorum.vote": `{"instanceId":"w","decision":"d","value":"v"}`, "system.flush": fleettest.Confirmed,
		"task.create_many": `{"tasks":[{"text":"x"}]}`, "task.complete_many": `{"items":[{"id":"t-3"}]}`,
		"task.create": `{"text":"x"}`, "task.update": `{"id":"t-3","updates":{"text":"y"}}`, "task.assign": `{"taskId":"t-3","instanceId":"w"}`,
		"task.unassign": `{"taskId":"t-3"}`, "task.claim": `{"workerId":"w"}`, "task.complete": `{"id":"t-3"}`, "task.get": `{"id":"t-3"}`,
		"task.progress": `{"id":"t-3","workerId":"w","attempt":1}`, "task.cancel": `{"id":"t-3"}`, "task.retry": `{"id":"t-3"}`,
		"task.cancel_many": `{"filter":{"status":"pending"}}`, "task.retry_many": `{"filter":{"status":"failed"}}`, "task.delete_many": `{"filter":{"status":"failed"}}`,
		"limit.set": `{"key":"l","concurrent":1}`, "limit.delete": `{"key":"l"}`,
		"task.delete": `{"id":"t-3"}`, "session.get": `{"id":"s"}`, "event.get": `{"seq":1}`, "audit.diff": `{"from":"0"}`, "task.history": `{"id":"t-3"}`, "instance.history": `{"id":"w"}`, "hook.record": `{"hook":{"hook_event_name":"Stop"}}`,
		"schedule.put": `{"id":"s","cron":"@daily","task":{"text":"x"}}`, "schedule.get": `{"id":"s"}`, "schedule.delete": `{"id":"s"}`,
	}
	for _, m := range f.Methods() {
		params[m.Name] = given[m.Name]
	}
	return params
}

// No registration expires during the fence, however long it lasts, because agents' heartbeats renew
// nothing then.
func TestNobodyExpiresBehindTheFence(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{InstanceTTL: 2 * time.Second}, func(t *testing.T, f *fleettest.Fleet) {
		f.WithRows(9)
		for n := range 1100 {
			f.Put([]any{"ZADD", f.Keys.Alive(), n, fmt.Sprint("filler-", n)})
		}
		f.Register("z", `["worker"]`, "") // comes after them in the index
		f.Register("slow", `[]`, `,"ttlMs":600000`)
		f.Create("x", "")
		if f.Claim("z") == "" {
			t.Fatal("nothing claimed")
		}
		f.Crashed("fenced", fleettest.Confirmed)
		if ttl := f.Client.PTTL(t.Context(), f.Keys.Instance("z")).Val(); ttl > 0 {
			t.Errorf("it would expire in %v", ttl)
		}
		f.Expire()
		f.SweepOnce()
		if ttl := f.Client.PTTL(t.Context(), f.Keys.Instance("z")).Val(); ttl <= 0 || ttl > 2*time.Second {
			t.Errorf("it expires in %v", ttl)
		}
		if ttl := f.Client.PTTL(t.Context(), f.Keys.Instance("slow")).Val(); ttl < 9*time.Minute {
			t.Errorf("the one with a TTL of its own expires in %v", ttl)
		}
		f.Put([]any{"DEL", f.Keys.Alive()}, []any{"ZADD", f.Keys.Alive(), time.Now().UnixMilli(), "z", time.Now().UnixMilli(), "slow"})
	})
}

// A flush during many commands: each of them ran before it, ran after it, or was rejected.
func TestFlushWhileCommandsHammer(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.WithRows(9)
		f.Populate()
		stop := make(chan struct{})
		var hammering sync.WaitGroup
		for n := range 4 {
			hammering.Go(func() {
				worker := fmt.Sprint("hammer-", n)
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					for _, c := range []struct{ method, params string }{
						{"task.create", fmt.Sprintf(`{"text":"x","idempotencyKey":"%d-%d"}`, n, i)},
						{"system.register", fmt.Sprintf(`{"id":%q,"roles":["worker"]}`, worker)},
						{"task.claim", fmt.Sprintf(`{"workerId":%q}`, worker)},
						{"system.heartbeat", fmt.Sprintf(`{"instanceId":%q}`, worker)},
						{"system.check_health", `{}`},
					} {
						if _, err := f.Do(c.method, c.params); err != nil {
							var known *api.Error
							if !errors.As(err, &known) || known.Code != api.CodeConflict && known.Code != api.CodeNotRegistered {
								t.Errorf("%s: %v", c.method, err)
							}
						}
					}
				}
			})
		}
		flushes := 5
		for range flushes {
			before := f.Seq()
			testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return f.Seq() > before+50, "nothing happens" })
			f.Flush(fleettest.Confirmed)
		}
		close(stop)
		hammering.Wait()
		events := f.Events() // fails on any gap
		if events[0].Type != "system.flushed" || fmt.Sprint(events[0].Seq) != f.Hash(f.Keys.Log())["base"] {
			t.Errorf("the log begins with %+v", events[0])
		}
	})
}
