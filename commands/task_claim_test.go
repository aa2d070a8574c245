package commands

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/api"
)

func TestClaim(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		if got := string(f.ok("task.claim", `{"workerId":"w"}`)); got != `{"claimed":false}` {
			t.Errorf("with nothing to claim: %s", got)
		}
		id := f.create("x", "")
		before := f.seq()
		claim := decoded[claimJSON](t, f.ok("task.claim", `{"workerId":"w"}`))
		if !claim.Claimed || claim.TaskID != id || claim.Task.ID != id || claim.Task.Status != "in_progress" || claim.Task.AssignedTo != "w" ||
			claim.Task.Attempt != 1 || claim.Tasks != nil {
			t.Errorf("claimed %+v", claim)
		}
		e := f.emitted(before, "task.claimed")[0]
		f.holds(e, fmt.Sprintf(`{"taskId":%q,"workerId":"w","attempt":1,"previousAssignment":null,"status":"in_progress",
			"previousStatus":"pending","claimedAt":%q}`, id, claim.Task.UpdatedAt))
		if got := f.get(id); got.Status != "in_progress" || got.UpdatedAt != claim.Task.UpdatedAt {
			t.Errorf("the task is %+v", got)
		}
		if h := f.hash(f.keys.Instance("w")); h["status"] != "BUSY" {
			t.Errorf("the worker is %v", h)
		}
		f.refused(api.CodeNotRegistered, `{"instanceId":"nobody"}`, "task.claim", `{"workerId":"nobody"}`)
	})
}

// The highest priority first, and within one the first that came.
func TestClaimOrder(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["monitor"]`, "") // who claims need not be a worker
		var want []string
		byPriority := map[int][]string{}
		for i := range 30 {
			priority := []int{0, 100, 50, 1, 99}[i%5]
			byPriority[priority] = append(byPriority[priority], f.create("x", fmt.Sprintf(`,"priority":%d`, priority)))
		}
		for _, priority := range []int{100, 99, 50, 1, 0} {
			want = append(want, byPriority[priority]...)
		}
		claim := decoded[claimJSON](t, f.ok("task.claim", `{"workerId":"w","maxTasks":10}`))
		var got []string
		for _, task := range claim.Tasks {
			got = append(got, task.ID)
		}
		if claim.TaskID != got[0] || claim.Task.ID != got[0] {
			t.Errorf("the first is %s, %s", claim.TaskID, claim.Task.ID)
		}
		for range 20 {
			got = append(got, f.claim("w"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("claimed\n%v, want\n%v", got, want)
		}
		one := f.create("x", "")
		claim = decoded[claimJSON](t, f.ok("task.claim", `{"workerId":"w","maxTasks":3}`))
		if len(claim.Tasks) != 1 || claim.Tasks[0].ID != one {
			t.Errorf("claimed %+v", claim)
		}
	})
}

func TestClaimOwnFirst(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		f.register("other", `["worker"]`, "")
		own, waiting := f.create("own", `,"priority":1`), f.create("waiting", `,"priority":100`)
		theirs := f.create("theirs", `,"priority":100`)
		f.ok("task.assign", `{"taskId":%q,"instanceId":"w"}`, own)
		f.ok("task.assign", `{"taskId":%q,"instanceId":"other"}`, theirs)
		before := f.seq()
		claim := decoded[claimJSON](t, f.ok("task.claim", `{"workerId":"w","maxTasks":5}`))
		if len(claim.Tasks) != 2 || claim.Tasks[0].ID != own || claim.Tasks[1].ID != waiting {
			t.Errorf("claimed %+v", claim.Tasks)
		}
		f.holds(f.emitted(before, "task.claimed", "task.claimed")[0], `{"previousAssignment":"w"}`)
		if f.claim("w") != "" { // what was assigned by hand stays where it was put
			t.Error("took another's task")
		}
	})
}

// Nobody sits on work that was given automatically.
func TestClaimTakesFromTheOneThatHasMost(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		for i := range 5 {
			f.create("x", fmt.Sprintf(`,"priority":%d,"metadata":{"roles":[%s]}`, i, []string{`"a"`, ``}[i%2]))
		}
		f.register("sits", `["worker","a"]`, "")
		if n := len(f.zset(f.keys.Auto("sits"))); n != 5 {
			t.Fatalf("was given %d", n)
		}
		f.register("idle", `["worker"]`, "")
		before := f.seq()
		if got := f.claim("idle"); got != "t-4" { // t-5 is better, and asks for a role
			t.Errorf("claimed %q", got)
		}
		events := f.emitted(before, "task.assigned", "task.claimed")
		f.holds(events[0], `{"taskId":"t-4","instanceId":"idle","previousAssignment":"sits","reason":"rebalanced","previousStatus":"pending"}`)
		f.holds(events[1], `{"taskId":"t-4","workerId":"idle","attempt":1,"previousAssignment":"idle"}`)
		if f.claim("idle") != "t-2" || f.claim("idle") != "" {
			t.Error("took what it may not take")
		}
		f.register("also", `["worker","a"]`, `,"metadata":{"maxTasks":0}`)
		for _, want := range []string{"t-5", "t-3", "t-1", ""} {
			if got := f.claim("also"); got != want {
				t.Errorf("claimed %q, want %q", got, want)
			}
		}
		if f.exists(f.keys.Stealable(), f.keys.Auto("sits")) != 0 {
			t.Error("the index of what can be taken is not empty")
		}
	})
}

// A task that asks for roles goes to one that has them all, and nobody waits behind it.
func TestClaimRoles(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		for range 100 {
			f.create("x", `,"priority":100,"metadata":{"roles":["gpu","big"]}`)
		}
		gpu := f.create("x", `,"priority":60,"metadata":{"roles":["gpu"]}`)
		plain := f.create("x", `,"priority":50`)
		f.register("plain", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		f.register("gpu", `["worker","gpu"]`, `,"metadata":{"maxTasks":0}`)
		f.register("all", `["big","gpu","other"]`, "")
		if f.claim("gpu") != gpu || f.claim("plain") != plain || f.claim("gpu") != "" || f.claim("plain") != "" {
			t.Error("claimed another task")
		}
		if f.claim("all") != "t-1" {
			t.Error("one that has all the roles claimed nothing")
		}
		f.refused(api.CodeConflict, `{"reason":"ROLES_MISSING","roles":["big","gpu"]}`, "task.assign", `{"taskId":"t-2","instanceId":"gpu"}`)
	})
}

func TestClaimAgain(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		f.create("x", "")
		f.create("y", "")
		first := f.ok("task.claim", `{"workerId":"w","maxTasks":1,"idempotencyKey":"k"}`)
		before := f.seq()
		again := f.ok("task.claim", `{"idempotencyKey":"k","maxTasks":1,"workerId":"w"}`)
		if string(again) != string(first) || f.seq() != before {
			t.Errorf("answered %s, then %s", first, again)
		}
		f.refused(api.CodeConflict, `{"reason":"IDEMPOTENCY_KEY_REUSED"}`, "task.claim", `{"workerId":"w","maxTasks":2,"idempotencyKey":"k"}`)
		f.ok("task.claim", `{"workerId":"w","idempotencyKey":"l"}`)
		empty := f.ok("task.claim", `{"workerId":"w","idempotencyKey":"m"}`)
		f.create("z", "")
		if again := f.ok("task.claim", `{"workerId":"w","idempotencyKey":"m"}`); string(again) != string(empty) {
			t.Errorf("an empty claim answered %s, then %s", empty, again)
		}
	})
}

// The race: each task has one owner, and none is left.
func TestClaimRace(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		claimers, tasks := 32, 2000
		if f.embedded {
			claimers, tasks = 8, 64
		}
		coordinators := []*fleet{f, f.beside()}
		var fill errgroup.Group
		fill.SetLimit(4 * claimers)
		for worker := range claimers {
			fill.Go(func() error {
				_, err := f.do("system.register", fmt.Sprintf(`{"id":"w%d","roles":["worker"]}`, worker))
				return err
			})
		}
		for range tasks {
			fill.Go(func() error {
				_, err := f.do("task.create", `{"text":"x"}`)
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
					result, err := c.do("task.claim", fmt.Sprintf(`{"workerId":%q}`, id))
					if err != nil {
						return err
					}
					claim := decoded[claimJSON](t, result)
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

// Claims, releases, deaths and completions at once: the log tells of no task with two owners, and
// everything that is not finished can be claimed in the end.
func TestClaimAgainstReleaseAndDeath(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		coordinators := []*fleet{f, f.beside()}
		const tasks, workers = 60, 6
		turns := 40
		if f.embedded {
			turns = 8
		}
		for range tasks {
			f.create("x", "")
		}
		for w := range workers {
			f.register(fmt.Sprintf("w%d", w), `["worker"]`, `,"metadata":{"sessionId":"s"}`)
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
					result, err := c.do("task.claim", fmt.Sprintf(`{"workerId":%q}`, id))
					if err := lawful(err); err != nil {
						return err
					}
					if err != nil || i%4 == 3 {
						if _, err := c.do("system.register", fmt.Sprintf(`{"id":%q,"roles":["worker"],"metadata":{"sessionId":"s%d"}}`, id, i%8/4)); err != nil {
							return err
						}
						continue
					}
					claim := decoded[claimJSON](t, result)
					if claim.Claimed && i%2 == 0 {
						_, err := c.do("task.complete", fmt.Sprintf(`{"id":%q,"workerId":%q,"attempt":%d}`, claim.TaskID, id, claim.Task.Attempt))
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
					_, err := coordinators[c].do("task.unassign", fmt.Sprintf(`{"taskId":"t-%d"}`, 1+(i*7)%tasks))
					if err := lawful(err); err != nil {
						return err
					}
				}
				return nil
			})
			g.Go(func() error {
				for range turns / 4 {
					if _, err := coordinators[c].do("system.check_health", `{"timeout":3}`); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		told := f.verify()
		for w := range workers {
			f.ok("system.unregister", `{"instanceId":"w%d"}`, w)
		}
		f.register("last", `["worker"]`, "")
		open := 0
		for _, task := range told.tasks {
			if task.open() {
				open++
			}
		}
		for i := range open {
			if f.claim("last") == "" {
				t.Fatalf("claimed %d of %d", i, open)
			}
		}
		if f.claim("last") != "" {
			t.Error("claimed one too many")
		}
	})
}
