package commands_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/lua"
)

// steppedCalls are the calls that write, in one or in several scripts. They do not include a flush,
// which retries its steps and is tested in internal/flush.
var steppedCalls = map[string]struct {
	method, params string
	prepare        func(f *fleettest.Fleet)
	began          string // part of the result if the call was cut short
}{
	"create":   {method: "task.create", params: `{"text":"x"}`},
	"claim":    {method: "task.claim", params: `{"workerId":"w","maxTasks":3}`, prepare: func(f *fleettest.Fleet) { f.Register("w", `[]`, ""); f.Create("x", "") }},
	"complete": {method: "task.complete", params: `{"id":"t-1"}`, prepare: assigned},
	"assign": {
		method: "task.assign", params: `{"taskId":"t-1","instanceId":"w"}`,
		prepare: func(f *fleettest.Fleet) { f.Create("x", ""); f.Register("w", `[]`, "") },
	},
	"unassign":       {method: "task.unassign", params: `{"taskId":"t-1"}`, prepare: assigned},
	"delete":         {method: "task.delete", params: `{"id":"t-1"}`, prepare: assigned},
	"update":         {method: "task.update", params: `{"id":"t-1","updates":{"status":"completed","priority":7}}`, prepare: assigned},
	"metadata":       {method: "task.update", params: `{"id":"t-1","updates":{"metadata":{"a":1}}}`, prepare: assigned},
	"progress":       {method: "task.progress", params: `{"id":"t-1","workerId":"w","attempt":1,"percent":1}`, prepare: claimed},
	"cancel":         {method: "task.cancel", params: `{"id":"t-1"}`, prepare: claimed},
	"retry":          {method: "task.retry", params: `{"id":"t-1"}`, prepare: failed},
	"retry of many":  {method: "task.retry", params: `{"ids":["t-9","t-1","t-2","t-3"]}`, prepare: failed, began: `"reason":"`},
	"limit":          {method: "limit.set", params: `{"key":"l","concurrent":0}`, prepare: claimed},
	"pause":          {method: "queue.pause", params: `{}`},
	"schedule":       {method: "schedule.put", params: `{"id":"s","cron":"@daily","task":{"text":"x"}}`},
	"vote":           {method: "system.quorum.vote", params: `{"instanceId":"w","decision":"d","value":1,"totalInstances":1}`, prepare: assigned},
	"heartbeat":      {method: "system.heartbeat", params: `{"instanceId":"w"}`, prepare: assigned},
	"register":       {method: "system.register", params: `{"id":"v","roles":["worker"]}`, prepare: func(f *fleettest.Fleet) { f.Create("x", "") }},
	"register again": {method: "system.register", params: `{"id":"w","roles":["worker"]}`, prepare: working},
	"unregister":     {method: "system.unregister", params: `{"instanceId":"w"}`, prepare: func(f *fleettest.Fleet) { working(f); f.Register("heir", `["worker"]`, "") }},
	"batch": {
		method: "system.batch.process", params: `{"batchId":"b","instanceId":"w","items":` + fleettest.ItemsOf(120) + `}`,
		prepare: func(f *fleettest.Fleet) { f.Register("w", `[]`, "") }, began: `"processed":false`,
	},
	"cancel by filter": {method: "task.cancel_many", params: `{"filter":{"status":"pending"}}`, began: `"incomplete":true`, prepare: func(f *fleettest.Fleet) {
		v := &fleettest.View{} // finds more tasks than a round trip changes
		f.With(func(o *commands.Options) { o.Tasks = v })
		for range 150 {
			v.Tasks = append(v.Tasks, f.OK("task.create", `{"text":"x"}`))
		}
	}},
	"check of many": {method: "system.check_health", params: `{"timeout":0}`, began: `"incomplete":true`, prepare: func(f *fleettest.Fleet) {
		working(f)
		for i := range 30 {
			f.Register(fmt.Sprint("dead", i), `[]`, "")
		}
	}},
	"check of what was left": {method: "system.check_health", params: `{}`, began: `"incomplete":true`, prepare: func(f *fleettest.Fleet) {
		working(f)
		if _, err := f.Scripts.Run(context.Background(), lua.Named("unregister_instance"), lua.EventContext("w", "", ""), "", 0, "w", "", ""); err != nil {
			f.T.Fatalf("unregister: %v", err)
		}
		f.Register("heir", `[]`, "")
	}},
}

// assigned creates the task t-1 and assigns it to w.
func assigned(f *fleettest.Fleet) {
	id := f.Create("x", "")
	f.Register("w", `[]`, "")
	f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
}

// claimed creates the task t-1, which w has claimed, and others with a limitKey.
func claimed(f *fleettest.Fleet) {
	f.Create("x", `,"priority":100,"limitKey":"l"`)
	f.Create("x", `,"limitKey":"l"`)
	f.Register("w", `[]`, "")
	f.Claim("w")
}

// failed creates the tasks t-1 to t-3, which have failed.
func failed(f *fleettest.Fleet) {
	for range 3 {
		f.Create("x", "")
	}
	f.Register("w", `[]`, "")
	f.OK("task.claim", `{"workerId":"w","maxTasks":3}`)
	for n := range 3 {
		f.OK("task.complete", `{"id":"t-%d","error":1}`, n+1)
	}
}

// working makes w a worker that holds 30 claimed tasks.
func working(f *fleettest.Fleet) {
	for range 30 {
		f.Create("x", "")
	}
	f.Register("w", `["worker"]`, "")
	for range 3 {
		f.OK("task.claim", `{"workerId":"w","maxTasks":10}`)
	}
}

// redisReply is an error reply of Redis.
type redisReply string

func (e redisReply) Error() string { return string(e) }
func (redisReply) RedisError()     {}

// failures are the ways in which a script fails. sent is set if the script may have run.
var failures = map[string]struct {
	sent bool
	fail func(o *outage, run func() error) error
}{
	"refused": {fail: func(*outage, func() error) error {
		return &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}},
	"read-only": {fail: func(*outage, func() error) error {
		return redisReply("READONLY You can't write against a read only replica.")
	}},
	"full": {fail: func(*outage, func() error) error {
		return redisReply("OOM command not allowed when used memory > 'maxmemory'.")
	}},
	"lost":  {sent: true, fail: func(_ *outage, run func() error) error { _ = run(); return io.EOF }},
	"hangs": {sent: true, fail: func(o *outage, run func() error) error { <-o.over; return run() }},
	"fenced": {fail: func(o *outage, run func() error) error {
		if err := o.fleet.Client.HSet(context.Background(), o.fleet.Keys.Log(), "fence", "another").Err(); err != nil {
			return err
		}
		return run()
	}},
}

// attempts is how often a script fails before the deadline passes. The next attempt is 160 ms later.
const attempts = 5

// outage makes the scripts of one call fail, beginning with one of them.
type outage struct {
	fleet   *fleettest.Fleet
	failure string
	caller  context.CancelFunc // ends the caller's context
	left    atomic.Int64       // number of scripts that run before the failure
	wasHit  atomic.Bool
	// attempts is how often a script has failed.
	attempts atomic.Int64
	over     chan struct{}
	under    sync.WaitGroup
}

func (*outage) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*outage) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (o *outage) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		select {
		case <-o.over:
			return next(ctx, cmds)
		default:
		}
		if !strings.HasPrefix(cmds[0].Name(), "eval") || o.left.Add(-1) >= 0 {
			return next(ctx, cmds)
		}
		o.under.Add(1)
		defer o.under.Done()
		o.wasHit.Store(true)
		// The deadline passes while a script hangs, or else long before the next attempt, whose outcome
		// would be unknown.
		if n := o.attempts.Add(1); n == 1 && failures[o.failure].sent || n == attempts {
			time.AfterFunc(50*time.Millisecond, o.caller)
		}
		err := failures[o.failure].fail(o, func() error { return next(ctx, cmds) })
		if err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

// An error other than "Outcome unknown" means that nothing changed, whatever fails in whichever
// step of a call. The log then contains no event of the call.
func TestAnErrorSaysThatNothingChanged(t *testing.T) {
	t.Parallel()
	client := fleettest.RealRedis(t)
	for _, name := range lua.Names() { // one that Redis does not know yet is sent twice, the second time after the outage
		for _, s := range []*lua.Script{lua.Named(name), lua.Named(name).Lot} {
			if s == nil {
				continue
			}
			if err := client.ScriptLoad(t.Context(), s.Source).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, call := range steppedCalls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for failure := range failures {
				for step := int64(0); ; step++ {
					f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
					f.Unhurried()
					if call.prepare != nil {
						call.prepare(f)
					}
					before := f.Seq()
					result, hit, err := duringOutage(t, f, failure, step, call.method, call.params)
					if !hit {
						if err != nil {
							t.Errorf("undisturbed, it answered %v", err)
						}
						break
					}
					changed := f.Seq() != before
					var known *api.Error
					isError := errors.As(err, &known)
					unknown := isError && known.Failure() == api.OutcomeUnknown
					where := fmt.Sprintf("%s at step %d answered %s %v", failure, step, result, err)
					switch {
					case isError && !unknown && changed:
						t.Errorf("%s, and the log has events of it", where)
					case unknown && !failures[failure].sent:
						t.Errorf("%s, and yet it is known", where)
					case !isError && step == 0 && failure != "fenced": // heartbeats pass a fence
						t.Errorf("%s, and nothing has happened", where)
					case !isError && call.began != "" && !strings.Contains(string(result), call.began):
						t.Errorf("%s, which does not tell that it was cut short", where)
					}
					f.Verify()
				}
			}
		})
	}
}

// duringOutage makes a call, fails one of its steps, and waits until all work of the call has
// ended. It reports whether the call had such a step.
func duringOutage(t *testing.T, f *fleettest.Fleet, failure string, step int64, method, params string) (result json.RawMessage, hit bool, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := &outage{fleet: f, failure: failure, caller: cancel, over: make(chan struct{})}
	o.left.Store(step)
	f.Client.AddHook(o)
	result, err = f.Call(ctx, api.Request{Method: method, Params: json.RawMessage(params), Addr: "192.0.2.1"})
	close(o.over)
	o.under.Wait()
	if err := f.Client.HDel(t.Context(), f.Keys.Log(), "fence").Err(); err != nil {
		t.Fatal(err)
	}
	return result, o.wasHit.Load(), err
}
