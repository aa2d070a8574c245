package task_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// started starts a call that waits. Its answer arrives in the channel.
func started(f *fleettest.Fleet, params string) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		result, err := f.Do("task.claim", params)
		answers <- answer{result, err}
	}()
	return answers
}

type answer struct {
	result json.RawMessage
	err    error
}

func (a answer) claimed(t *testing.T) fleettest.Claim {
	t.Helper()
	if a.err != nil {
		t.Fatal(a.err)
	}
	return fleettest.Decoded[fleettest.Claim](t, a.result)
}

func TestClaimWaits(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		other := f.Beside()
		defer other.StopWaiting()
		f.Register("w", `["worker"]`, "")
		for _, at := range []*fleettest.Fleet{f, other} {
			waits := started(at, `{"workerId":"w","waitMs":60000,"idempotencyKey":"k`+at.Options.Name+`"}`)
			id := f.Create("x", "")
			if got := (<-waits).claimed(t); got.TaskID != id || got.Task.Attempt != 1 || got.Task.Status != "in_progress" {
				t.Errorf("claimed %+v, want %s", got, id)
			}
			// The same call again returns the same task, and waits for no other.
			again := (<-started(at, `{"workerId":"w","waitMs":60000,"idempotencyKey":"k`+at.Options.Name+`"}`)).claimed(t)
			if again.TaskID != id {
				t.Errorf("repeated, it claimed %+v", again)
			}
		}
	})
}

func TestClaimWaitsNoLongerThanAsked(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		for _, key := range []string{"", `,"idempotencyKey":"k"`} {
			began := time.Now()
			result := f.OK("task.claim", `{"workerId":"w","waitMs":200%s}`, key)
			if took := time.Since(began); string(result) != `{"claimed":false}` || took < 200*time.Millisecond {
				t.Errorf("answered %s after %v", result, took)
			}
		}
		// An answer without a task is not kept for the key: an idle worker would leave thousands.
		if kept := f.Scan(f.Keys.Prefix() + "service:idempotency:*"); len(kept) != 0 {
			t.Errorf("%d answers are kept", len(kept))
		}
		id := f.Create("x", "")
		if got := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w","waitMs":200,"idempotencyKey":"k"}`)); got.TaskID != id {
			t.Errorf("repeated, it claimed %+v", got)
		}
		f.Refused(api.CodeInvalidParams, `"waitMs parameter must be an integer from 0 to 60000"`, "task.claim", `{"workerId":"w","waitMs":60001}`)
		f.Refused(api.CodeNotRegistered, `{"instanceId":"nobody"}`, "task.claim", `{"workerId":"nobody","waitMs":60000}`)
	})
}

// Of two calls with the same key, such as one that the network has cut off and its repetition, the
// first one may get the task. The other one returns this task too: nothing else would tell the
// worker of it.
func TestTheSameClaimTwiceAtOnce(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		other := f.Beside()
		defer other.StopWaiting()
		f.Register("w", `["worker"]`, "")
		for i, at := range []*fleettest.Fleet{f, other} {
			before := f.ClaimAttempts() + other.ClaimAttempts()
			params := fmt.Sprintf(`{"workerId":"w","waitMs":2000,"idempotencyKey":"k%d"}`, i)
			first := started(f, params)
			testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return f.Waiting() == 1, "it does not wait" })
			again := started(at, params)
			testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return f.ClaimAttempts()+other.ClaimAttempts() == before+2, "it does not wait" })
			id := f.Create("x", "")
			for _, answers := range []<-chan answer{first, again} {
				if got := (<-answers).claimed(t); got.TaskID != id {
					t.Errorf("claimed %+v, want %s", got, id)
				}
			}
			f.OK("task.complete", `{"id":%q,"workerId":"w"}`, id)
		}
	})
}

// Over MCP, a call ends before the minute after which clients give up a tool without a response.
func TestClaimWaitsLessOverMCP(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		began := time.Now()
		result, err := f.Call(t.Context(), api.Request{
			Method: "task.claim", Params: json.RawMessage(`{"workerId":"w","waitMs":60000}`), MCP: true, Received: began.Add(-49_800 * time.Millisecond),
		})
		if took := time.Since(began); err != nil || string(result) != `{"claimed":false}` || took < 200*time.Millisecond || took > 9*time.Second {
			t.Errorf("answered %s, %v after %v", result, err, took)
		}
	})
}

// Whoever has hung up claims nothing.
func TestAClaimThatIsGivenUpTakesNoTask(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for range 10 {
			calls.Go(func() {
				_, _ = f.Call(ctx, api.Request{Method: "task.claim", Params: json.RawMessage(`{"workerId":"w","waitMs":60000}`)})
			})
		}
		cancel()
		calls.Wait()
		id := f.Create("x", "")
		if task := f.Get(id); task.Status != "pending" {
			t.Errorf("the task is %+v", task)
		}
	})
}

func TestStoppedCoordinatorAnswersWaitingClaims(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		waits := started(f, `{"workerId":"w","waitMs":60000}`)
		f.StopWaiting()
		if a := <-waits; a.err != nil || string(a.result) != `{"claimed":false}` {
			t.Errorf("answered %s, %v", a.result, a.err)
		}
	})
}

// What task.assign gave to a worker comes first. Then the highest priority counts, among the tasks
// that were auto-assigned to it and those that wait.
func TestClaimTakesTheBest(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		create := func(priority int) string { return f.Create("x", fmt.Sprintf(`,"priority":%d`, priority)) }
		auto := []string{create(50), create(50), create(50)}
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":3}`) // gets these three
		top, low := create(100), create(10)
		given := create(0)
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, given)
		middle := create(60)
		for i, want := range []string{given, top, middle, auto[0]} {
			if got := f.Claim("w"); got != want {
				t.Errorf("claim %d took %s, want %s", i+1, got, want)
			}
		}
		many := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w","maxTasks":10}`))
		var got []string
		for _, task := range many.Tasks {
			got = append(got, task.ID)
		}
		if fmt.Sprint(got) != fmt.Sprint([]string{auto[1], auto[2], low}) {
			t.Errorf("claimed %v", got)
		}
	})
}

// Behind many auto-assigned tasks of a higher priority, given ones still come first.
func TestClaimTakesGivenTasksBehindManyOthers(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for range 250 {
			f.Create("auto", "")
		}
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":1000}`)
		var given []string
		for range 3 {
			id := f.Create("given", `,"priority":1`)
			f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
			given = append(given, id)
		}
		many := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w","maxTasks":2}`))
		if many.Tasks[0].ID != given[0] || many.Tasks[1].ID != given[1] || f.Claim("w") != given[2] {
			t.Errorf("claimed %s and %s", many.Tasks[0].ID, many.Tasks[1].ID)
		}
	})
}
