package commands_test

import (
	"encoding/json"
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

// door is a call with the callers that are allowed to make it. Alice is an agent. She registered w
// and w2, began the batch hers and the decision hers, and created two tasks: {waiting} waits, and w
// has claimed {held}. Bob is another agent. He registered b and created two tasks: {bobs} waits,
// and w has claimed {lent}. The token ops began the decision all.
type door struct {
	params string
	may    []string // other callers get Unauthorized
	told   string   // result for the other callers instead of Unauthorized
}

var (
	callers  = []string{"alice", "bob", "ops", "root", "audit"}
	writing  = []string{"alice", "bob", "ops", "root"}
	forAlice = []string{"alice", "ops", "root"}
	forBob   = []string{"bob", "ops", "root"}
	forAll   = []string{"ops", "root"} // may act for all
	nobody   = []string{}
)

// doors are calls of each method, by role and by ownership.
var doors = map[string][]door{
	"system.register": {
		{params: `{"id":"new","roles":[]}`, may: writing},
		{params: `{"id":"w","roles":["worker"]}`, may: []string{"alice"}, told: `{"registered":false}`},
	},
	"system.heartbeat":  {{params: `{"instanceId":"w"}`, may: forAlice}, {params: `{"instanceId":"b"}`, may: forBob}},
	"system.unregister": {{params: `{"instanceId":"w"}`, may: forAlice}, {params: `{"instanceId":"b"}`, may: forBob}},
	"system.health":     {{params: `{}`, may: callers}},
	"system.check_health": {
		{params: `{}`, may: writing},
		{params: `{"timeout":0}`, may: forAll},
	},
	"system.metrics":     {{params: `{"detailed":true}`, may: callers}},
	"system.get_state":   {{params: `{}`, may: callers}, {params: `{"at":"1"}`, may: []string{"ops", "root", "audit"}}},
	"system.info":        {{params: `{}`, may: callers}},
	"task.cancel_many":   {{params: `{"filter":{"status":"pending"}}`, may: writing}},
	"task.retry_many":    {{params: `{"filter":{"status":"failed"}}`, may: writing}},
	"task.delete_many":   {{params: `{"filter":{"text":"nothing"}}`, may: writing}},
	"limit.set":          {{params: `{"key":"l","concurrent":1}`, may: forAll}},
	"limit.list":         {{params: `{}`, may: callers}},
	"limit.delete":       {{params: `{"key":"l"}`, may: forAll}},
	"queue.pause":        {{params: `{"roles":["x"]}`, may: forAll}},
	"queue.resume":       {{params: `{"roles":["x"]}`, may: forAll}},
	"audit.verify":       {{params: `{}`, may: []string{"ops", "root", "audit"}}},
	"audit.status":       {{params: `{}`, may: callers}},
	"audit.diff":         {{params: `{"from":"1"}`, may: []string{"ops", "root", "audit"}}},
	"system.subscribers": {{params: `{}`, may: callers}},
	"system.batch.process": {
		{params: `{"batchId":"hers","instanceId":"w","items":[1]}`, may: forAlice},
		{params: `{"batchId":"hers","instanceId":"w2","items":[1]}`, may: forAlice},
		{params: `{"batchId":"hers","instanceId":"b","items":[1]}`, may: nobody}, // not even an operator may process it for another token's instance
		{params: `{"batchId":"new","instanceId":"b","items":[1]}`, may: forBob},
	},
	"system.quorum.vote": {
		{params: `{"decision":"hers","instanceId":"w2","value":1}`, may: forAlice},
		{params: `{"decision":"hers","instanceId":"b","value":1}`, may: nobody},
		{params: `{"decision":"hers","instanceId":"b","value":1,"totalInstances":1}`, may: nobody},
		{params: `{"decision":"new","instanceId":"b","value":1,"totalInstances":1}`, may: forBob},
		{params: `{"decision":"all","instanceId":"b","value":1}`, may: forBob},
		{params: `{"decision":"all","instanceId":"w","value":1}`, may: forAlice},
	},
	"system.discover":  {{params: `{}`, may: callers}},
	"system.flush":     {{params: `{"confirm":"FLUSH_ALL_DATA"}`, may: []string{"root"}}},
	"task.create":      {{params: `{"text":"x"}`, may: writing}},
	"task.create_many": {{params: `{"tasks":[{"text":"x"}]}`, may: writing}},
	"task.complete_many": {
		{params: `{"items":[{"id":"{held}","workerId":"w","attempt":1}]}`, may: forAlice},
		{params: `{"items":[{"id":"{lent}"}]}`, may: forAlice},
	},
	"task.update": {
		{params: `{"id":"{waiting}","updates":{"priority":1}}`, may: forAlice},
		{params: `{"id":"{bobs}","updates":{"metadata":{"a":1}}}`, may: forBob},
		{params: `{"id":"{lent}","updates":{"text":"y"}}`, may: writing}, // its creator, and the owner of the instance that has it
		{params: `{"id":"{lent}","updates":{"status":"completed"}}`, may: forAlice},
		{params: `{"id":"{held}","updates":{"status":"pending"}}`, may: forAlice},
	},
	"task.assign": {
		{params: `{"taskId":"{waiting}","instanceId":"w"}`, may: forAlice},
		{params: `{"taskId":"{waiting}","instanceId":"b"}`, may: forAll}, // only bob decides what his instance works on
		{params: `{"taskId":"{bobs}","instanceId":"w"}`, may: forAll},
	},
	"task.unassign": {{params: `{"taskId":"{held}"}`, may: forAlice}, {params: `{"taskId":"{lent}"}`, may: writing}},
	"task.claim":    {{params: `{"workerId":"w"}`, may: forAlice}, {params: `{"workerId":"b"}`, may: forBob}},
	"task.complete": {
		{params: `{"id":"{held}","workerId":"w","attempt":1}`, may: forAlice},
		{params: `{"id":"{held}"}`, may: forAlice},
		{params: `{"id":"{lent}"}`, may: forAlice},
	},
	"task.retry":    {{params: `{"ids":["{held}"]}`, may: writing}},
	"task.progress": {{params: `{"id":"{held}","workerId":"w","attempt":1}`, may: forAlice}},
	"task.cancel": {
		{params: `{"id":"{waiting}"}`, may: forAlice},
		{params: `{"id":"{held}"}`, may: forAlice},
		{params: `{"id":"{lent}"}`, may: writing},
	},
	"hook.record": {{params: `{"hook":{}}`, may: writing}},
	"task.list":   {{params: `{}`, may: callers}},
	"task.get":    {{params: `{"id":"{held}"}`, may: callers}},
	"task.delete": {{params: `{"id":"{waiting}"}`, may: forAlice}, {params: `{"id":"{held}"}`, may: forAlice}, {params: `{"id":"{lent}"}`, may: writing}},

	"schedule.put":    {{params: `{"id":"s","cron":"@daily","task":{"text":"x"}}`, may: forAll}},
	"schedule.get":    {{params: `{"id":"nightly"}`, may: callers}},
	"schedule.list":   {{params: `{}`, may: callers}},
	"schedule.delete": {{params: `{"id":"nightly"}`, may: forAll}},

	"session.list": {{params: `{}`, may: callers}},
	"session.get":  {{params: `{"id":"s"}`, may: callers}},
	"event.get":    {{params: `{"seq":1}`, may: callers}},

	"task.history":     {{params: `{"id":"t-1"}`, may: callers}},
	"instance.history": {{params: `{"id":"w"}`, may: callers}},
	"event.list":       {{params: `{}`, may: callers}},
}

func TestWhoIsLetIn(t *testing.T) {
	t.Parallel()
	list, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	client := fleettest.RealRedis(t)
	for _, m := range list {
		if len(doors[m.Name]) == 0 {
			t.Errorf("%s: who is let in?", m.Name)
		}
		for _, d := range doors[m.Name] {
			for _, who := range callers {
				f := fleettest.New(t, client, commands.Options{Tokens: fleettest.FleetTokens()})
				f.Unhurried()
				params := ownedBy(t, f).Replace(d.params)
				before := f.Seq()
				result, err := f.As(who, m.Name, "%s", params)
				var known *api.Error
				unauthorized := errors.As(err, &known) && known.Code == api.CodeUnauthorized ||
					m.CountsAs != "" && strings.Contains(string(result), fmt.Sprintf(`"answers":[{"error":{"code":%d,`, api.CodeUnauthorized))
				switch {
				case slices.Contains(d.may, who):
					// Without Postgres, what reads the view fails.
					if err != nil && !fleettest.InternalError(err, api.PostgresUnavailable) || d.told != "" && string(result) == d.told {
						t.Errorf("%s calls %s %s: %s, %v", who, m.Name, params, result, err)
					}
				case d.told != "" && err == nil:
					if string(result) != d.told {
						t.Errorf("%s calls %s %s and is told %s", who, m.Name, params, result)
					}
				case !unauthorized:
					t.Errorf("%s calls %s %s: %s, %v; want Unauthorized", who, m.Name, params, result, err)
				}
				if !slices.Contains(d.may, who) && f.Seq() != before {
					t.Errorf("%s calls %s %s, which is refused and yet emits", who, m.Name, params)
				}
			}
		}
	}
}

// ownedBy creates what the doors refer to, and returns a replacer for the task IDs.
func ownedBy(t *testing.T, f *fleettest.Fleet) *strings.Replacer {
	t.Helper()
	create := func(who string) string {
		return fleettest.Decoded[fleettest.Task](t, f.May(who, "task.create", `{"text":"x"}`)).ID
	}
	f.May("alice", "system.register", `{"id":"w","roles":[]}`)
	f.May("alice", "system.register", `{"id":"w2","roles":[]}`)
	f.May("bob", "system.register", `{"id":"b","roles":[]}`)
	f.May("ops", "system.register", `{"id":"o","roles":[]}`)
	held, lent := create("alice"), create("bob")
	f.May("alice", "task.claim", `{"workerId":"w","maxTasks":2}`)
	waiting, bobs := create("alice"), create("bob")
	f.May("alice", "system.batch.process", `{"batchId":"hers","instanceId":"w","items":[1]}`)
	f.May("alice", "system.quorum.vote", `{"decision":"hers","instanceId":"w","value":1,"totalInstances":3}`)
	f.May("ops", "system.quorum.vote", `{"decision":"all","instanceId":"o","value":1,"totalInstances":9}`)
	f.May("ops", "schedule.put", `{"id":"nightly","cron":"@daily","task":{"text":"x"}}`)
	return strings.NewReplacer("{waiting}", waiting, "{bobs}", bobs, "{held}", held, "{lent}", lent)
}

// Another token cannot assign junk to an instance, so the instance claims the best task.
func TestNobodyFillsAnothersInstance(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens()}, func(t *testing.T, f *fleettest.Fleet) {
		f.May("bob", "system.register", `{"id":"b","roles":[]}`)
		for range 3 {
			junk := fleettest.Decoded[fleettest.Task](t, f.May("alice", "task.create", `{"text":"junk","priority":0}`)).ID
			f.MayNot("alice", "the token that registered instance b", "task.assign", `{"taskId":%q,"instanceId":"b"}`, junk)
		}
		best := fleettest.Decoded[fleettest.Task](t, f.May("bob", "task.create", `{"text":"x","priority":100}`)).ID
		if got := fleettest.Decoded[fleettest.Claim](t, f.May("bob", "task.claim", `{"workerId":"b"}`)); got.TaskID != best {
			t.Errorf("claimed %+v", got)
		}
	})
}

// Batches and decisions without an owner, from an older version, continue. Such a batch belongs to
// the token of the instance that processes it. Such a decision is open to all.
func TestWhatHasNoOwnerGoesOn(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens()}, func(t *testing.T, f *fleettest.Fleet) {
		f.May("alice", "system.register", `{"id":"w","roles":[]}`)
		f.May("bob", "system.register", `{"id":"b","roles":[]}`)
		f.May("alice", "system.batch.process", `{"batchId":"x","instanceId":"w","items":[1]}`)
		f.May("alice", "system.quorum.vote", `{"decision":"x","instanceId":"w","value":1,"totalInstances":3}`)
		f.Put([]any{"HDEL", f.Keys.Batch("x", "status"), "owner"}, []any{"HDEL", f.Keys.Quorum("x", "metadata"), "owner"})
		f.MayNot("bob", "the token that began the batch x, or another id", "system.batch.process", `{"batchId":"x","instanceId":"b","items":[1]}`)
		if got := string(f.May("alice", "system.batch.process", `{"batchId":"x","instanceId":"w","items":[1]}`)); !strings.Contains(got, `"processed":true`) {
			t.Errorf("answered %s", got)
		}
		f.May("ops", "system.batch.process", `{"batchId":"x","instanceId":"b","items":[1]}`)
		f.May("bob", "system.quorum.vote", `{"decision":"x","instanceId":"b","value":1}`)
	})
}

// An agent's system.check_health declares nobody dead during the monitor's patience after an
// outage.
func TestAgentsWaitForThePatience(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens(), InstanceTTL: 20 * time.Second}, func(t *testing.T, f *fleettest.Fleet) {
		f.May("bob", "system.register", `{"id":"b","roles":[]}`)
		f.Put([]any{"ZADD", f.Keys.Alive(), "XX", 1000, "b"}) // silent during the outage
		check := func(want string) {
			t.Helper()
			var got struct{ Failed json.RawMessage }
			for _, params := range []string{`{}`, `{"timeout":20000}`, `{"timeout":20001}`} {
				got = fleettest.Decoded[struct{ Failed json.RawMessage }](t, f.May("alice", "system.check_health", "%s", params))
				if string(got.Failed) != "[]" {
					break
				}
			}
			if string(got.Failed) != want {
				t.Errorf("declared dead are %s, want %s", got.Failed, want)
			}
		}
		check(`[]`) // the monitor has not run yet
		if err := f.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(`[]`)
		f.Watched()
		check(fmt.Sprintf("[%q]", "b"))
	})
}
