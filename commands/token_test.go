package commands_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// The test repeats which role may call which method, so that nobody changes it by accident.
func TestRolesOfMethods(t *testing.T) {
	t.Parallel()
	tokens := fleettest.FleetTokens()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{Tokens: tokens})
	all, writing := []string{"alice", "ops", "root", "audit"}, []string{"alice", "ops", "root"}
	want := map[string][]string{
		"system.register": writing, "system.heartbeat": writing, "system.unregister": writing, "system.check_health": writing,
		"system.health": all, "system.metrics": all, "system.get_state": all, "system.info": all, "system.subscribers": all, "audit.status": all, "audit.verify": {"audit", "ops", "root"}, "audit.diff": {"audit", "ops", "root"}, "system.discover": all,
		"system.batch.process": writing, "system.quorum.vote": writing, "system.flush": {"root"},
		"task.create": writing, "task.update": writing, "task.assign": writing, "task.unassign": writing, "task.claim": writing,
		"task.complete": writing, "task.create_many": writing, "task.complete_many": writing, "task.progress": writing, "task.cancel": writing, "task.retry": writing, "task.cancel_many": writing, "task.retry_many": writing, "task.delete_many": writing, "task.delete": writing, "task.list": all, "task.get": all,
		"queue.pause": {"ops", "root"}, "queue.resume": {"ops", "root"},
		"limit.set": {"ops", "root"}, "limit.delete": {"ops", "root"}, "limit.list": all,
		"schedule.put": {"ops", "root"}, "schedule.get": all, "schedule.list": all, "schedule.delete": {"ops", "root"},
		"session.list": all, "session.get": all, "event.get": all, "task.history": all, "instance.history": all, "event.list": all, "hook.record": writing,
	}
	for _, m := range f.Coordinator.Methods() {
		if want[m.Name] == nil {
			t.Errorf("%s: who may call it?", m.Name)
			continue
		}
		for _, name := range all {
			// The params are invalid, so the call changes nothing even if the role may call it.
			_, err := f.As(name, m.Name, `{"unknown":1}`)
			var known *api.Error
			if !errors.As(err, &known) {
				t.Fatalf("%s, %s: %v", m.Name, name, err)
			}
			may := slices.Contains(want[m.Name], name)
			if may != (known.Code == api.CodeInvalidParams) || may == (known.Code == api.CodeUnauthorized) {
				t.Errorf("%s calls %s: %v; may it? %t", name, m.Name, err, may)
			}
			if !may && !strings.Contains(known.Error(), strings.Join(m.Roles[:1], "")) {
				t.Errorf("%s calls %s and is not told what is needed: %v", name, m.Name, err)
			}
		}
		// A caller without a token, or with a revoked one, may call nothing, even if the transport
		// let it in.
		for _, name := range []string{"", "mallory"} {
			f.MayNot(name, "a valid token", m.Name, `{}`)
		}
	}
	f.MayNot("audit", "task.create needs a token with the role agent, operator or admin; this one has auditor", "task.create", `{"text":"x"}`)
	delete(tokens, "alice") // revoked: the next call is rejected
	f.MayNot("alice", "a valid token", "task.get", `{"id":"t-1"}`)
}

// An agent acts only for the instances that were registered with its token.
func TestInstancesBelongToTokens(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens()}, func(t *testing.T, f *fleettest.Fleet) {
		if got := f.May("alice", "system.register", `{"id":"w","roles":["worker"]}`); string(got) != `{"registered":true}` {
			t.Fatalf("registered: %s", got)
		}
		if e := f.Events()[0]; e.Actor != "alice/w" {
			t.Errorf("the actor is %q", e.Actor)
		}
		for key, name := range map[string]string{f.Keys.Instance("w"): "owner", f.Keys.Gossip("w"): "owner"} {
			if got := f.Hash(key)[name]; got != "alice" {
				t.Errorf("%s says that it is %q's", key, got)
			}
		}
		// The ID is taken, for every other token, and nothing changes.
		before := f.Seq()
		for _, other := range []string{"bob", "ops", "root"} {
			if got := f.May(other, "system.register", `{"id":"w","roles":[]}`); string(got) != `{"registered":false}` {
				t.Errorf("%s registers alice's instance: %s", other, got)
			}
		}
		if f.Seq() != before || f.Hash(f.Keys.Instance("w"))["roles"] != `["worker"]` {
			t.Error("and something has changed")
		}
		needed := "the token that registered instance w, or the role operator or admin"
		for _, other := range []string{"bob", "eve"} {
			f.MayNot(other, needed, "system.heartbeat", `{"instanceId":"w"}`)
			f.MayNot(other, needed, "system.unregister", `{"instanceId":"w"}`)
			f.MayNot(other, needed, "task.claim", `{"workerId":"w"}`)
		}
		f.May("alice", "system.register", `{"id":"w","roles":["worker"]}`)
		for _, who := range []string{"alice", "ops", "root", "both"} {
			f.May(who, "system.heartbeat", `{"instanceId":"w"}`)
			f.May(who, "task.claim", `{"workerId":"w"}`)
		}
		// An instance that is not registered belongs to no token, so every caller gets this answer.
		if got := f.May("bob", "system.heartbeat", `{"instanceId":"nobody"}`); string(got) != `{"alive":false}` {
			t.Errorf("a heartbeat of nobody: %s", got)
		}
		f.May("bob", "system.unregister", `{"instanceId":"nobody"}`)

		// Once the instance has left, its ID is free. Another token that registers it does not
		// inherit what belonged to it.
		f.May("ops", "system.unregister", `{"instanceId":"w"}`)
		if got := f.May("bob", "system.register", `{"id":"w","roles":[]}`); string(got) != `{"registered":true}` {
			t.Errorf("the free id: %s", got)
		}
		f.MayNot("alice", needed, "system.heartbeat", `{"instanceId":"w"}`)
		f.May("bob", "system.unregister", `{"instanceId":"w"}`)
	})
}

// An instance whose registration has expired still belongs to its token, with all that it holds,
// until the monitor declares it dead.
func TestExpiredInstancesBelongToTokens(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens()}, func(t *testing.T, f *fleettest.Fleet) {
		f.May("alice", "system.register", `{"id":"w","roles":["worker"],"metadata":{"sessionId":"s"}}`)
		task := fleettest.Decoded[fleettest.Task](t, f.May("alice", "task.create", `{"text":"x"}`)).ID
		f.May("alice", "task.claim", `{"workerId":"w"}`)
		f.Put([]any{"DEL", f.Keys.Instance("w")})
		if got := f.May("bob", "system.register", `{"id":"w","roles":[],"metadata":{"sessionId":"s"}}`); string(got) != `{"registered":false}` {
			t.Errorf("bob registers it: %s", got)
		}
		f.MayNot("bob", "registered instance w", "system.unregister", `{"instanceId":"w"}`)
		f.May("alice", "system.register", `{"id":"w","roles":["worker"],"metadata":{"sessionId":"s"}}`)
		if got := fleettest.Decoded[fleettest.Task](t, f.May("alice", "task.get", `{"id":%q}`, task)); got.Status != "in_progress" {
			t.Errorf("alice does not resume: %+v", got)
		}
	})
}

// An instance that was registered while authentication was disabled belongs to the token that
// registers it again.
func TestTokensComeIntoUse(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
		task := f.Create("x", "")
		f.Claim("w")
		with := fleettest.New(f.T, f.Client, commands.Options{Keys: f.Keys, Tokens: fleettest.FleetTokens()})
		with.MayNot("alice", "registered instance w", "system.heartbeat", `{"instanceId":"w"}`)
		with.MayNot("alice", "created task", "task.delete", `{"id":%q}`, task)
		with.May("alice", "system.register", `{"id":"w","roles":["worker"],"metadata":{"sessionId":"s"}}`)
		with.May("alice", "task.complete", `{"id":%q,"workerId":"w"}`, task)
		// Conversely, if authentication is disabled, there is no owner.
		f.Register("w", `["worker"]`, "")
		if owner, ok := f.Hash(f.Keys.Gossip("w"))["owner"]; ok {
			t.Errorf("it is still %s's", owner)
		}
	})
}

// An agent may change the tasks that it created and the tasks of its instances. Any token may read.
func TestTasksBelongToTokens(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens()}, func(t *testing.T, f *fleettest.Fleet) {
		f.May("alice", "system.register", `{"id":"a","roles":[]}`)
		f.May("bob", "system.register", `{"id":"b","roles":[]}`)
		create := func(who string) string {
			t.Helper()
			return fleettest.Decoded[fleettest.Task](t, f.May(who, "task.create", `{"text":"x"}`)).ID
		}
		task := create("alice")
		if e := f.Events()[f.Seq()-1]; e.Actor != "alice" {
			t.Errorf("the actor is %q", e.Actor)
		}
		changes := []struct{ method, params string }{
			{"task.update", `{"id":%q,"updates":{"priority":60}}`},
			{"task.update", `{"id":%q,"updates":{"metadata":{"a":1}}}`},
			{"task.update", `{"id":%q,"updates":{"status":"pending"}}`},
			{"task.assign", `{"taskId":%q,"instanceId":"b"}`},
			{"task.unassign", `{"taskId":%q}`},
			{"task.delete", `{"id":%q}`},
		}
		for _, c := range changes {
			f.MayNot("bob", "the token that created task "+task+" or that registered the instance which has it, or the role operator or admin",
				c.method, c.params, task)
		}
		f.May("bob", "task.get", `{"id":%q}`, task)
		f.May("audit", "task.get", `{"id":%q}`, task)

		// While bob's instance has the task, both bob and alice may change it.
		f.MayNot("alice", "the token that registered instance b", "task.assign", `{"taskId":%q,"instanceId":"b"}`, task)
		f.May("ops", "task.assign", `{"taskId":%q,"instanceId":"b"}`, task)
		f.MayNot("eve", "created task", "task.unassign", `{"taskId":%q}`, task)
		f.May("bob", "task.update", `{"id":%q,"updates":{"priority":70}}`, task)
		f.May("alice", "task.update", `{"id":%q,"updates":{"priority":80}}`, task)
		f.May("bob", "task.unassign", `{"taskId":%q}`, task)
		f.MayNot("bob", "created task", "task.update", `{"id":%q,"updates":{"priority":90}}`, task)

		// Only the token that acts for the owner may finish a task, not the token that created it.
		f.May("bob", "task.claim", `{"workerId":"b"}`)
		f.MayNot("alice", "registered instance b", "task.complete", `{"id":%q}`, task)
		f.MayNot("alice", "registered instance b", "task.complete", `{"id":%q,"workerId":"b"}`, task)
		for _, status := range []string{"in_progress", "completed", "failed"} {
			f.MayNot("alice", "registered instance b", "task.update", `{"id":%q,"updates":{"status":%q}}`, task, status)
		}
		// A worker that was declared dead must learn that the task has another owner now.
		_, err := f.As("alice", "task.complete", `{"id":%q,"workerId":"a","attempt":1}`, task)
		if known := (*api.Error)(nil); !errors.As(err, &known) || known.Code != api.CodeConflict || !strings.Contains(known.Error(), "NOT_OWNER") {
			t.Errorf("a lost task: %v", err)
		}
		_, err = f.As("alice", "task.complete", `{"id":%q,"attempt":7}`, task)
		if known := (*api.Error)(nil); !errors.As(err, &known) || !strings.Contains(known.Error(), "UNKNOWN_ATTEMPT") {
			t.Errorf("a lost task, by its attempt: %v", err)
		}
		f.MayNot("bob", "registered instance a", "task.complete", `{"id":%q,"workerId":"a"}`, task)
		f.May("bob", "task.complete", `{"id":%q,"workerId":"b","attempt":1}`, task)
		if e := f.Events()[f.Seq()-1]; e.Type != "task.completed" || e.Actor != "bob/b" {
			t.Errorf("the last event is %s by %s", e.Type, e.Actor)
		}
		f.May("bob", "task.delete", `{"id":%q}`, task)

		// Operators and admins may act for all.
		for _, who := range []string{"ops", "root", "both"} {
			task := create("alice")
			f.May(who, "task.update", `{"id":%q,"updates":{"metadata":{"a":1}}}`, task)
			f.May(who, "task.assign", `{"taskId":%q,"instanceId":"b"}`, task)
			f.May(who, "task.unassign", `{"taskId":%q}`, task)
			f.May(who, "task.assign", `{"taskId":%q,"instanceId":"b"}`, task)
			f.May(who, "task.claim", `{"workerId":"b"}`)
			f.May(who, "task.complete", `{"id":%q,"workerId":"b"}`, task)
			f.May(who, "task.delete", `{"id":%q}`, task)
		}
		// A task that an operator created belongs to no agent.
		f.MayNot("alice", "created task", "task.delete", `{"id":%q}`, create("ops"))
	})
}

// A token with a prefix may act as, and assign tasks to, only instances with that prefix.
func TestInstancePrefix(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{Tokens: fleettest.FleetTokens()})
	f.May("north", "system.register", `{"id":"north:1","roles":[]}`)
	f.May("bob", "system.register", `{"id":"south:1","roles":[]}`)
	task := fleettest.Decoded[fleettest.Task](t, f.May("north", "task.create", `{"text":"x"}`)).ID
	needed := `this token may only name instances whose ids begin with "north:"`
	for _, id := range []string{"south:1", "north", "North:1", "x north:1"} {
		f.MayNot("north", needed, "system.register", `{"id":%q,"roles":[]}`, id)
		f.MayNot("north", needed, "system.heartbeat", `{"instanceId":%q}`, id)
		f.MayNot("north", needed, "system.unregister", `{"instanceId":%q}`, id)
		f.MayNot("north", needed, "task.claim", `{"workerId":%q}`, id)
		f.MayNot("north", needed, "task.complete", `{"id":%q,"workerId":%q}`, task, id)
		f.MayNot("north", needed, "task.assign", `{"taskId":%q,"instanceId":%q}`, task, id)
	}
	f.May("north", "task.assign", `{"taskId":%q,"instanceId":"north:1"}`, task)
	f.May("north", "task.claim", `{"workerId":"north:1"}`)
	f.May("north", "task.complete", `{"id":%q,"workerId":"north:1"}`, task)
	f.Verify()
}

// Agents may not declare others dead before the instance TTL.
func TestCheckHealthBeforeTime(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{Tokens: fleettest.FleetTokens(), InstanceTTL: 20 * time.Second})
	f.May("bob", "system.register", `{"id":"b","roles":[]}`)
	f.MayNot("alice", "a timeout below the instance TTL of 20000 ms needs the role operator or admin", "system.check_health", `{"timeout":19999}`)
	f.MayNot("alice", "operator", "system.check_health", `{"timeout":0}`)
	f.May("alice", "system.check_health", `{"timeout":20000}`)
	f.May("alice", "system.check_health", `{}`)
	for _, who := range []string{"ops", "root"} {
		f.May(who, "system.check_health", `{"timeout":0}`)
	}
}

// A caller that names another token's instance does not use up that instance's limit.
func TestRateLimitsAreEachTokensOwn(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{Tokens: fleettest.FleetTokens(), RateLimits: map[string]int{"system.heartbeat": 3}})
	f.May("alice", "system.register", `{"id":"w","roles":[]}`)
	for range 3 {
		f.MayNot("bob", "registered instance w", "system.heartbeat", `{"instanceId":"w"}`)
	}
	if _, err := f.As("bob", "system.heartbeat", `{"instanceId":"w"}`); err == nil || !strings.Contains(err.Error(), "Rate limit") {
		t.Errorf("bob's fourth call: %v", err)
	}
	for range 3 {
		f.May("alice", "system.heartbeat", `{"instanceId":"w"}`)
	}
}

// An idempotency key belongs to its token: another token does not get the answer.
func TestIdempotencyKeysAreEachTokensOwn(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{Tokens: fleettest.FleetTokens()})
	hers := f.May("alice", "task.create", `{"text":"x","idempotencyKey":"k"}`)
	his := f.May("bob", "task.create", `{"text":"x","idempotencyKey":"k"}`)
	if string(hers) == string(his) || string(f.May("alice", "task.create", `{"text":"x","idempotencyKey":"k"}`)) != string(hers) {
		t.Errorf("alice has %s, bob %s", hers, his)
	}
}

// If two tokens register one ID at the same time, it belongs to one of them and the other is
// rejected.
func TestRegisterRaceOfTokens(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{Tokens: fleettest.FleetTokens()})
	for i := range 20 {
		id := fmt.Sprintf("i-%d", i)
		answers := make(chan string, 2)
		for _, who := range []string{"alice", "bob"} {
			go func() {
				result, err := f.As(who, "system.register", `{"id":%q,"roles":[]}`, id)
				answers <- fmt.Sprintf("%s %s %v", who, result, err)
			}()
		}
		first, second := <-answers, <-answers
		won := []string{}
		for _, a := range []string{first, second} {
			if strings.Contains(a, `{"registered":true}`) {
				won = append(won, strings.Fields(a)[0])
			}
		}
		if len(won) != 1 || f.Hash(f.Keys.Instance(id))["owner"] != won[0] {
			t.Errorf("%s, %s; it is %v's", first, second, f.Hash(f.Keys.Instance(id))["owner"])
		}
	}
}
