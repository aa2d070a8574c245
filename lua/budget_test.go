package lua

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

// fleet is a namespace with a worker, whose calls a test puts into lots itself.
type fleet struct {
	*testing.T
	client  *redis.Client
	space   keys.Space
	scripts *Runner
}

func newFleet(t *testing.T) fleet {
	t.Helper()
	client := testenv.Client(t)
	space, err := keys.New(testenv.Namespace(t))
	if err != nil {
		t.Fatal(err)
	}
	f := fleet{t, client, space, NewRunner(client)}
	f.send("register_instance", []any{"r", "0", "w", `["worker"]`, "1", "", "s", 0, 600_000, "", ""})
	return f
}

// send runs a script once for each list of arguments, which follow the context of an event, in one lot
// if the script allows so many. It returns the number of events of each type.
func (f fleet) send(script string, args ...[]any) (told map[string]int) {
	f.Helper()
	last := f.client.HGet(f.Context(), f.space.Log(), "seq").Val()
	for i, a := range args {
		args[i] = append([]any{`"actor":"a","cause":null,"trace":null`}, a...)
	}
	calls := callsOf(Named(script), f.space.Log(), args...)
	f.scripts.send(calls)
	for _, c := range calls {
		if <-c.done; c.err != nil {
			f.Fatal(script, c.err)
		}
	}
	told = map[string]int{}
	for _, entry := range f.client.XRange(f.Context(), f.space.Events(), "-", "+").Val() {
		data := fmt.Sprint(entry.Values["data"])
		kind, _, _ := strings.Cut(data[strings.Index(data, `"type":"`)+8:], `"`)
		var n, before int
		_, _ = fmt.Sscan(strings.SplitN(entry.ID, "-", 2)[1], &n)
		_, _ = fmt.Sscan(last, &before)
		if n > before {
			told[kind]++
		}
	}
	return told
}

// create creates n tasks with a delay in ms and options, and returns the number of the first one.
func (f fleet) create(n int, extras string) (first int) {
	f.Helper()
	_, _ = fmt.Sscan(f.client.HGet(f.Context(), f.space.Log(), "seq").Val(), &first)
	var calls [][]any
	for range n {
		calls = append(calls, []any{"c", "0", "", "", "x", 50, "", "", "", "", extras})
	}
	if told := f.send("create_task", calls...); told["task.created"] != n {
		f.Fatalf("created %v", told)
	}
	return first + 1
}

// step runs a step of the timers.
func (f fleet) step() map[string]int { f.Helper(); return f.send("fire_timers", []any{600_000}) }

// same compares the number of some events with what a test wants.
func (f fleet) same(what string, told map[string]int, want string) {
	f.Helper()
	if got := strings.Trim(fmt.Sprint(told), "map[]"); got != want {
		f.Errorf("%s: emitted %s, want %s", what, got, want)
	}
}

// However many calls share an EVALSHA, it moves at most 100 due tasks. Further ones are moved later.
func TestClaimsOfALotShareTheDueTasks(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	const tasks = 250
	f.create(tasks, `{"delay":1,"retention":600000}`)
	testenv.Eventually(t, patience, func() (bool, string) {
		last := f.client.ZRevRangeWithScores(t.Context(), f.space.Scheduled(), 0, 0).Val()[0].Score
		now, err := f.client.Time(t.Context()).Result()
		return err == nil && float64(now.UnixMilli()) > last, fmt.Sprint(now, err)
	})
	claim := []any{"k", "0", "", "", "w", 1, "", "0"}
	claims := func() [][]any { return [][]any{claim, claim, claim, claim} }
	if lot := Named("claim_task").LotSize; lot != len(claims()) {
		t.Fatalf("a lot has %d claims", lot)
	}
	f.same("four claims", f.send("claim_task", claims()...), "task.claimed:4 task.due:100")
	f.same("a step", f.step(), "task.due:100")
	f.same("four claims", f.send("claim_task", claims()...), "task.claimed:4 task.due:50")
	f.same("a step", f.step(), "")
}

// However many tasks end in an EVALSHA, it tells at most 50 of those that depend on them: each end the
// first 10. Further ones are told later.
func TestEndsOfALotShareTheDependents(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	const needed, dependents = 9, 12
	first := f.create(needed, "")
	for n := range needed {
		f.create(dependents, extras(fmt.Sprintf(`{"dependsOn":["t-%d"],"onDependencyFailure":"cancel"}`, first+n)))
	}
	f.same("the claim", f.send("claim_task", []any{"k", "0", "", "", "w", 100, "", "0"}), fmt.Sprint("task.claimed:", needed))
	complete := func(n int) []any {
		return []any{"e", "0", "", "", fmt.Sprint("t-", first+n), "w", 1, "", "", 600_000, "", "0", "0"}
	}
	f.same("one end", f.send("complete_task", complete(0)), "task.completed:1 task.unblocked:10")
	var rest [][]any
	for n := 1; n < needed; n++ {
		rest = append(rest, complete(n))
	}
	f.same("eight ends", f.send("complete_task", rest...), "task.completed:8 task.unblocked:50")
	f.same("a step", f.step(), fmt.Sprint("task.unblocked:", needed*dependents-60))
	f.same("a step", f.step(), "")
}

// A step ends at most 25 tasks that are late, and 50 turns of a limit that was changed. No two steps
// share an EVALSHA.
func TestAStepIsBounded(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	if lot := Named("fire_timers").LotSize; lot != 0 {
		t.Errorf("%d steps share an EVALSHA", lot)
	}
	const tasks = 60
	first := f.create(tasks, extras(`{"limitKey":"l"}`))
	f.send("claim_task", []any{"k", "0", "", "", "w", 100, "", "0"})
	var cancels [][]any
	for n := range tasks {
		cancels = append(cancels, []any{"x", "0", fmt.Sprint("t-", first+n), "null", 1, `"a"`, 600_000, "", ""})
	}
	f.send("cancel_task", cancels...)
	testenv.Eventually(t, patience, func() (bool, string) {
		last := f.client.ZRevRangeWithScores(t.Context(), f.space.Deadlines(), 0, 0).Val()[0].Score
		now, err := f.client.Time(t.Context()).Result()
		return err == nil && float64(now.UnixMilli()) > last, fmt.Sprint(now, err)
	})
	for _, want := range []string{"task.cancelled:25", "task.cancelled:25", "task.cancelled:10", ""} {
		f.same("a step", f.step(), want)
	}
	f.create(120, extras(`{"limitKey":"l"}`))
	f.same("a limit", f.send("set_limit", []any{"l", "0", "l", 0, `"a"`}), "limit.changed:1 task.blocked:50")
	for _, want := range []string{"task.blocked:50", "task.blocked:20", ""} {
		f.same("a step", f.step(), want)
	}
	f.same("no limit", f.send("set_limit", []any{"l", "0", "l", "", `"a"`}), "limit.deleted:1 task.unblocked:50")
	for _, want := range []string{"task.unblocked:50", "task.unblocked:20", ""} {
		f.same("a step", f.step(), want)
	}
}
