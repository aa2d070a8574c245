package system_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// silent pretends that an instance has given no sign of life for a time, and returns a function that
// reports whether it has given one since.
func silent(f *fleettest.Fleet, id string, d time.Duration) func() bool {
	f.T.Helper()
	key := f.Keys.Instance(id)
	seen := time.Now().Add(-d).UnixMilli()
	until := fmt.Sprint(seen + f.Options.InstanceTTL.Milliseconds())
	left := (f.Options.InstanceTTL - d).Milliseconds()
	f.Put([]any{"HSET", key, "lastSeen", seen, "renewed", seen, "lastHeartbeat", time.UnixMilli(seen).UTC().Format("2006-01-02T15:04:05.000Z")},
		[]any{"ZADD", f.Keys.Alive(), seen, id}, []any{"ZADD", f.Keys.Workers(), seen, id}, []any{"PEXPIRE", key, left},
		[]any{"HSET", f.Keys.Leader(), "until", until})
	return func() bool {
		f.T.Helper()
		score := f.Scores(f.Keys.Alive())[id]
		ttl := f.Client.PTTL(context.Background(), key).Val()
		renewed := int64(score) > seen
		if now := f.Hash(key)["lastSeen"]; renewed != (now != fmt.Sprint(seen)) || renewed != (ttl > f.Options.InstanceTTL-d) ||
			renewed != (f.Scores(f.Keys.Workers())[id] > float64(seen)) || renewed != (f.Hash(f.Keys.Leader())["until"] > until) {
			f.T.Errorf("renewed in the index: %t, but last seen at %s, expires in %s; leader %v", renewed, now, ttl, f.Hash(f.Keys.Leader()))
		}
		return renewed
	}
}

// lastSeen pretends that an instance gave its last sign of life a time ago.
func lastSeen(f *fleettest.Fleet, id string, ago time.Duration) int64 {
	f.T.Helper()
	grace, err := strconv.ParseInt(f.Hash(f.Keys.Instance(id))["grace"], 10, 64)
	if err != nil {
		f.T.Fatalf("the grace of %s: %v", id, err)
	}
	seen := time.Now().Add(-ago).UnixMilli()
	f.Put([]any{"HSET", f.Keys.Instance(id), "lastSeen", seen, "renewed", seen, "lastHeartbeat", time.UnixMilli(seen).UTC().Format("2006-01-02T15:04:05.000Z")},
		[]any{"ZADD", f.Keys.Alive(), seen + grace, id}, []any{"ZADD", f.Keys.Workers(), seen + grace, id})
	return seen
}

// A command in the name of an instance renews its registration, once a quarter of the TTL has
// passed, and the lease of the leader with it. One that is refused does not.
func TestCommandsAreSignsOfLife(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		f.Register("v", `["worker"]`, "")
		for _, silence := range []time.Duration{6 * time.Second, 20 * time.Second} { // of 30
			one, two := f.Create("x", ""), f.Create("x", "")
			for _, call := range []struct{ method, params string }{
				{"task.claim", `{"workerId":"w","maxTasks":2}`},
				{"task.complete", fmt.Sprintf(`{"id":%q,"workerId":"w","attempt":1,"result":1}`, one)},
				{"task.complete_many", fmt.Sprintf(`{"items":[{"id":%q,"workerId":"w","attempt":1}]}`, two)},
				{"task.claim", `{"workerId":"w"}`}, // there is nothing to claim
				{"system.quorum.vote", fmt.Sprintf(`{"decision":"d%d","instanceId":"w","value":1,"totalInstances":3}`, silence)},
				{"system.quorum.vote", fmt.Sprintf(`{"decision":"d%d","instanceId":"w","value":1}`, silence)}, // its second vote
				{"system.batch.process", fmt.Sprintf(`{"batchId":"b%d","instanceId":"w","items":[{"text":"x","metadata":{"roles":["nobody"]}}]}`, silence)},
			} {
				renewed := silent(f, "w", silence)
				f.OK(call.method, "%s", call.params)
				if want := silence > f.Options.InstanceTTL/4; renewed() != want {
					t.Errorf("%s %s renewed the registration after %s: %t, want %t", call.method, call.params, silence, !want, want)
				}
			}
		}
		f.Create("x", "")
		f.OK("task.claim", `{"workerId":"v"}`)
		renewed := silent(f, "w", 20*time.Second)
		f.Refused(api.CodeConflict, `{"reason":"NOT_OWNER","assignedTo":"v"}`, "task.complete", `{"id":"t-%d","workerId":"w","result":1}`, f.Seq()-1)
		if renewed() {
			t.Error("a refused call renewed the registration")
		}
		f.Verify()
	})
}

// An instance with a TTL of its own lives as long as it says, whatever the coordinator's TTL is.
func TestATTLOfOnesOwn(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Watched()
		f.Register("slow", `["worker"]`, `,"ttlMs":600000`)
		f.Register("quick", `["worker"]`, `,"ttlMs":5000`)
		f.Register("usual", `["worker"]`, "")
		seen := map[string]int64{}
		// ago makes it d ago that all of them gave a sign of life.
		ago := func(d time.Duration) {
			for _, id := range []string{"slow", "quick", "usual"} {
				if f.Exists(f.Keys.Instance(id)) == 0 {
					continue
				}
				seen[id] = time.Now().Add(-d).UnixMilli()
				seen[id] = lastSeen(f, id, d)
			}
		}
		for _, step := range []struct {
			silence time.Duration
			dead    []string
		}{{4 * time.Second, nil}, {6 * time.Second, []string{"quick"}}, {31 * time.Second, []string{"usual"}}, {599 * time.Second, nil}, {601 * time.Second, []string{"slow"}}} {
			ago(step.silence)
			before := f.Seq()
			swept := f.CheckHealth(int(f.Options.InstanceTTL.Milliseconds()))
			if !slices.Equal(swept.Failed, step.dead) {
				t.Errorf("after %s of silence %q are dead, want %q", step.silence, swept.Failed, step.dead)
			}
			for _, e := range f.Since(before) {
				if e.Type == string(events.TypeInstanceFailed) {
					f.Holds(e, fmt.Sprintf(`{"id":%q,"lastSeen":%d}`, step.dead[0], seen[step.dead[0]]))
				}
			}
		}
		f.Verify()

		f.Register("slow", `["worker"]`, `,"ttlMs":600000`)
		within := func(id string, want time.Duration) {
			t.Helper()
			if ttl := f.Client.PTTL(t.Context(), f.Keys.Instance(id)).Val(); ttl > want || ttl < want-20*time.Second {
				t.Errorf("the registration of %s expires in %s, want %s", id, ttl, want)
			}
		}
		within("slow", 10*time.Minute)
		f.OK("system.heartbeat", `{"instanceId":"slow"}`)
		within("slow", 10*time.Minute)
		if until, err := strconv.ParseInt(f.Hash(f.Keys.Leader())["until"], 10, 64); err != nil || until > time.Now().Add(f.Options.InstanceTTL).UnixMilli() {
			t.Errorf("the leader's lease lasts until %d, %v", until, err)
		}
		f.Register("slow", `["worker"]`, "")
		within("slow", f.Options.InstanceTTL)
		for params, want := range map[string]time.Duration{`{"id":"slow","roles":[]}`: 10 * time.Minute, `{"id":"slow","roles":[],"ttlMs":20000}`: 20 * time.Second} {
			if _, err := f.Call(t.Context(), api.Request{Method: "system.register", Params: []byte(params), MCP: true}); err != nil {
				t.Error(err)
			}
			within("slow", want)
		}
		f.Refused(api.CodeInvalidParams, `"ttlMs parameter must be an integer from 5000 to 3600000"`, "system.register", `{"id":"x","roles":[],"ttlMs":1000}`)
		f.Verify()
	})
}

// An operator's timeout is for the usual TTL. An instance with a shorter one lives for that.
func TestATimeoutAndAShortTTL(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Watched()
		f.Register("quick", `["worker"]`, `,"ttlMs":5000`)
		for _, step := range []struct {
			silence time.Duration
			timeout int
			dead    bool
		}{{0, 20_000, false}, {4 * time.Second, 20_000, false}, {2 * time.Second, 1_000, true}} {
			lastSeen(f, "quick", step.silence)
			if swept := f.CheckHealth(step.timeout); len(swept.Failed) > 0 != step.dead {
				t.Errorf("after %s of silence, with a timeout of %d ms, %q are dead", step.silence, step.timeout, swept.Failed)
			}
		}
		f.Register("quick", `["worker"]`, `,"ttlMs":5000`)
		lastSeen(f, "quick", 6*time.Second)
		if swept := f.CheckHealth(20_000); len(swept.Failed) != 1 {
			t.Errorf("after its TTL %q are dead", swept.Failed)
		}
	})
}

// After a stop of everything, an instance has its own TTL to give a sign of life.
func TestALongTTLAfterAStop(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("slow", `["worker"]`, `,"ttlMs":600000`)
		f.Register("usual", `["worker"]`, "")
		for _, step := range []struct {
			since time.Duration // the end of the stop
			dead  []string
		}{{29 * time.Second, nil}, {31 * time.Second, []string{"usual"}}, {599 * time.Second, nil}, {601 * time.Second, []string{"slow"}}} {
			now := time.Now()
			f.Put([]any{"HSET", f.Keys.Prefix() + "health:monitor", "tick", now.UnixMilli() + 500, "patience", now.Add(f.Options.InstanceTTL - step.since).UnixMilli()})
			for _, id := range []string{"slow", "usual"} {
				if f.Exists(f.Keys.Instance(id)) == 1 {
					lastSeen(f, id, time.Hour)
				}
			}
			if swept := f.CheckHealth(int(f.Options.InstanceTTL.Milliseconds())); !slices.Equal(swept.Failed, step.dead) {
				t.Errorf("%s after a stop %q are dead, want %q", step.since, swept.Failed, step.dead)
			}
		}
	})
}

// A coordinator of an earlier version renews for its own TTL and knows no grace. The next command
// repairs that.
func TestAHeartbeatThroughAnEarlierVersion(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Watched()
		f.Register("slow", `["worker"]`, `,"ttlMs":600000`)
		key := f.Keys.Instance("slow")
		heartbeat := func(ago time.Duration) int64 {
			seen := time.Now().Add(-ago).UnixMilli()
			f.Put([]any{"HSET", key, "lastSeen", seen, "lastHeartbeat", time.UnixMilli(seen).UTC().Format("2006-01-02T15:04:05.000Z")},
				[]any{"PEXPIRE", key, (f.Options.InstanceTTL - ago).Milliseconds()}, []any{"HSET", f.Keys.Gossip("slow"), "lastSeen", seen},
				[]any{"ZADD", f.Keys.Alive(), seen, "slow"}, []any{"ZADD", f.Keys.Workers(), seen, "slow"})
			return seen
		}
		heartbeat(25 * time.Second)
		f.OK("task.claim", `{"workerId":"slow"}`)
		if ttl := f.Client.PTTL(t.Context(), key).Val(); ttl < 9*time.Minute {
			t.Errorf("after a claim the registration lasts for %s", ttl)
		}
		seen := heartbeat(0)
		f.Verify()
		f.Put([]any{"HSET", f.Keys.Prefix() + "health:monitor", "patience", 0})
		f.Put([]any{"ZADD", f.Keys.Alive(), seen - 31_000, "slow"}, []any{"HSET", f.Keys.Gossip("slow"), "lastSeen", seen - 31_000})
		before := f.Seq()
		f.CheckHealth(int(f.Options.InstanceTTL.Milliseconds()))
		f.Holds(f.Emitted(before, "instance.failed")[0], fmt.Sprintf(`{"id":"slow","lastSeen":%d}`, seen-31_000))
	})
}

// When the fleet has another TTL since the last renewal, the next command renews at once.
func TestAnotherTTLOfTheFleet(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Watched()
		f.Register("w", `["worker"]`, "")
		key := f.Keys.Instance("w")
		f.Put([]any{"HSET", key, "ttl", 150_000, "grace", 0}, []any{"PEXPIRE", key, 150_000}, []any{"HSET", f.Keys.Log(), "ttl", 30_000})
		lastSeen(f, "w", 29*time.Second) // less than a quarter of the TTL that it had
		f.OK("task.claim", `{"workerId":"w"}`)
		if ttl := f.Client.PTTL(t.Context(), key).Val(); ttl > 30*time.Second {
			t.Errorf("the registration lasts for %s", ttl)
		}
		lastSeen(f, "w", 3*time.Second)
		f.OK("task.claim", `{"workerId":"w"}`)
		if seen := time.Since(time.UnixMilli(int64(f.Scores(f.Keys.Alive())["w"]))); seen < 3*time.Second {
			t.Errorf("it was renewed again, %s ago", seen)
		}
		f.Verify()
	})
}
