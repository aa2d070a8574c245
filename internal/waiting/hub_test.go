package waiting_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/internal/waiting"
	"github.com/claudebench/claudebench/lua"
)

// bench is a coordinator with Hubs of its own beside it, as other coordinators have them.
type bench struct {
	*fleettest.Fleet
	attempts atomic.Int64
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Fleet: fleettest.New(t, fleettest.RealRedis(t), commands.Options{})}
	b.Unhurried()
	return b
}

func (b *bench) hub(t *testing.T) *waiting.Hub {
	t.Helper()
	return b.hubOn(t, b.runner(t).On(b.Keys.Log()))
}

func (b *bench) runner(t *testing.T) *lua.Runner {
	t.Helper()
	return lua.NewRunner(fleettest.ClientOf(t, b.Client))
}

// hubOn is hub with these scripts.
func (b *bench) hubOn(t *testing.T, scripts lua.Scripts) *waiting.Hub {
	t.Helper()
	h := waiting.New(waiting.Options{Scripts: scripts, Runner: b.runner(t), Wakeups: b.Keys.Wakeups()})
	h.WakeupsOnly()
	t.Cleanup(h.Close)
	return h
}

// claim waits for a task with a Hub and returns the task's id, "" for none.
func (b *bench) claim(ctx context.Context, h *waiting.Hub, worker string, wait time.Duration) (string, error) {
	reply, err := h.Claim(ctx, worker, time.Now().Add(wait), false, func(ctx context.Context) (waiting.Reply, error) {
		b.attempts.Add(1)
		values, err := b.Scripts.Run(ctx, lua.Named("claim_task"), lua.EventContext(worker, "", ""), "", 0, "", "", worker, 1, "", waiting.Hold.Milliseconds())
		if err != nil {
			return waiting.Reply{}, err
		}
		list, _ := values.([]any)
		r := waiting.Reply{Result: json.RawMessage(list[0].(string)), Roles: list[1].(string)} //nolint:forcetypeassert // a test
		r.TTL = time.Duration(lua.Integer(list[2])) * time.Millisecond
		for _, set := range list[3:] {
			r.Sets = append(r.Sets, set.(string)) //nolint:forcetypeassert // a test
		}
		r.Final = len(r.Sets) > 0
		return r, nil
	})
	if err != nil || !reply.Final {
		return "", err
	}
	return fleettest.Decoded[fleettest.Claim](b.T, reply.Result).TaskID, nil
}

// A task wakes one call in each coordinator, however many wait.
func TestOneTaskMakesOneAttempt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	hubs := []*waiting.Hub{b.hub(t), b.hub(t)}
	const calls = 100
	claimed := make(chan string, 2*calls)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range 2 * calls {
		worker := fmt.Sprint("w", i)
		b.Register(worker, `["worker"]`, "")
		running.Go(func() {
			id, err := b.claim(ctx, hubs[i%2], worker, time.Minute)
			if err == nil {
				claimed <- id
			}
		})
	}
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
		return hubs[0].Idle() == calls && hubs[1].Idle() == calls, fmt.Sprintf("%d and %d calls wait", hubs[0].Idle(), hubs[1].Idle())
	})
	before := b.attempts.Load()
	const tasks = 20
	for n := range int64(tasks) {
		id := b.Create("x", "")
		if got := <-claimed; got != id {
			t.Fatalf("claimed %s, want %s", got, id)
		}
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
			waits := hubs[0].Idle() + hubs[1].Idle()
			return waits == 2*calls-int(n)-1, fmt.Sprint(waits, " calls wait")
		})
	}
	if made := b.attempts.Load() - before; made > 2*tasks {
		t.Errorf("%d tasks made %d attempts", tasks, made)
	}
	if counted, made := hubs[0].Attempts()+hubs[1].Attempts(), b.attempts.Load(); counted != made {
		t.Errorf("the Hubs counted %d attempts, want %d", counted, made)
	}
	cancel()
	running.Wait()
}

// Whatever happens at the same time, a task that can be claimed reaches a call that may take it.
func TestNoWakeupIsLost(t *testing.T) {
	t.Parallel()
	for _, workersOfAKind := range []int{1, 3} {
		t.Run(fmt.Sprint(4*workersOfAKind, " workers"), func(t *testing.T) {
			t.Parallel()
			flood(t, newBench(t), 5000, workersOfAKind, func(context.Context) {})
		})
	}
	t.Run("connections cut", func(t *testing.T) {
		t.Parallel()
		own := testenv.OwnRedis(t, devstack.RedisOptions{})
		b := &bench{Fleet: fleettest.New(t, fleettest.ClientOf(t, testenv.ClientOf(t, own)), commands.Options{})}
		b.Unhurried()
		killer := testenv.ClientOf(t, own)
		flood(t, b, 10_000, 3, func(ctx context.Context) {
			ticker := time.NewTicker(20 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					cut(ctx, killer)
				case <-ctx.Done():
					return
				}
			}
		})
	})
}

var clientID = regexp.MustCompile(`(?m)^id=(\d+)`)

// cut closes a random connection of another client.
func cut(ctx context.Context, killer *redis.Client) {
	list, err := killer.ClientList(ctx).Result()
	own, err2 := killer.ClientID(ctx).Result()
	if err != nil || err2 != nil {
		return // the test is over
	}
	ids := clientID.FindAllStringSubmatch(list, -1)
	if id := ids[rand.IntN(len(ids))][1]; id != fmt.Sprint(own) {
		killer.ClientKillByFilter(ctx, "ID", id)
	}
}

// flood creates tasks for different roles, some at a time, while workers with different roles wait
// for them and some give up. Each task must be claimed within moments, by wake-ups alone.
func flood(t *testing.T, b *bench, tasks, workersOfAKind int, disturb func(context.Context)) {
	const creators = 4
	ctx, cancel := context.WithCancel(t.Context())
	hubs := []*waiting.Hub{b.hub(t), b.hub(t)}
	var working, creating sync.WaitGroup
	for kind, roles := range []string{`["worker"]`, `["worker","a"]`, `["b","worker"]`, `["a","b","worker"]`} {
		for n := range workersOfAKind {
			worker := fmt.Sprintf("w%d-%d", kind, n)
			b.Register(worker, roles, `,"ttlMs":3600000`)
			working.Go(func() { b.work(ctx, hubs[(kind+n)%2], worker) })
		}
	}
	working.Go(func() { disturb(ctx) })
	for n := range creators {
		creating.Go(func() {
			for left := tasks / creators; left > 0 && !t.Failed(); {
				burst := min(left, 1+rand.IntN(8))
				left -= burst
				b.createAndWait(t, fmt.Sprintf("burst %d of creator %d", left, n), burst)
			}
		})
	}
	creating.Wait()
	cancel()
	working.Wait()
}

// work claims tasks until ctx ends. After some tasks it gives a call up early, once: a worker that
// came again and again would find a task without a wake-up.
func (b *bench) work(ctx context.Context, h *waiting.Hub, worker string) {
	for ctx.Err() == nil {
		if rand.IntN(4) == 0 {
			soon, cancel := context.WithTimeout(ctx, time.Duration(1+rand.IntN(20))*time.Millisecond)
			_, _ = b.claim(soon, h, worker, time.Minute) // the tasks show what was claimed
			cancel()
		}
		for id := ""; id == "" && ctx.Err() == nil; {
			id, _ = b.claim(ctx, h, worker, time.Minute)
		}
	}
}

// createAndWait creates tasks and waits until they are claimed.
func (b *bench) createAndWait(t *testing.T, what string, n int) {
	ids := map[string]bool{}
	for range n {
		roles := []string{``, `,"metadata":{"roles":["a"]}`, `,"metadata":{"roles":["b"]}`, `,"metadata":{"roles":["a","b"]}`}[rand.IntN(4)]
		result, err := b.Do("task.create", `{"text":"x"`+roles+`}`)
		if err == nil { // else a connection was cut
			ids[fleettest.Decoded[fleettest.Task](t, result).ID] = true
		}
	}
	deadline := time.Now().Add(fleettest.Patience)
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for len(ids) > 0 {
		<-ticker.C
		for id := range ids {
			status, err := b.Client.HGet(context.Background(), b.Keys.Task(id), "status").Result()
			if err == nil && status != "pending" {
				delete(ids, id)
			}
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: nobody has claimed %v", what, slices.Collect(maps.Keys(ids)))
			return
		}
	}
}

// While workers wait and nothing fails, a task is claimed within 100 ms, by wake-ups alone. The times
// are those of the events, so they do not include what the test itself takes.
func TestATaskIsClaimedAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	hubs := []*waiting.Hub{b.hub(t), b.hub(t)}
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	claimed := make(chan string)
	const workers, tasks = 8, 1000
	for n := range workers {
		worker := fmt.Sprint("w", n)
		b.Register(worker, `["a","worker"]`, `,"ttlMs":3600000`)
		working.Go(func() {
			for ctx.Err() == nil {
				if id, err := b.claim(ctx, hubs[n%2], worker, time.Minute); err == nil && id != "" {
					select {
					case claimed <- id:
					case <-ctx.Done():
					}
				}
			}
		})
	}
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return hubs[0].Idle()+hubs[1].Idle() == workers, "they do not wait" })
	var took []time.Duration
	for n := range tasks {
		id := b.Create("x", []string{"", forRole("a"), forRole("worker")}[n%3])
		select {
		case got := <-claimed:
			if got != id {
				t.Fatalf("claimed %s, want %s", got, id)
			}
		case <-time.After(fleettest.Patience):
			t.Fatalf("nobody has claimed %s", id)
		}
		task := b.Get(id)
		took = append(took, between(t, task.CreatedAt, task.UpdatedAt))
	}
	slices.Sort(took)
	t.Logf("claimed after: median %v, p99 %v, max %v", took[tasks/2], took[tasks*99/100], took[tasks-1])
	// All of them, but for stalls of a busy machine.
	if p95, most := took[tasks*95/100], took[tasks-1]; p95 > 100*time.Millisecond || most > time.Second {
		t.Errorf("claimed after: p95 %v, max %v", p95, most)
	}
}

// between returns the time between two times of tasks.
func between(t *testing.T, from, to string) time.Duration {
	t.Helper()
	a, err := time.Parse(time.RFC3339, from)
	b, err2 := time.Parse(time.RFC3339, to)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return b.Sub(a)
}

// A call that waits keeps its worker registered, whatever the TTL.
func TestWaitingIsASignOfLife(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.With(func(o *commands.Options) { o.InstanceTTL = 2 * time.Second })
	h := b.hub(t)
	b.Register("waits", `["worker"]`, "")
	b.Register("silent", `["worker"]`, "")
	got := make(chan string, 1)
	go func() {
		id, err := b.claim(t.Context(), h, "waits", time.Minute)
		if err != nil {
			id = err.Error()
		}
		got <- id
	}()
	// The keys expire on Redis's clock, so the silent one's end shows that a TTL is over.
	for range 2 {
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
			return b.Exists(b.Keys.Instance("silent")) == 0, "the silent worker is still registered"
		})
		b.Register("silent", `["worker"]`, "")
	}
	if b.Exists(b.Keys.Instance("waits")) == 0 {
		t.Fatal("the registration has expired")
	}
	id := b.Create("x", "")
	if claimed := <-got; claimed != id {
		t.Errorf("claimed %s, want %s", claimed, id)
	}
}

// Calls hear of what concerns only their own worker.
func TestWakeupsForOneWorker(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(b *bench)
		want   string // part of the error, "" for a claimed task
	}{
		"it leaves":             {func(b *bench) { b.OK("system.unregister", `{"instanceId":"w"}`) }, "NOT_REGISTERED"},
		"everything is flushed": {func(b *bench) { b.OK("system.flush", `{"confirm":"FLUSH_ALL_DATA"}`) }, "NOT_REGISTERED"},
		"it gets the missing role": {func(b *bench) {
			b.Create("x", `,"metadata":{"roles":["new"]}`)
			b.Register("w", `["new","worker"]`, "")
		}, ""},
		"a task loses its role": {func(b *bench) {
			id := b.Create("x", `,"metadata":{"roles":["other"]}`)
			b.OK("task.update", `{"id":%q,"updates":{"metadata":{"roles":null}}}`, id)
		}, ""},
		"a worker gives a task back": {func(b *bench) {
			b.Register("v", `["other","worker"]`, "")
			id := b.Create("x", `,"metadata":{"roles":["other"]}`)
			if b.Claim("v") != id {
				b.T.Fatalf("not claimed")
			}
			b.OK("task.update", `{"id":%q,"updates":{"metadata":{"roles":null}}}`, id)
			b.OK("task.unassign", `{"taskId":%q}`, id)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			h := b.hub(t)
			b.Register("w", `["worker"]`, "")
			got := make(chan error, 1)
			go func() {
				_, err := b.claim(t.Context(), h, "w", time.Minute)
				got <- err
			}()
			testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return h.Idle() == 1, "it does not wait" })
			test.change(b)
			select {
			case err := <-got:
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("ended with %v, want %q", err, test.want)
				}
			case <-time.After(fleettest.Patience):
				t.Error("it still waits")
			}
		})
	}
}

// After Stop nobody waits.
func TestStop(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.hub(t)
	b.Register("w", `["worker"]`, "")
	ended := make(chan error, 1)
	go func() {
		id, err := b.claim(t.Context(), h, "w", time.Minute)
		ended <- errors.Join(err, unless(id == "", "claimed "+id))
	}()
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return h.Idle() == 1, "it does not wait" })
	h.Stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if id, err := b.claim(t.Context(), h, "w", time.Minute); id != "" || err != nil {
		t.Errorf("a later call: %q, %v", id, err)
	}
	id := b.Create("x", "")
	if got, err := b.claim(t.Context(), h, "w", time.Minute); got != id {
		t.Errorf("a later call with a task: %q, %v", got, err)
	}
}

func unless(ok bool, why string) error {
	if ok {
		return nil
	}
	return errors.New(why)
}
