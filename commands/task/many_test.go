package task_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// many is the result of a method that takes many items.
type many struct {
	Succeeded, Failed int
	Answers           []struct {
		Result *fleettest.Task
		Error  *struct {
			Code int
			Data json.RawMessage
		}
	}
}

// Each task has its own answer and event, in order. An invalid task does not stop the others.
func TestCreateMany(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		before := f.Seq()
		got := fleettest.Decoded[many](t, f.OK("task.create_many",
			`{"tasks":[{"text":"a","priority":7},{"text":""},{"text":"b","metadata":{"roles":["gpu"],"n":1.10}},7,{"text":"c","more":1}]}`))
		if got.Succeeded != 2 || got.Failed != 3 || len(got.Answers) != 5 {
			t.Fatalf("%+v", got)
		}
		for i, want := range map[int]string{1: `"text parameter must not be empty"`, 3: `"the item must be an object"`, 4: `"unknown parameter 'more'`} {
			if e := got.Answers[i].Error; e == nil || e.Code != api.CodeInvalidParams || !strings.HasPrefix(string(e.Data), want) {
				t.Errorf("item %d: %+v", i, got.Answers[i])
			}
		}
		emitted := f.Emitted(before, "task.created", "task.created")
		for n, i := range []int{0, 2} {
			task := got.Answers[i].Result
			f.Holds(emitted[n], fmt.Sprintf(`{"id":%q,"text":%q}`, task.ID, task.Text))
			if stored := f.Get(task.ID); stored.Text != task.Text || stored.Priority != task.Priority || string(stored.Metadata) != string(task.Metadata) {
				t.Errorf("%+v is stored as %+v", task, stored)
			}
		}
		if string(got.Answers[2].Result.Metadata) != `{"roles":["gpu"],"n":1.10}` {
			t.Errorf("metadata came back as %s", got.Answers[2].Result.Metadata)
		}
		f.Refused(api.CodeInvalidParams, `"tasks parameter must contain at least 1 items"`, "task.create_many", `{"tasks":[]}`)
		f.Refused(api.CodeInvalidParams, `"tasks parameter must contain at most 1000 items, but contains 1001"`, "task.create_many",
			`{"tasks":[%s1]}`, strings.Repeat("1,", 1000))
		f.Verify()
	})
}

// A repetition with the same keys returns the same tasks, whether they were created one by one or
// together.
func TestCreateManyAgain(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		first := fleettest.Decoded[fleettest.Task](t, f.OK("task.create", `{"text":"0","idempotencyKey":"k0"}`))
		call := `{"tasks":[` + keyed(100) + `]}`
		got := fleettest.Decoded[many](t, f.OK("task.create_many", "%s", call))
		if got.Succeeded != 100 || got.Answers[0].Result.ID != first.ID {
			t.Fatalf("%+v", got)
		}
		before := f.Seq()
		again := fleettest.Decoded[many](t, f.OK("task.create_many", "%s", call))
		for i := range again.Answers {
			if again.Answers[i].Result.ID != got.Answers[i].Result.ID {
				t.Errorf("item %d is task %s, and was %s", i, again.Answers[i].Result.ID, got.Answers[i].Result.ID)
			}
		}
		if f.Seq() != before {
			t.Error("the repeat emitted events")
		}
		other := fleettest.Decoded[many](t, f.OK("task.create_many", `{"tasks":[{"text":"another","idempotencyKey":"k0"}]}`))
		if e := other.Answers[0].Error; e == nil || e.Code != api.CodeConflict {
			t.Errorf("the key with other params: %+v", other)
		}
	})
}

// keyed returns tasks with idempotency keys.
func keyed(n int) string {
	tasks := make([]string, n)
	for i := range tasks {
		tasks[i] = fmt.Sprintf(`{"text":"%d","idempotencyKey":"k%d"}`, i, i)
	}
	return strings.Join(tasks, ",")
}

// The items count for the limit of the method for one item. Items beyond the limit are rejected one
// by one.
func TestManyCountForTheLimit(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.create": 5}}, func(t *testing.T, f *fleettest.Fleet) {
		f.Create("x", "")
		got := fleettest.Decoded[many](t, f.OK("task.create_many", `{"tasks":[%s]}`, keyed(8)))
		if got.Succeeded != 4 || got.Failed != 4 {
			t.Fatalf("%+v", got)
		}
		for i, a := range got.Answers {
			if (a.Error != nil) != (i >= 4) || a.Error != nil && a.Error.Code != api.CodeRateLimited {
				t.Errorf("item %d: %+v", i, a)
			}
		}
		if m := f.Method("task.create_many"); m.Limit != 5 || m.TokenLimit != 25 {
			t.Errorf("limits %d, %d", m.Limit, m.TokenLimit)
		}
	})
}

// Each task is finished only for its owner. A repetition with the same keys finishes the rest.
func TestCompleteMany(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		f.Register("v", `[]`, "")
		f.OK("task.create_many", `{"tasks":[%s]}`, keyed(100))
		claim := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w","maxTasks":100}`))
		if len(claim.Tasks) != 100 {
			t.Fatalf("claimed %d tasks", len(claim.Tasks))
		}
		items := make([]string, len(claim.Tasks))
		for i, task := range claim.Tasks {
			more := `"result":{"n":1.10}`
			if i == 1 {
				more = `"error":"no luck"`
			}
			items[i] = fmt.Sprintf(`{"id":%q,"workerId":"w","attempt":%d,"idempotencyKey":"c%d",%s}`, task.ID, task.Attempt, i, more)
		}
		part := fleettest.Decoded[many](t, f.OK("task.complete_many", `{"items":[%s]}`, strings.Join(items[:60], ",")))
		if part.Succeeded != 60 || part.Answers[0].Result.Status != "completed" || part.Answers[1].Result.Status != "failed" {
			t.Fatalf("%+v", part)
		}
		before := f.Seq()
		whole := fleettest.Decoded[many](t, f.OK("task.complete_many", `{"items":[%s]}`, strings.Join(items, ",")))
		if whole.Succeeded != 100 || f.Seq() != before+40 {
			t.Errorf("%d succeeded, with %d events", whole.Succeeded, f.Seq()-before)
		}
		other := fleettest.Decoded[many](t, f.OK("task.complete_many", `{"items":[{"id":%q,"workerId":"v","attempt":1},{"workerId":"w"}]}`, claim.Tasks[0].ID))
		if other.Failed != 2 || other.Answers[0].Error.Code != api.CodeConflict || other.Answers[1].Error.Code != api.CodeInvalidParams {
			t.Errorf("%+v", other)
		}
		f.Verify()
	})
}

// One claim takes tasks from many queues, in the order of priority over all queues.
func TestClaimAHundred(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["a","b","c"]`, "")
		for i := range 130 {
			roles := []string{``, `,"metadata":{"roles":["a"]}`, `,"metadata":{"roles":["b","c"]}`, `,"metadata":{"roles":["d"]}`}[i%4]
			f.Create("x", fmt.Sprintf(`%s,"priority":%d`, roles, i*37%101))
		}
		claim := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w","maxTasks":100}`))
		if len(claim.Tasks) != 98 { // all tasks that do not require the role d
			t.Fatalf("claimed %d tasks", len(claim.Tasks))
		}
		for i, task := range claim.Tasks[1:] {
			if task.Priority > claim.Tasks[i].Priority {
				t.Errorf("task %d has priority %d, the one before it %d", i+1, task.Priority, claim.Tasks[i].Priority)
			}
		}
		f.Verify()
	})
}

// The size of a claim's result is bounded, but one task always fits.
func TestClaimsOfLargeTasksAreBounded(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `[]`, "")
		large := `,"metadata":{"m":"` + strings.Repeat("x", 900_000) + `"}`
		for range 8 {
			f.Create("x", large)
		}
		for _, want := range []int{5, 3} {
			claim := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w","maxTasks":100}`))
			if len(claim.Tasks) != want {
				t.Errorf("claimed %d tasks, want %d", len(claim.Tasks), want)
			}
		}
		// If tasks grow after they were claimed, a repetition does not get longer.
		const again = `{"workerId":"w","maxTasks":100,"idempotencyKey":"k"}`
		ids := []string{f.Create("x", ""), f.Create("x", ""), f.Create("x", ""), f.Create("x", ""), f.Create("x", ""), f.Create("x", "")}
		f.OK("task.claim", again)
		for _, id := range ids {
			f.OK("task.update", `{"id":%q,"updates":{"metadata":{"m":"%s"}}}`, id, strings.Repeat("x", 900_000))
		}
		if claim := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", again)); len(claim.Tasks) != 5 {
			t.Errorf("the repeat returned %d tasks, want 5", len(claim.Tasks))
		}
	})
}

// Redis goes away in the middle of a call: each item was created once or not at all, and a repeat
// with the same keys creates the rest.
func TestCreateManyWhileRedisRestarts(t *testing.T) {
	t.Parallel()
	f, server := fleettest.OwnFleet(t)
	whileRedisRestarts(t, f, server, "task.create_many", `{"tasks":[`+keyed(1000)+`]}`)
	if f.Seq() != 1000 {
		t.Errorf("%d events for 1000 tasks", f.Seq())
	}
	f.Verify()
}

// The same for items that are completed.
func TestCompleteManyWhileRedisRestarts(t *testing.T) {
	t.Parallel()
	f, server := fleettest.OwnFleet(t)
	f.Register("w", `[]`, "")
	f.OK("task.create_many", `{"tasks":[%s]}`, keyed(1000))
	var items []string
	for range 10 {
		for _, task := range fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w","maxTasks":100}`)).Tasks {
			items = append(items, fmt.Sprintf(`{"id":%q,"workerId":"w","attempt":1,"idempotencyKey":"c%d"}`, task.ID, len(items)))
		}
	}
	before := f.Seq()
	whileRedisRestarts(t, f, server, "task.complete_many", `{"items":[`+strings.Join(items, ",")+`]}`)
	if done := f.Seq() - before; done != 1000 {
		t.Errorf("%d events for 1000 tasks", done)
	}
	f.Verify()
}

// whileRedisRestarts makes a call with 1,000 items, kills Redis when the first of them is done, and
// repeats the call until all are done.
func whileRedisRestarts(t *testing.T, f *fleettest.Fleet, server *devstack.Redis, method, call string) {
	t.Helper()
	seq := func() int64 {
		n, _ := f.Client.HGet(t.Context(), f.Keys.Log(), "seq").Int64() // 0 without a log
		return n
	}
	before := seq()
	var running sync.WaitGroup
	running.Go(func() {
		for seq() == before {
			if t.Context().Err() != nil {
				return
			}
		}
		if err := server.Kill(); err != nil {
			t.Error(err)
		}
	})
	result, err := f.Do(method, call)
	running.Wait()
	var known *api.Error
	if err != nil && (!errors.As(err, &known) || known.Failure() == "") {
		t.Fatalf("%s, %v", result, err)
	}
	if err == nil {
		for i, a := range fleettest.Decoded[many](t, result).Answers {
			if a.Error != nil && a.Error.Code != api.CodeInternal {
				t.Errorf("item %d: %+v", i, a.Error)
			}
		}
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
		text, err := f.Do(method, call)
		return err == nil && fleettest.Decoded[many](t, text).Succeeded == 1000, fmt.Sprintf("%.200s, %v", text, err)
	})
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) { // the connections of the test itself reconnect later
		err := f.Client.Ping(t.Context()).Err()
		return err == nil, fmt.Sprint(err)
	})
}

// A flush in the middle of a call leaves no task of it half done, and a repeat with the same keys
// creates those that it deleted.
func TestCreateManyDuringAFlush(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Create("first", "")
		call := `{"tasks":[` + keyed(1000) + `]}`
		var created many
		var running sync.WaitGroup
		running.Go(func() { created = fleettest.Decoded[many](t, f.OK("task.create_many", "%s", call)) })
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return f.Seq() > 1, "no task is created" })
		f.Flush(fleettest.Confirmed)
		running.Wait()
		for i, a := range created.Answers {
			if a.Error != nil && a.Error.Code != api.CodeConflict {
				t.Errorf("item %d: %+v", i, a.Error)
			}
		}
		again := fleettest.Decoded[many](t, f.OK("task.create_many", "%s", call))
		ids := map[string]bool{}
		for _, a := range again.Answers {
			if a.Result != nil {
				ids[a.Result.ID] = true
			}
		}
		if again.Succeeded != 1000 || len(ids) != 1000 {
			t.Errorf("the repeat returned %d tasks, %d of them different", again.Succeeded, len(ids))
		}
		if open := len(f.Verify().Tasks); open != 1000 {
			t.Errorf("%d tasks are open, want 1000", open)
		}
	})
}
