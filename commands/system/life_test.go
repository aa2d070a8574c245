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
	f.Put([]any{"HSET", key, "lastSeen", seen, "lastHeartbeat", time.UnixMilli(seen).UTC().Format("2006-01-02T15:04:05.000Z")},
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
				hash := f.Hash(f.Keys.Instance(id))
				if len(hash) == 0 {
					continue
				}
				seen[id] = time.Now().Add(-d).UnixMilli()
				grace, err := strconv.ParseInt(hash["grace"], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				f.Put([]any{"HSET", f.Keys.Instance(id), "lastSeen", seen[id], "lastHeartbeat", time.UnixMilli(seen[id]).UTC().Format("2006-01-02T15:04:05.000Z")},
					[]any{"ZADD", f.Keys.Alive(), seen[id] + grace, id}, []any{"ZADD", f.Keys.Workers(), seen[id] + grace, id})
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
