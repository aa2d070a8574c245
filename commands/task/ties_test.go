package task_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// finish claims a task and completes it. more is further params, each with a comma before it.
func finish(t *testing.T, f *fleettest.Fleet, id, more string) {
	t.Helper()
	claimSoon(t, f, "w", id)
	f.OK("task.complete", `{"id":%q%s}`, id, more)
}

func TestAChainRunsInOrder(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		chain := []string{f.Create("x", "")}
		for n := range 20 {
			chain = append(chain, f.Create("x", fmt.Sprintf(`,"priority":%d,"dependsOn":[%q]`, n, chain[n])))
		}
		for _, id := range chain {
			finish(t, f, id, `,"result":{"n":1.0}`)
		}
		got := fleettest.Decoded[timed](t, f.OK("task.get", `{"id":%q,"dependencies":true}`, chain[20]))
		if d := got.Dependencies; len(d) != 1 || d[0].ID != chain[19] || d[0].Status != "completed" || string(d[0].Result) != `{"n":1.0}` {
			t.Errorf("the dependencies are %+v", d)
		}
		// One that fails ends all that follow it, in bounded steps.
		chain = []string{f.Create("x", "")}
		for n := range 60 {
			chain = append(chain, f.Create("x", fmt.Sprintf(`,"dependsOn":[%q]`, chain[n])))
		}
		finish(t, f, chain[0], `,"error":1`)
		stepTimers(f)
		for n, id := range chain[1:] {
			task, outcome := timedTask(f, id), map[bool]string{true: " failed", false: " was cancelled"}[n == 0]
			if want := `"reason":"dependency ` + chain[n] + outcome + `"`; task.Status != "cancelled" || !strings.Contains(string(task.Cancellation), want) {
				t.Fatalf("%s is %+v, want %s in %s", id, task, want, task.Cancellation)
			}
		}
	})
}

func TestATaskWaitsForAHundred(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		var needs []string
		for range 100 {
			needs = append(needs, f.Create("x", ""))
		}
		id := f.Create("all", `,"priority":100,"dependsOn":["`+strings.Join(needs, `","`)+`"]`)
		for i, need := range needs {
			if got := timedTask(f, id); got.Status != "blocked" {
				t.Fatalf("after %d it is %s", i, got.Status)
			}
			finish(t, f, need, "")
		}
		stepTimers(f)
		finish(t, f, id, "")
	})
}

func TestWhenADependencyDoesNotComplete(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		for outcome, end := range map[string]func(id string){
			" failed":        func(id string) { finish(t, f, id, `,"error":1`) },
			" was cancelled": func(id string) { f.OK("task.cancel", `{"id":%q}`, id) },
			" was deleted":   func(id string) { f.OK("task.delete", `{"id":%q}`, id) },
		} {
			need := f.Create("needed", `,"priority":100`)
			dependent := f.Create("x", fmt.Sprintf(`,"dependsOn":[%q],"onDependencyFailure":"cancel"`, need))
			scheduled := f.Create("x", fmt.Sprintf(`,"dependsOn":[%q],"delayMs":3600000`, need))
			runs := f.Create("x", fmt.Sprintf(`,"dependsOn":[%q],"onDependencyFailure":"run"`, need))
			end(need)
			stepTimers(f)
			for _, id := range []string{dependent, scheduled} {
				if got := timedTask(f, id); got.Status != "cancelled" || !strings.Contains(string(got.Cancellation), "dependency "+need+outcome) {
					t.Errorf("%s: %+v, %s", outcome, got, got.Cancellation)
				}
			}
			if got := timedTask(f, runs); got.Status != "pending" {
				t.Errorf("%s: one that runs all the same is %s", outcome, got.Status)
			}
			finish(t, f, runs, "")
			if outcome == " was deleted" {
				f.Refused(api.CodeNotFound, fmt.Sprintf(`{"id":%q}`, need), "task.create", `{"text":"x","dependsOn":[%q]}`, need)
				got := fleettest.Decoded[timed](t, f.OK("task.get", `{"id":%q,"dependencies":true}`, runs))
				if d := got.Dependencies; len(d) != 1 || d[0].ID != need || d[0].Status != "" {
					t.Errorf("the dependencies are %+v", d)
				}
				continue
			}
			// It had ended before the task was created.
			params := fmt.Sprintf(`{"text":"x","dependsOn":[%q],"idempotencyKey":%q}`, need, "k"+outcome)
			first := f.OK("task.create", "%s", params)
			if got := fleettest.Decoded[timed](t, first); got.Status != "cancelled" || !*got.Created || !strings.Contains(string(got.Cancellation), need+outcome) {
				t.Errorf("created late, it is %s", first)
			}
			if again := f.OK("task.create", "%s", params); !sameJSON(t, again, first) {
				t.Errorf("repeated, it answered\n%s, and first\n%s", again, first)
			}
			late := f.Create("x", fmt.Sprintf(`,"dependsOn":[%q],"onDependencyFailure":"run"`, need))
			finish(t, f, late, "")
		}
		done := f.Create("x", "")
		finish(t, f, done, "")
		if got := timedTask(f, f.Create("x", fmt.Sprintf(`,"dependsOn":[%q]`, done))); got.Status != "pending" {
			t.Errorf("what depends on a completed task is %s", got.Status)
		}
		f.Refused(api.CodeNotFound, `{"id":"t-9999"}`, "task.create", `{"text":"x","dependsOn":[%q,"t-9999"]}`, done)
	})
}

// A task that failed and was revived is waited for by those that are created afterwards, and what waits
// for two tasks is not released twice by one.
func TestDependenciesOfARevivedTask(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		need, other := f.Create("x", `,"priority":90`), f.Create("y", "")
		both := f.Create("both", fmt.Sprintf(`,"dependsOn":[%q,%q],"onDependencyFailure":"run"`, need, other))
		first := f.Create("first", fmt.Sprintf(`,"dependsOn":[%q,%q]`, need, other))
		finish(t, f, need, `,"error":1`)
		f.OK("task.retry", `{"id":%q}`, need) // before the rest of the work is done
		second := f.Create("second", fmt.Sprintf(`,"dependsOn":[%q]`, need))
		stepTimers(f)
		finish(t, f, need, "")
		stepTimers(f)
		for id, want := range map[string]string{both: "blocked", first: "cancelled", second: "pending"} {
			if got := timedTask(f, id); got.Status != want {
				t.Errorf("%s is %s, want %s", got.Text, got.Status, want)
			}
		}
		f.OK("task.retry", `{"id":%q}`, first) // waits for nothing any more
		finish(t, f, other, "")
		stepTimers(f)
		for _, id := range []string{both, first, second} {
			finish(t, f, id, "")
		}
	})
}

// The results of the dependencies together are at most 1 MiB.
func TestResultsOfDependenciesAreBounded(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		var needs []string
		for i := range 3 {
			id := f.Create("x", "")
			finish(t, f, id, `,"result":"`+strings.Repeat("r", []int{600_000, 600_000, 400_000}[i])+`"`)
			needs = append(needs, id)
		}
		id := f.Create("x", `,"dependsOn":["`+strings.Join(needs, `","`)+`"]`)
		got := fleettest.Decoded[timed](t, f.OK("task.get", `{"id":%q,"dependencies":true}`, id)).Dependencies
		if len(got) != 3 || got[0].Truncated || !got[1].Truncated || got[2].Truncated || string(got[1].Result) != "null" || len(got[2].Result) != 400_002 {
			t.Errorf("cut: %t, %t, %t", got[0].Truncated, got[1].Truncated, got[2].Truncated)
		}
	})
}

// While a task with a uniqueKey is not finished, task.create returns it, whatever idempotency keys say.
func TestUniqueKeys(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		create := func(text, more string) timed {
			t.Helper()
			return fleettest.Decoded[timed](t, f.OK("task.create", `{"text":%q,"uniqueKey":"u"%s}`, text, more))
		}
		first := create("one", `,"retry":{"maxAttempts":2,"backoffMs":0}`)
		if !*first.Created {
			t.Error("the first was not created")
		}
		seq := f.Seq()
		kept := create("two", `,"idempotencyKey":"k"`)
		if kept.ID != first.ID || *kept.Created || kept.Text != "one" || f.Seq() != seq {
			t.Errorf("answered %+v", kept)
		}
		claimSoon(t, f, "w", first.ID)
		f.OK("task.complete", `{"id":%q,"error":1}`, first.ID) // it is tried again, and keeps its key
		if got := create("three", ""); got.ID != first.ID || *got.Created {
			t.Errorf("while it is tried again, answered %+v", got)
		}
		finish(t, f, first.ID, `,"error":1`)
		second := create("four", "")
		if second.ID == first.ID || !*second.Created {
			t.Errorf("answered %+v", second)
		}
		if again := create("two", `,"idempotencyKey":"k"`); again.ID != first.ID || *again.Created {
			t.Errorf("the repeat of an earlier call answered %+v", again)
		}
		f.Refused(api.CodeConflict, fmt.Sprintf(`{"reason":"UNIQUE_KEY_TAKEN","id":%q}`, second.ID), "task.retry", `{"id":%q}`, first.ID)
		f.OK("task.delete", `{"id":%q}`, second.ID)
		f.OK("task.retry", `{"id":%q}`, first.ID)
		if got := create("five", ""); got.ID != first.ID {
			t.Errorf("after it was revived, answered %+v", got)
		}
		f.OK("task.cancel", `{"id":%q}`, first.ID)
		many := f.OK("task.create_many", `{"tasks":[{"text":"a","uniqueKey":"u"},{"text":"b","uniqueKey":"u"},{"text":"c","uniqueKey":"v"}]}`)
		answers := fleettest.Decoded[struct{ Answers []struct{ Result timed } }](t, many).Answers
		if !*answers[0].Result.Created || *answers[1].Result.Created || answers[1].Result.ID != answers[0].Result.ID || !*answers[2].Result.Created {
			t.Errorf("answered %s", many)
		}
	})
}

// A limit that is raised, lowered or deleted takes effect at once for what is not claimed, the best
// tasks first. What was claimed keeps its place, also if its worker is lost.
func TestALimitChanges(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0,"sessionId":"s"}`)
		var ids []string
		for n := range 8 {
			ids = append(ids, f.Create("x", fmt.Sprintf(`,"priority":%d,"limitKey":"k"`, 80-10*n)))
		}
		// expect checks which tasks run: those with a letter that is not b.
		expect := func(when, want string) {
			t.Helper()
			stepTimers(f)
			got := ""
			for _, id := range ids {
				got += timedTask(f, id).Status[:1]
			}
			if got != want {
				t.Errorf("%s the tasks are %s, want %s", when, got, want)
			}
		}
		set := func(n int, want string) {
			t.Helper()
			f.OK("limit.set", `{"key":"k","concurrent":%d}`, n)
			expect(fmt.Sprint("with the limit ", n), want)
		}
		if f.Claim("w") != ids[0] || f.Claim("w") != ids[1] {
			t.Fatal("the best were not claimed first")
		}
		f.Register("given", `["worker"]`, `,"metadata":{"maxTasks":2}`) // ids[2] and ids[3] are auto-assigned to it
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, ids[4])
		set(5, "iipppbbb")
		set(3, "iipbbbbb")
		if got := f.Zset(f.Keys.Assigned("given")); len(got) != 1 || got[0] != ids[2] {
			t.Errorf("one instance has %v", got)
		}
		if got := f.Zset(f.Keys.Assigned("w")); len(got) != 0 {
			t.Errorf("the other has %v", got)
		}
		set(0, "iibbbbbb")
		if got := string(f.OK("limit.list", `{}`)); got != `{"limits":[{"key":"k","concurrent":0,"running":2,"waiting":6}]}` {
			t.Errorf("the limits are %s", got)
		}
		if f.Claim("w") != "" {
			t.Error("a blocked task was claimed")
		}
		set(2, "iibbbbbb")
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0,"sessionId":"another"}`)
		expect("after the worker was lost", "ppbbbbbb")
		f.OK("task.update", `{"id":%q,"updates":{"priority":100}}`, ids[7]) // is the best of those that wait
		if f.Claim("w") != ids[0] {
			t.Error("the best was not claimed first")
		}
		f.OK("task.complete", `{"id":%q}`, ids[0])
		expect("after one is done", "cpbbbbbp")
		f.OK("task.cancel", `{"id":%q}`, ids[1])
		expect("after one was cancelled", "ccpbbbbp")
		f.OK("task.delete", `{"id":%q}`, ids[2])
		ids = append(ids[:2], ids[3:]...)
		expect("after one was deleted", "ccpbbbp")
		f.OK("limit.set", `{"key":"k","concurrent":0}`)
		expect("with the limit 0", "ccbbbbb")
		f.OK("limit.delete", `{"key":"k"}`)
		expect("without the limit", "ccppppp")
		if got := string(f.OK("limit.delete", `{"key":"k"}`)); got != `{"key":"k","deleted":false}` {
			t.Errorf("deleted twice: %s", got)
		}
	})
}

// Each key has its own turns.
func TestManyLimits(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		const keys = 40
		for k := range keys {
			f.OK("limit.set", `{"key":"k%d","concurrent":1}`, k)
			for n := range 3 {
				f.Create(fmt.Sprint(2-n), fmt.Sprintf(`,"priority":%d,"limitKey":"k%d"`, 10*n, k))
			}
		}
		// The first of each key became pending at once. Of the others, the best goes first.
		for _, text := range []string{"2", "0", "1"} {
			for range keys {
				claim := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w"}`))
				if claim.Task.Text != text {
					t.Fatalf("claimed %+v, want %s", claim, text)
				}
			}
			if f.Claim("w") != "" {
				t.Error("two of a key are in progress")
			}
			for _, id := range f.Zset(f.Keys.Active("w")) {
				f.OK("task.complete", `{"id":%q}`, id)
			}
		}
	})
}

// A limit is lowered in several steps, and tasks end between them.
func TestTasksEndWhileALimitIsLowered(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		var claimed, ids []string
		for range 60 {
			claimed = append(claimed, f.Create("x", `,"priority":10,"limitKey":"k"`))
		}
		f.OK("task.claim", `{"workerId":"w","maxTasks":60}`)
		for range 60 {
			ids = append(ids, f.Create("x", `,"priority":50,"limitKey":"k"`))
		}
		f.OK("limit.set", `{"key":"k","concurrent":30}`) // the first step looks only at tasks that are claimed
		for _, id := range claimed[:40] {
			f.OK("task.complete", `{"id":%q}`, id)
		}
		stepTimers(f)
		pending := 0
		for i, id := range ids {
			if timedTask(f, id).Status == "pending" {
				if pending++; i >= 10 {
					t.Errorf("%d is pending, and a better one may be blocked", i)
				}
			}
		}
		if pending != 10 {
			t.Errorf("20 are in progress and %d pending under a limit of 30", pending)
		}
	})
}

// A limit that was lowered while tasks were in progress applies to them again as soon as nobody works on
// them any more, however they went back: the best ones keep their place, the others are blocked.
func TestALimitAppliesToWhatGoesBack(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Watched()
		register := func(session string) {
			f.Register("w", `["worker"]`, fmt.Sprintf(`,"metadata":{"maxTasks":0,"sessionId":%q}`, session))
		}
		each := func(call string) func(ids []string) {
			return func(ids []string) {
				method, params, _ := strings.Cut(call, " ")
				for _, id := range ids {
					f.OK(method, params, id)
				}
			}
		}
		for way, back := range map[string]func(ids []string){
			"unassign":        each(`task.unassign {"taskId":%q}`),
			"update":          each(`task.update {"id":%q,"updates":{"status":"pending"}}`),
			"dies":            func([]string) { f.BuryAll(t); register("s") },
			"unregisters":     func([]string) { f.OK("system.unregister", `{"instanceId":"w"}`); register("s") },
			"another session": func([]string) { register("t") },
		} {
			register("s")
			f.OK("limit.set", `{"key":"k","concurrent":4}`)
			var ids []string
			for n := range 4 {
				ids = append(ids, f.Create("x", fmt.Sprintf(`,"priority":%d,"limitKey":"k"`, 90-n)))
			}
			f.OK("task.claim", `{"workerId":"w","maxTasks":4}`)
			f.OK("limit.set", `{"key":"k","concurrent":2}`)
			stepTimers(f)
			states := func() (got string) {
				for _, id := range ids {
					got += timedTask(f, id).Status[:1]
				}
				return got
			}
			if got := states(); got != "iiii" {
				t.Errorf("%s: with the lowered limit they are %s", way, got)
			}
			back(ids)
			testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
				stepTimers(f)
				got := states()
				return got == "ppbb", way + ": they are " + got
			})
			for _, id := range ids {
				f.OK("task.delete", `{"id":%q}`, id)
			}
		}
	})
}
