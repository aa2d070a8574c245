package task_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestClaim(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		if got := string(f.OK("task.claim", `{"workerId":"w"}`)); got != `{"claimed":false}` {
			t.Errorf("with nothing to claim: %s", got)
		}
		id := f.Create("x", "")
		before := f.Seq()
		claim := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w"}`))
		if !claim.Claimed || claim.TaskID != id || claim.Task.ID != id || claim.Task.Status != "in_progress" || claim.Task.AssignedTo != "w" ||
			claim.Task.Attempt != 1 || claim.Tasks != nil {
			t.Errorf("claimed %+v", claim)
		}
		e := f.Emitted(before, "task.claimed")[0]
		f.Holds(e, fmt.Sprintf(`{"taskId":%q,"workerId":"w","attempt":1,"previousAssignment":null,"status":"in_progress",
			"previousStatus":"pending","claimedAt":%q}`, id, claim.Task.UpdatedAt))
		if got := f.Get(id); got.Status != "in_progress" || got.UpdatedAt != claim.Task.UpdatedAt {
			t.Errorf("the task is %+v", got)
		}
		if h := f.Hash(f.Keys.Instance("w")); h["status"] != "BUSY" {
			t.Errorf("the worker is %v", h)
		}
		f.Refused(api.CodeNotRegistered, `{"instanceId":"nobody"}`, "task.claim", `{"workerId":"nobody"}`)
	})
}

// Tasks are claimed by priority, and in the order of their creation within one priority.
func TestClaimOrder(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["monitor"]`, "") // an instance needs no role to claim
		var want []string
		byPriority := map[int][]string{}
		for i := range 30 {
			priority := []int{0, 100, 50, 1, 99}[i%5]
			byPriority[priority] = append(byPriority[priority], f.Create("x", fmt.Sprintf(`,"priority":%d`, priority)))
		}
		for _, priority := range []int{100, 99, 50, 1, 0} {
			want = append(want, byPriority[priority]...)
		}
		claim := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w","maxTasks":10}`))
		var got []string
		for _, task := range claim.Tasks {
			got = append(got, task.ID)
		}
		if claim.TaskID != got[0] || claim.Task.ID != got[0] {
			t.Errorf("the first is %s, %s", claim.TaskID, claim.Task.ID)
		}
		for range 20 {
			got = append(got, f.Claim("w"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("claimed\n%v, want\n%v", got, want)
		}
		one := f.Create("x", "")
		claim = fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w","maxTasks":3}`))
		if len(claim.Tasks) != 1 || claim.Tasks[0].ID != one {
			t.Errorf("claimed %+v", claim)
		}
	})
}

func TestClaimOwnFirst(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		f.Register("other", `["worker"]`, "")
		own, waiting := f.Create("own", `,"priority":1`), f.Create("waiting", `,"priority":100`)
		theirs := f.Create("theirs", `,"priority":100`)
		f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, own)
		f.OK("task.assign", `{"taskId":%q,"instanceId":"other"}`, theirs)
		before := f.Seq()
		claim := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":"w","maxTasks":5}`))
		if len(claim.Tasks) != 2 || claim.Tasks[0].ID != own || claim.Tasks[1].ID != waiting {
			t.Errorf("claimed %+v", claim.Tasks)
		}
		f.Holds(f.Emitted(before, "task.claimed", "task.claimed")[0], `{"previousAssignment":"w"}`)
		if f.Claim("w") != "" { // tasks that task.assign gave another instance stay there
			t.Error("took another's task")
		}
	})
}

// An idle instance claims a task that was auto-assigned to another one.
func TestClaimTakesFromTheOneThatHasMost(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for i := range 5 {
			f.Create("x", fmt.Sprintf(`,"priority":%d,"metadata":{"roles":[%s]}`, i, []string{`"a"`, ``}[i%2]))
		}
		f.Register("sits", `["worker","a"]`, "")
		if n := len(f.Zset(f.Keys.Auto("sits"))); n != 5 {
			t.Fatalf("was given %d", n)
		}
		f.Register("idle", `["worker"]`, "")
		before := f.Seq()
		if got := f.Claim("idle"); got != "t-4" { // t-5 has a higher priority, but requires a role
			t.Errorf("claimed %q", got)
		}
		events := f.Emitted(before, "task.assigned", "task.claimed")
		f.Holds(events[0], `{"taskId":"t-4","instanceId":"idle","previousAssignment":"sits","reason":"rebalanced","previousStatus":"pending"}`)
		f.Holds(events[1], `{"taskId":"t-4","workerId":"idle","attempt":1,"previousAssignment":"idle"}`)
		if f.Claim("idle") != "t-2" || f.Claim("idle") != "" {
			t.Error("took what it may not take")
		}
		f.Register("also", `["worker","a"]`, `,"metadata":{"maxTasks":0}`)
		for _, want := range []string{"t-5", "t-3", "t-1", ""} {
			if got := f.Claim("also"); got != want {
				t.Errorf("claimed %q, want %q", got, want)
			}
		}
		if f.Exists(f.Keys.Stealable(), f.Keys.Auto("sits")) != 0 {
			t.Error("the index of what can be taken is not empty")
		}
	})
}

// A task with required roles goes to an instance that has all of them. It does not block the tasks
// behind it.
func TestClaimRoles(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for range 100 {
			f.Create("x", `,"priority":100,"metadata":{"roles":["gpu","big"]}`)
		}
		gpu := f.Create("x", `,"priority":60,"metadata":{"roles":["gpu"]}`)
		plain := f.Create("x", `,"priority":50`)
		f.Register("plain", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		f.Register("gpu", `["worker","gpu"]`, `,"metadata":{"maxTasks":0}`)
		f.Register("all", `["big","gpu","other"]`, "")
		if f.Claim("gpu") != gpu || f.Claim("plain") != plain || f.Claim("gpu") != "" || f.Claim("plain") != "" {
			t.Error("claimed another task")
		}
		if f.Claim("all") != "t-1" {
			t.Error("one that has all the roles claimed nothing")
		}
		f.Refused(api.CodeConflict, `{"reason":"ROLES_MISSING","roles":["big","gpu"]}`, "task.assign", `{"taskId":"t-2","instanceId":"gpu"}`)
	})
}

func TestClaimAgain(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		f.Create("x", "")
		f.Create("y", "")
		first := f.OK("task.claim", `{"workerId":"w","maxTasks":1,"idempotencyKey":"k"}`)
		before := f.Seq()
		again := f.OK("task.claim", `{"idempotencyKey":"k","maxTasks":1,"workerId":"w"}`)
		if string(again) != string(first) || f.Seq() != before {
			t.Errorf("answered %s, then %s", first, again)
		}
		f.Refused(api.CodeConflict, `{"reason":"IDEMPOTENCY_KEY_REUSED"}`, "task.claim", `{"workerId":"w","maxTasks":2,"idempotencyKey":"k"}`)
		f.OK("task.claim", `{"workerId":"w","idempotencyKey":"l"}`)
		empty := f.OK("task.claim", `{"workerId":"w","idempotencyKey":"m"}`)
		f.Create("z", "")
		if again := f.OK("task.claim", `{"workerId":"w","idempotencyKey":"m"}`); string(again) != string(empty) {
			t.Errorf("an empty claim answered %s, then %s", empty, again)
		}
	})
}

// In a race of claims each task gets one owner, and no task is left.
func TestClaimRace(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		claimers, tasks := 32, 2000
		if f.Embedded {
			claimers, tasks = 8, 64
		}
		coordinators := []*fleettest.Fleet{f, f.Beside()}
		var fill errgroup.Group
		fill.SetLimit(4 * claimers)
		for worker := range claimers {
			fill.Go(func() error {
				_, err := f.Do("system.register", fmt.Sprintf(`{"id":"w%d","roles":["worker"]}`, worker))
				return err
			})
		}
		for range tasks {
			fill.Go(func() error {
				_, err := f.Do("task.create", `{"text":"x"}`)
				return err
			})
		}
		if err := fill.Wait(); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		owners := map[string]string{}
		var g errgroup.Group
		for worker := range claimers {
			g.Go(func() error {
				id, c := fmt.Sprintf("w%d", worker), coordinators[worker%2]
				for {
					result, err := c.Do("task.claim", fmt.Sprintf(`{"workerId":%q}`, id))
					if err != nil {
						return err
					}
					claim := fleettest.Decoded[fleettest.Claim](t, result)
					if !claim.Claimed {
						return nil
					}
					mu.Lock()
					if other := owners[claim.TaskID]; other != "" {
						t.Errorf("%s and %s claimed %s", other, id, claim.TaskID)
					}
					owners[claim.TaskID] = id
					mu.Unlock()
				}
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if len(owners) != tasks {
			t.Errorf("%d tasks were claimed, want %d", len(owners), tasks)
		}
	})
}

// Claims, releases, deaths and completions run concurrently. The log contains no task with two
// owners, and in the end every unfinished task can be claimed.
func TestClaimAgainstReleaseAndDeath(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		coordinators := []*fleettest.Fleet{f, f.Beside()}
		const tasks, workers = 60, 6
		turns := 40
		if f.Embedded {
			turns = 8
		}
		for range tasks {
			f.Create("x", "")
		}
		for w := range workers {
			f.Register(fmt.Sprintf("w%d", w), `["worker"]`, `,"metadata":{"sessionId":"s"}`)
		}
		lawful := func(err error) error {
			if err == nil || strings.Contains(err.Error(), "Conflict") || strings.Contains(err.Error(), "not registered") {
				return nil
			}
			return err
		}
		var g errgroup.Group
		for w := range workers {
			g.Go(func() error {
				c, id := coordinators[w%2], fmt.Sprintf("w%d", w)
				for i := range turns {
					result, err := c.Do("task.claim", fmt.Sprintf(`{"workerId":%q}`, id))
					if err := lawful(err); err != nil {
						return err
					}
					if err != nil || i%4 == 3 {
						if _, err := c.Do("system.register", fmt.Sprintf(`{"id":%q,"roles":["worker"],"metadata":{"sessionId":"s%d"}}`, id, i%8/4)); err != nil {
							return err
						}
						continue
					}
					claim := fleettest.Decoded[fleettest.Claim](t, result)
					if claim.Claimed && i%2 == 0 {
						_, err := c.Do("task.complete", fmt.Sprintf(`{"id":%q,"workerId":%q,"attempt":%d}`, claim.TaskID, id, claim.Task.Attempt))
						if err := lawful(err); err != nil {
							return err
						}
					}
				}
				return nil
			})
		}
		for c := range 2 {
			g.Go(func() error {
				for i := range 2 * turns {
					_, err := coordinators[c].Do("task.unassign", fmt.Sprintf(`{"taskId":"t-%d"}`, 1+(i*7)%tasks))
					if err := lawful(err); err != nil {
						return err
					}
				}
				return nil
			})
			g.Go(func() error {
				for range turns / 4 {
					if _, err := coordinators[c].Do("system.check_health", `{"timeout":3}`); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		told := f.Verify()
		for w := range workers {
			f.OK("system.unregister", `{"instanceId":"w%d"}`, w)
		}
		f.Register("last", `["worker"]`, "")
		open := 0
		for _, task := range told.Tasks {
			if task.Open() {
				open++
			}
		}
		for i := range open {
			if f.Claim("last") == "" {
				t.Fatalf("claimed %d of %d", i, open)
			}
		}
		if f.Claim("last") != "" {
			t.Error("claimed one too many")
		}
	})
}
