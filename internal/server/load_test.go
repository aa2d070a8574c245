package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// margin is how long a response may take beyond its method's timeout on a busy machine.
const margin = 2 * time.Second

// timeouts are the documented timeouts.
var timeouts = map[string]time.Duration{
	"system.register": 5 * time.Second, "system.heartbeat": 2 * time.Second, "system.unregister": 5 * time.Second,
	"system.check_health": 5 * time.Second, "system.metrics": 3 * time.Second, "system.get_state": 5 * time.Second, "audit.diff": 30 * time.Second, "system.subscribers": 3 * time.Second,
	"system.discover": 5 * time.Second, "task.create": 5 * time.Second, "task.update": 5 * time.Second,
	"task.assign": 5 * time.Second, "task.unassign": 5 * time.Second, "task.claim": 5 * time.Second,
	"task.complete": 5 * time.Second, "task.create_many": 15 * time.Second, "task.complete_many": 15 * time.Second, "task.progress": 5 * time.Second, "task.cancel": 5 * time.Second, "task.list": 10 * time.Second, "task.get": 5 * time.Second, "task.delete": 5 * time.Second,
	"schedule.put": 5 * time.Second, "schedule.get": 5 * time.Second, "schedule.list": 5 * time.Second, "schedule.delete": 5 * time.Second,
	"session.list": 10 * time.Second, "session.get": 10 * time.Second, "event.get": 5 * time.Second,
	"limit.set": 5 * time.Second, "limit.list": 5 * time.Second, "limit.delete": 5 * time.Second, "task.retry": 5 * time.Second,
	"task.cancel_many": 30 * time.Second, "task.retry_many": 30 * time.Second, "task.delete_many": 30 * time.Second,
	"queue.pause": 5 * time.Second, "queue.resume": 5 * time.Second,
	"task.history": 10 * time.Second, "instance.history": 10 * time.Second, "event.list": 10 * time.Second,
}

// inTime makes a call and checks the outcome as it may be during an outage: a result, or an
// infrastructure error within the method's timeout. It leaves any other error to the caller.
func inTime(t testing.TB, c *client, method string, p any) (json.RawMessage, error) {
	asked := time.Now()
	text, err := c.ask(method, p)
	if took := time.Since(asked); took > timeouts[method]+margin {
		t.Errorf("%s answered after %v (%v)", method, took, err)
	}
	var refused *refusal
	if errors.As(err, &refused) && refused.Code == api.CodeInternal && !passing(err) {
		t.Errorf("%s: %v", method, err)
	}
	return text, err
}

// passing reports whether an agent should repeat a call after this error.
func passing(err error) bool {
	var refused *refusal
	if errors.As(err, &refused) {
		return (&api.Error{Code: refused.Code, Data: refused.text()}).Failure() != ""
	}
	var gone wireError
	return errors.As(err, &gone)
}

// load runs agents that create, claim and complete tasks. After an outage they repeat a call with
// the same idempotency key.
type load struct {
	t      *testing.T
	target func() *client
	stop   context.CancelFunc
	agents sync.WaitGroup

	acknowledged atomic.Int64 // commands
	troubles     atomic.Int64 // errors caused by an outage

	mu        sync.Mutex
	created   map[string]int // how often a create of its own returned a task
	completed map[string]int
}

// startLoad starts the agents. target returns the coordinator to call.
func startLoad(t *testing.T, agents int, target func() *client) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{t: t, target: target, stop: stop, created: map[string]int{}, completed: map[string]int{}}
	for n := range agents {
		l.agents.Go(func() { l.agent(ctx, fmt.Sprint("agent-", n)) })
	}
	t.Cleanup(l.end)
	return l
}

// end lets the agents finish their current command.
func (l *load) end() {
	l.stop()
	l.agents.Wait()
}

// progress waits until n more commands are acknowledged.
func (l *load) progress(n int64) {
	l.t.Helper()
	want := l.acknowledged.Load() + n
	testenv.Eventually(l.t, 30*time.Second, func() (bool, string) {
		got := l.acknowledged.Load()
		return got >= want, fmt.Sprintf("%d commands were acknowledged, %d are waited for", got, want)
	})
}

// trouble waits until n more calls have failed because of an outage.
func (l *load) trouble(n int64) {
	l.t.Helper()
	want := l.troubles.Load() + n
	testenv.Eventually(l.t, 30*time.Second, func() (bool, string) {
		return l.troubles.Load() >= want, "no caller notices the outage"
	})
}

// insist repeats a command until it is answered. Its key makes that safe.
func (l *load) insist(method string, p params, key string) (json.RawMessage, error) {
	p["idempotencyKey"] = key
	for again := time.NewTicker(20 * time.Millisecond); ; <-again.C {
		text, err := inTime(l.t, l.target(), method, p)
		if !passing(err) {
			if err == nil {
				l.acknowledged.Add(1)
			}
			again.Stop()
			return text, err
		}
		l.troubles.Add(1)
	}
}

func (l *load) agent(ctx context.Context, id string) {
	register := func() {
		for again := time.NewTicker(20 * time.Millisecond); ; <-again.C {
			_, err := inTime(l.t, l.target(), "system.register", params{"id": id, "roles": []string{}, "metadata": params{"sessionId": id}})
			if !passing(err) {
				if err != nil {
					l.t.Errorf("system.register: %v", err)
				}
				again.Stop()
				return
			}
		}
	}
	register()
	for n := 0; ctx.Err() == nil; n++ {
		text, err := l.insist("task.create", params{"text": fmt.Sprint(id, " ", n)}, fmt.Sprint(id, " create ", n))
		var task struct{ ID string }
		if err != nil || json.Unmarshal(text, &task) != nil {
			l.t.Errorf("task.create: %s, %v", text, err)
			return
		}
		l.note(l.created, task.ID)

		text, err = l.insist("task.claim", params{"workerId": id}, fmt.Sprint(id, " claim ", n))
		var refused *refusal
		if errors.As(err, &refused) && refused.Code == api.CodeNotRegistered {
			register() // the outage was longer than the registration
			continue
		}
		var claim struct {
			TaskID string
			Task   struct{ Attempt int }
		}
		if err != nil || json.Unmarshal(text, &claim) != nil || claim.TaskID == "" {
			l.t.Errorf("task.claim: %s, %v", text, err)
			return
		}
		text, err = l.insist("task.complete", params{"id": claim.TaskID, "workerId": id, "attempt": claim.Task.Attempt}, fmt.Sprint(id, " complete ", n))
		if err != nil {
			l.t.Errorf("task.complete: %s, %v", text, err)
			return
		}
		l.note(l.completed, claim.TaskID)
	}
}

func (l *load) note(in map[string]int, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in[id]++
}

// settled ends the load and checks that the log contains each acknowledged command exactly once and
// nothing else: no command was lost, and no repeat ran twice.
func (l *load) settled(c *client, cfg *config.Config) {
	l.t.Helper()
	l.end()
	counts := count(entries(l.t, cfg))
	for event, told := range map[string]map[string]int{"task.created": l.created, "task.completed": l.completed} {
		inLog := counts[events.Type(event)]
		for id, n := range told {
			if n != 1 || inLog[id] != 1 {
				l.t.Errorf("%s of %s was acknowledged %d times and is in the log %d times", event, id, n, inLog[id])
			}
		}
		if len(inLog) != len(told) {
			l.t.Errorf("the log has %d tasks with %s, %d were acknowledged", len(inLog), event, len(told))
		}
	}
	agree(l.t, c, cfg)
}
