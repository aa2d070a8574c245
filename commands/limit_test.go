package commands_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestRateLimit(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"system.heartbeat": 5, "task.create": 3, "task.get": 0}}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("a", `[]`, "")
		for range 5 {
			f.OK("system.heartbeat", `{"instanceId":"a"}`)
		}
		got := f.Limited(api.Request{Method: "system.heartbeat", Params: json.RawMessage(`{"instanceId":"a"}`)})
		if got.Limit != 5 || got.WindowMs != 60_000 || got.RetryAfterMs < 1 || got.RetryAfterMs > 60_000 {
			t.Errorf("refused with %+v", got)
		}
		f.OK("system.heartbeat", `{"instanceId":"b"}`) // another instance has its own limit
		for range 20 {
			f.Refused(api.CodeNotFound, `{"id":"t-99"}`, "task.get", `{"id":"t-99"}`)
		}
		// A call that names no instance counts for the token, else for the address.
		create := func(caller, addr string) api.Request {
			return api.Request{Method: "task.create", Params: json.RawMessage(`{"text":"x"}`), Caller: caller, Addr: addr}
		}
		for _, who := range [][2]string{{"token", "192.0.2.7"}, {"", "192.0.2.7"}, {"", "192.0.2.8"}} {
			for range 3 {
				if _, err := f.Call(t.Context(), create(who[0], who[1])); err != nil {
					t.Fatalf("%v: %v", who, err)
				}
			}
			f.Limited(create(who[0], who[1]))
		}
		f.Limited(create("token", "192.0.2.9"))
	})
}

// A call that is repeated with its idempotency key counts like any other call.
func TestRepeatsAreCounted(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.create": 3}}, func(t *testing.T, f *fleettest.Fleet) {
		create := `{"text":"x","idempotencyKey":"k"}`
		first := f.OK("task.create", "%s", create)
		for range 2 {
			if again := f.OK("task.create", "%s", create); string(again) != string(first) {
				t.Errorf("answered %s", again)
			}
		}
		f.Limited(api.Request{Method: "task.create", Params: json.RawMessage(create), Addr: "192.0.2.1"})
	})
}

// Each instance of a token has its own limit, and all of them have one together, so inventing IDs
// does not bypass the limits.
func TestRateLimitOfAToken(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{
		Tokens: fleettest.FleetTokens(), RateLimits: map[string]int{"system.register": 2, "system.heartbeat": 0, "task.claim": 2},
		TokenRateLimits: map[string]int{"system.heartbeat": 3, "task.claim": 0},
	}, func(t *testing.T, f *fleettest.Fleet) {
		call := func(token, method, id string) (json.RawMessage, error) {
			params := `{"id":%q,"roles":[]}`
			if method != "system.register" {
				params = `{"workerId":%q}`
			}
			if method == "system.heartbeat" {
				params = `{"instanceId":%q}`
			}
			return f.As(token, method, params, id)
		}
		limited := func(token, method, id, data string) {
			t.Helper()
			_, err := call(token, method, id)
			if known := (*api.Error)(nil); !errors.As(err, &known) || known.Code != api.CodeRateLimited || !strings.Contains(err.Error(), data) {
				t.Errorf("%s by %s for %s: %v, want a limit with %s", method, token, id, err, data)
			}
		}
		for i := range 10 {
			if _, err := call("alice", "system.register", fmt.Sprint("a", i)); err != nil {
				t.Fatal(err)
			}
		}
		limited("alice", "system.register", "a10", `"scope":"token"`)
		for range 2 {
			f.May("bob", "system.register", `{"id":"b","roles":["worker"]}`)
		}
		limited("bob", "system.register", "b", `"limit":2`)
		f.May("bob", "system.register", `{"id":"b2","roles":[]}`) // the rejected calls for b do not count for bob
		for i := range 3 {
			f.May("bob", "system.heartbeat", `{"instanceId":"b%d"}`, i)
		}
		limited("bob", "system.heartbeat", "b", `"limit":3`)
		for i := range 20 { // the token has no limit here
			if _, err := call("alice", "task.claim", fmt.Sprint("a", i)); err != nil && !strings.Contains(err.Error(), "not registered") {
				t.Fatal(err)
			}
		}
	})
}

// countedCalls are calls of each method with every outcome that a script decides. w is registered
// and has claimed the task %[1]s. The task %[2]s waits and has roles in its metadata.
var countedCalls = map[string][]string{
	"system.register":      {`{"id":"w","roles":["worker"],"metadata":{"sessionId":"s"}}`, `{"id":"w","roles":["worker"],"metadata":{"sessionId":"s"}}`},
	"system.heartbeat":     {`{"instanceId":"w"}`, `{"instanceId":"nobody"}`},
	"system.unregister":    {`{"instanceId":"nobody"}`, `{"instanceId":"w","sessionId":"another"}`},
	"system.health":        {`{}`},
	"system.check_health":  {`{}`, `{"timeout":60000}`},
	"system.metrics":       {`{}`, `{"detailed":true}`},
	"system.get_state":     {`{}`, `{"at":"1"}`},
	"system.info":          {`{}`},
	"audit.verify":         {`{}`, `{}`},
	"task.retry":           {`{"id":%[2]q}`, `{"id":"t-999"}`, `{"ids":[%[2]q,"t-999"]}`},
	"task.cancel_many":     {`{"filter":{"status":"pending"}}`},
	"task.retry_many":      {`{"filter":{"status":"failed"}}`},
	"task.delete_many":     {`{"filter":{"status":"failed"}}`},
	"limit.set":            {`{"key":"l","concurrent":1}`, `{"key":"l","concurrent":1}`},
	"limit.list":           {`{}`},
	"limit.delete":         {`{"key":"l"}`, `{"key":"l"}`},
	"queue.pause":          {`{"roles":["x"]}`, `{"roles":["x"]}`},
	"queue.resume":         {`{"roles":["x"]}`, `{"roles":["x"]}`},
	"audit.status":         {`{}`},
	"audit.diff":           {`{"from":"0"}`},
	"system.subscribers":   {`{}`},
	"system.batch.process": {`{"batchId":"b","instanceId":"w","items":[1,2]}`, `{"batchId":"b","instanceId":"w","items":[1,2]}`, `{"batchId":"b","instanceId":"w","items":[3]}`, `{"batchId":"b","instanceId":"nobody","items":[1]}`, `{"batchId":"many","instanceId":"w","items":[` + strings.Repeat("0,", 149) + `0]}`},
	"system.quorum.vote":   {`{"instanceId":"w","decision":"d","value":1}`, `{"instanceId":"w","decision":"d","value":1}`, `{"instanceId":"w","decision":"d","value":1,"totalInstances":9}`, `{"instanceId":"nobody","decision":"d","value":1}`},
	"system.discover":      {`{}`, `{"domain":"task"}`},
	"task.create":          {`{"text":"x"}`, `{"text":"x","idempotencyKey":"k"}`, `{"text":"x","idempotencyKey":"k"}`, `{"text":"y","idempotencyKey":"k"}`},
	"task.create_many":     {`{"tasks":[{"text":"x"}]}`, `{"tasks":[{"text":"x","idempotencyKey":"k"}]}`, `{"tasks":[{"text":"x","idempotencyKey":"k"}]}`, `{"tasks":[{"text":"y","idempotencyKey":"k"}]}`},
	"task.update":          {`{"id":%[2]q,"updates":{"text":"y"}}`, `{"id":%[2]q,"updates":{"metadata":{"a":1}}}`, `{"id":"t-0","updates":{"metadata":{"a":1}}}`, `{"id":"t-0","updates":{"text":"y"}}`, `{"id":%[2]q,"updates":{"status":"completed","metadata":{"b":1}}}`},
	"task.assign":          {`{"taskId":%[1]q,"instanceId":"w"}`, `{"taskId":"t-0","instanceId":"w"}`, `{"taskId":%[2]q,"instanceId":"nobody"}`},
	"task.unassign":        {`{"taskId":%[2]q}`, `{"taskId":"t-0"}`},
	"task.claim":           {`{"workerId":"w","idempotencyKey":"c"}`, `{"workerId":"w","idempotencyKey":"c"}`, `{"workerId":"nobody"}`, `{"workerId":"w"}`},
	"task.complete":        {`{"id":%[2]q}`, `{"id":"t-0"}`, `{"id":%[1]q,"workerId":"w","attempt":9}`, `{"id":%[1]q,"workerId":"other"}`, `{"id":%[1]q,"workerId":"w","attempt":1,"idempotencyKey":"f"}`, `{"id":%[1]q,"workerId":"w","attempt":1,"idempotencyKey":"f"}`},
	"task.complete_many":   {`{"items":[{"id":%[2]q}]}`, `{"items":[{"id":%[1]q,"workerId":"w","attempt":9}]}`, `{"items":[{"id":%[1]q,"workerId":"w","attempt":1}]}`},
	"task.progress":        {`{"id":%[1]q,"workerId":"w","attempt":1}`, `{"id":%[1]q,"workerId":"w","attempt":9}`, `{"id":"t-0","workerId":"w","attempt":1}`},
	"task.cancel":          {`{"id":%[2]q}`, `{"id":%[2]q}`, `{"id":%[1]q}`, `{"id":"t-0"}`},
	"task.list":            {`{}`}, // there is no view
	"task.get":             {`{"id":%[1]q}`, `{"id":"t-0"}`},
	"hook.record":          {`{"hook":{"session_id":"s","hook_event_name":"Stop"}}`, `{"hook":{"session_id":"s","hook_event_name":"TaskCreated","task_id":1}}`},
	"task.delete":          {`{"id":"t-0"}`, `{"id":%[2]q}`},
	"schedule.put":         {`{"id":"s","cron":"@daily","task":{"text":"x"}}`, `{"id":"s","cron":"@daily","task":{"text":"x"},"paused":true}`},
	"schedule.get":         {`{"id":"s"}`, `{"id":"nobody"}`},
	"schedule.list":        {`{}`},
	"schedule.delete":      {`{"id":"nobody"}`, `{"id":"s"}`},
	"session.list":         {`{}`}, // there is no view
	"session.get":          {`{"id":"s"}`},
	"event.get":            {`{"seq":1}`},
	"task.history":         {`{"id":"t-1"}`},
	"instance.history":     {`{"id":"w"}`},
	"event.list":           {`{}`},
}

// Every call that reaches a script counts once for the actor, whatever its outcome, and is rejected
// beyond the limit. The limit of system.flush differs: all callers share it.
func TestEachCallCountsOnce(t *testing.T) {
	t.Parallel()
	list, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		calls := countedCalls[m.Name]
		if m.Name == "system.flush" {
			continue
		}
		if len(calls) == 0 {
			t.Errorf("no calls of %s in the table", m.Name)
		}
		t.Run(m.Name, func(t *testing.T) {
			fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
				held, waits := f.Create("held", ""), f.Create("waits", `,"metadata":{"roles":["x"]}`)
				f.Register("w", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
				if f.Claim("w") != held {
					t.Fatal("not claimed")
				}
				f.With(func(o *commands.Options) {
					o.RateLimits = fleettest.Unlimited()
					o.RateLimits[cmp.Or(m.CountsAs, m.Name)] = len(calls)
				})
				for i, params := range calls {
					params = fmt.Sprintf(params+"%.0[1]s%.0[2]s", held, waits)
					_, err := f.Call(t.Context(), api.Request{Method: m.Name, Params: json.RawMessage(params), Addr: "192.0.2.1"})
					if known := (*api.Error)(nil); err != nil && (!errors.As(err, &known) || known.Code == api.CodeInvalidParams || known.Code == api.CodeRateLimited) {
						t.Errorf("%s: %v", params, err)
					}
					if n := counted(t, f, m.Name); n != i+1 {
						t.Fatalf("after %d calls, the last one %.200s, %d are counted", i+1, params, n)
					}
				}
			})
		})
	}
}

// counted returns the number of calls of a method in the current windows of all actors.
func counted(t *testing.T, f *fleettest.Fleet, method string) (sum int) {
	t.Helper()
	for _, key := range f.Scan(f.Keys.Prefix() + "ratelimit:" + cmp.Or(f.Method(method).CountsAs, method) + ":*") {
		n, err := strconv.Atoi(f.Hash(key)["current"])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// A call that merges metadata again and again, because others keep changing it, counts once.
func TestAnUpdateThatMergesAgainCountsOnce(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.update": 20}}, func(t *testing.T, f *fleettest.Fleet) {
		id := f.Create("x", `,"metadata":{"a":0}`)
		var callers sync.WaitGroup
		for i := range 20 {
			callers.Go(func() {
				_, err := f.Do("task.update", fmt.Sprintf(`{"id":%q,"updates":{"metadata":{"k%d":1}}}`, id, i))
				if known := (*api.Error)(nil); err != nil && (!errors.As(err, &known) || known.Code != api.CodeConflict) {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if n := counted(t, f, "task.update"); n != 20 {
			t.Errorf("%d calls are counted", n)
		}
	})
}

// The window slides: half a minute after a full window, half of its calls still count. After the
// wait that the error returns, a call passes.
func TestRateLimitSlides(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.create": 10}}, func(t *testing.T, f *fleettest.Fleet) {
		counters := f.Keys.Prefix() + "ratelimit:task.create:192.0.2.1"
		set := func(ago time.Duration, previous, current int) {
			f.Put([]any{"HSET", counters, "start", time.Now().Add(-ago).UnixMilli(), "previous", previous, "current", current})
		}
		create := api.Request{Method: "task.create", Params: json.RawMessage(`{"text":"x"}`), Addr: "192.0.2.1"}
		passes := func(n int) {
			t.Helper()
			for i := range n {
				if _, err := f.Call(t.Context(), create); err != nil {
					t.Fatalf("call %d: %v", i, err)
				}
			}
			if got := f.Limited(create); got.RetryAfterMs > 60_000 || got.RetryAfterMs < 1 {
				t.Errorf("wait for %d ms", got.RetryAfterMs)
			}
		}
		set(31*time.Second, 10, 0) // 4.8 of the ten count
		passes(6)
		set(91*time.Second, 0, 10) // the current window has become the previous one: as above
		passes(6)
		set(125*time.Second, 10, 10) // nothing counts any longer
		passes(10)
		set(-time.Hour, 10, 10) // the clock went back
		passes(10)

		set(30*time.Second, 10, 6)
		wait := f.Limited(create).RetryAfterMs
		set(30*time.Second+time.Duration(wait+500)*time.Millisecond, 10, 6) // half a second for the calls that passed before the rejection
		if _, err := f.Call(t.Context(), create); err != nil {
			t.Errorf("after waiting %d ms as told: %v", wait, err)
		}
		began := time.Now().Add(-10 * time.Second).UnixMilli()
		f.Put([]any{"HSET", counters, "start", began, "previous", 0, "current", 10})
		wait = f.Limited(create).RetryAfterMs
		if wait < 49_000 || wait > 50_001 {
			t.Errorf("wait for %d ms, want 50 s", wait)
		}
		f.Put([]any{"HSET", counters, "start", began - wait})
		if _, err := f.Call(t.Context(), create); err != nil {
			t.Errorf("after waiting %d ms for a new window: %v", wait, err)
		}
		set(10*time.Second, 0, 20) // the limit was lowered in the meantime
		if wait = f.Limited(create).RetryAfterMs; wait != 60_000 {
			t.Errorf("wait for %d ms, want a window", wait)
		}
		if ttl := f.Client.PTTL(t.Context(), counters).Val(); ttl <= 0 || ttl > 2*time.Minute {
			t.Errorf("the counters are kept for %v", ttl)
		}
	})
}

// Concurrent calls share a run of a script, and each of them counts.
func TestRateLimitOfCallsAtOnce(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.create": 10}}, func(t *testing.T, f *fleettest.Fleet) {
		create := api.Request{Method: "task.create", Params: json.RawMessage(`{"text":"x"}`), Addr: "192.0.2.1"}
		var passed, refused atomic.Int64
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				_, err := f.Call(t.Context(), create)
				var known *api.Error
				switch {
				case err == nil:
					passed.Add(1)
				case errors.As(err, &known) && known.Code == api.CodeRateLimited:
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if passed.Load() != 10 || refused.Load() != 90 {
			t.Errorf("%d calls passed and %d were refused, want 10 and 90", passed.Load(), refused.Load())
		}
		counters := f.Client.HGetAll(t.Context(), f.Keys.Prefix()+"ratelimit:task.create:192.0.2.1").Val()
		if counters["current"] != "10" || counters["previous"] != "0" {
			t.Errorf("counted %v", counters)
		}
	})
}

func TestRateLimitsOfMethodsThatAreNotThere(t *testing.T) {
	t.Parallel()
	if _, err := commands.New(commands.Options{RateLimits: map[string]int{"task.nothing": 1}}); err == nil || !strings.Contains(err.Error(), "task.nothing") {
		t.Errorf("a limit for no method: %v", err)
	}
}

// Long params count by their bytes, for all methods and all instances of a token together. Short
// params and reads do not count.
func TestBytesAreLimited(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens(), ByteLimit: 100_000}, func(t *testing.T, f *fleettest.Fleet) {
		long := strings.Repeat("x", 30_000)
		create := `{"text":"a","metadata":{"long":"` + long + `"}}`
		id := fleettest.Decoded[api.Task](t, f.May("alice", "task.create", "%s", create)).ID
		f.May("alice", "task.update", `{"id":%q,"updates":{"metadata":{"more":%q}}}`, id, long)
		f.May("alice", "task.create", "%s", create)
		f.May("alice", "task.create", "%s", create) // the bytes before this call were below the limit
		before := f.Seq()
		_, err := f.As("alice", "task.create", "%s", create)
		known := &api.Error{}
		if !errors.As(err, &known) || known.Code != api.CodeRateLimited || !strings.Contains(err.Error(), `"limit":100000`) ||
			!strings.Contains(err.Error(), `"scope":"bytes"`) || f.Seq() != before {
			t.Errorf("beyond the limit: %v", err)
		}
		for range 50 {
			f.May("alice", "task.create", `{"text":"short"}`)
			f.May("alice", "task.get", `{"id":%q}`, id)
		}
		f.May("bob", "task.create", "%s", create)
		// A minute later, half of the bytes are in the previous window.
		f.Put([]any{"HINCRBY", f.Keys.Prefix() + "ratelimit:bytes:alice", "start", -110_000})
		f.May("alice", "task.create", "%s", create)
	})
}

// The bytes of whole tasks in answers are limited too. Otherwise a short call, repeated, could keep
// Redis busy with a large task until the calls of others time out.
func TestBytesOfAnswersAreLimited(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens(), ByteLimit: 100_000}, func(t *testing.T, f *fleettest.Fleet) {
		create := `{"text":"a","metadata":{"long":"` + strings.Repeat("x", 30_000) + `"}}`
		id := fleettest.Decoded[api.Task](t, f.May("alice", "task.create", "%s", create)).ID
		f.May("alice", "system.register", `{"id":"a","roles":["worker"],"metadata":{"maxTasks":0}}`)
		limited := func(token, method, params string, args ...any) {
			t.Helper()
			before := f.Seq()
			_, err := f.As(token, method, params, args...)
			known := &api.Error{}
			if !errors.As(err, &known) || known.Code != api.CodeRateLimited || !strings.Contains(err.Error(), `"limit":100000`) ||
				!strings.Contains(err.Error(), `"scope":"bytes"`) || f.Seq() != before {
				t.Errorf("%s beyond the limit: %v", method, err)
			}
		}
		const claim, update = `{"workerId":"a","idempotencyKey":"k"}`, `{"id":%q,"updates":{"priority":5}}`
		f.May("alice", "task.claim", claim)
		f.May("alice", "task.claim", claim)
		f.May("alice", "task.update", update, id)
		f.May("alice", "task.update", update, id) // the bytes before this call were below the limit
		limited("alice", "task.claim", claim)
		limited("alice", "task.update", update, id)
		limited("alice", "task.update", `{"id":%q,"updates":{"metadata":{"more":1}}}`, id)
		f.May("alice", "task.complete", `{"id":%q,"workerId":"a","attempt":1}`, id)

		// Other callers have their own limits, and short answers do not count.
		f.May("bob", "system.register", `{"id":"b","roles":["worker"],"metadata":{"maxTasks":0}}`)
		for range 50 {
			short := fleettest.Decoded[api.Task](t, f.May("bob", "task.create", `{"text":"short"}`)).ID
			f.May("bob", "task.claim", `{"workerId":"b"}`)
			f.May("bob", "task.update", update, short)
		}
		id = fleettest.Decoded[api.Task](t, f.May("bob", "task.create", "%s", create)).ID
		// A change of metadata also reads the task.
		f.May("bob", "task.update", `{"id":%q,"updates":{"metadata":{"more":1}}}`, id)
		f.May("bob", "task.update", `{"id":%q,"updates":{"metadata":{"more":1}}}`, id)
		limited("bob", "task.update", update, id)
	})
}
