package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/lua"
)

// abandon unregisters w1 and stops before its tasks are returned, as a coordinator that dies there
// does. It returns the keys of the two queues that are set aside: claimed tasks and assigned ones.
func (d *day) abandon(t *testing.T) (active, assigned string) {
	t.Helper()
	reply, err := lua.NewRunner(d.client).Run(t.Context(), lua.Named("unregister_instance"), []string{d.space.Log()},
		`"actor":"w1","cause":null,"trace":null`, "x", 0, "w1", "s1", "")
	if err != nil || reply.([]any)[0] != int64(2) {
		t.Fatal(reply, err)
	}
	seq := d.client.HGet(t.Context(), d.space.Log(), "seq").Val()
	d.project(t)
	return d.space.Orphans(seq + ":active"), d.space.Orphans(seq + ":instance")
}

func TestWhatIsSetAsideIsCompared(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(ctx context.Context, d *day, active, assigned string) error
		names  func(d *day, active, assigned string) []string
	}{
		"nothing": {func(context.Context, *day, string, string) error { return nil }, nil},
		"gone on with": {func(ctx context.Context, d *day, _, _ string) error {
			// It is finished by a call while it is set aside, and stays listed until the list is
			// processed.
			_, err := d.try(ctx, "task.update", object{"id": d.assigned, "updates": object{"priority": 3, "status": "pending"}})
			return err
		}, nil},
		"not listed": {func(ctx context.Context, d *day, _, _ string) error {
			return d.client.ZRemRangeByRank(ctx, d.space.Orphaned(), 0, 0).Err()
		}, func(d *day, active, _ string) []string {
			return []string{"queue " + d.space.Orphaned() + " does not contain " + active + ", which has 1 tasks that were set aside from w1"}
		}},
		"lost": {func(ctx context.Context, d *day, _, assigned string) error {
			return d.client.ZRem(ctx, assigned, d.assigned).Err()
		}, func(d *day, _, assigned string) []string {
			return []string{"task " + d.assigned, "is not in queue " + assigned, "it was set aside from w1"}
		}},
		"strange": {func(ctx context.Context, d *day, active, _ string) error {
			return d.client.ZAdd(ctx, active, redis.Z{Score: 1, Member: d.waiting}).Err()
		}, func(d *day, active, _ string) []string {
			return []string{"queue " + active + " contains " + d.waiting, "it was not set aside then"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDay(t, false)
			active, assigned := d.abandon(t)
			if err := c.damage(t.Context(), d, active, assigned); err != nil {
				t.Fatal(err)
			}
			d.project(t)
			report := d.verify(t)
			if c.names == nil {
				clean(t, report)
				return
			}
			names(t, report, c.names(d, active, assigned)...)
		})
	}
}

// Hundreds of tasks change owners during the comparison.
func TestVerifyFollowsWhileInstancesDie(t *testing.T) {
	t.Parallel()
	b := newBundle(t, false)
	b.follow(t)
	for i := range 200 {
		b.create(t, i%100, "")
	}
	died := make(chan error, 1)
	go func() {
		for n := range 40 {
			id := fmt.Sprintf("w%d", n)
			_, err := b.try(t.Context(), "system.register", object{"id": id, "roles": []string{"worker"}, "metadata": object{"maxTasks": 100}})
			if err == nil {
				_, err = b.try(t.Context(), "task.claim", object{"workerId": id, "maxTasks": 10})
			}
			if err == nil {
				_, err = b.try(t.Context(), "system.unregister", object{"instanceId": id})
			}
			if err != nil {
				died <- err
				return
			}
		}
		died <- nil
	}()
	for over := false; !over; {
		clean(t, b.verify(t))
		select {
		case err := <-died:
			if err != nil {
				t.Fatal(err)
			}
			over = true
		default:
		}
	}
	clean(t, b.verify(t))
}

func TestARedisOrPostgresThatIsGoneIsAnError(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	client := testenv.ClientOf(t, server)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if report, err := audit.Verify(t.Context(), audit.Options{Redis: client}); err == nil {
		t.Errorf("without Redis: %+v", report)
	}

	d := newDay(t, true)
	d.pool.Close()
	if report, err := audit.Verify(t.Context(), audit.Options{Redis: d.client, Keys: d.space, Postgres: d.pool}); err == nil {
		t.Errorf("without Postgres: %+v", report)
	}
}

func TestTheEmbeddedRedisIsVerifiedToo(t *testing.T) {
	t.Parallel()
	b := &bundle{namespace: testenv.Namespace(t), client: testenv.EmbeddedClient(t)}
	var err error
	if b.space, err = keys.New(b.namespace); err != nil {
		t.Fatal(err)
	}
	if b.coordinator, err = commands.New(commands.Options{Runner: lua.NewRunner(b.client), Keys: b.space, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	b.do(t, "system.register", object{"id": "w1", "roles": []string{"worker"}})
	for range 20 {
		b.create(t, 50, `{"roles":["worker"]}`)
	}
	b.do(t, "task.claim", object{"workerId": "w1", "maxTasks": 3})
	report := b.verify(t, func(o *audit.Options) { o.Wait = time.Millisecond })
	names(t, report, "projection state is stuck at seq 0")
	if report.Total != 1 || report.Tasks != 20 {
		t.Errorf("%+v", report)
	}
}

// Every queue that was set aside is compared, however many there are.
func TestManyThatAreSetAsideAreCompared(t *testing.T) {
	t.Parallel()
	d := newDay(t, false)
	scripts := lua.NewRunner(d.client)
	var tasks []string
	for n := range 130 {
		id := fmt.Sprintf("left-%d", n)
		d.do(t, "system.register", object{"id": id, "roles": []string{}})
		task := d.create(t, 50, "")
		d.do(t, "task.assign", object{"taskId": task, "instanceId": id})
		tasks = append(tasks, task)
		_, err := scripts.Run(t.Context(), lua.Named("unregister_instance"), []string{d.space.Log()}, `"actor":"x","cause":null,"trace":null`, "x", 0, id, "", "")
		if err != nil {
			t.Fatal(err)
		}
	}
	d.project(t)
	clean(t, d.verify(t))
	last := d.client.ZRevRange(t.Context(), d.space.Orphaned(), 0, 0).Val()[0]
	var entry struct{ Queue string }
	if err := json.Unmarshal([]byte(last), &entry); err != nil {
		t.Fatal(err)
	}
	queue := d.space.Orphans(entry.Queue)
	if err := d.client.ZRem(t.Context(), queue, tasks[129]).Err(); err != nil {
		t.Fatal(err)
	}
	names(t, d.verify(t), "task "+tasks[129], "is not in queue "+queue, "it was set aside from left-129")
}

// One event may set aside claimed and assigned tasks, and record which of those were auto-assigned.
// In older data, the key of that record contains only the event.
func TestWhatWasAutoAssignedIsKnown(t *testing.T) {
	t.Parallel()
	b := newBundle(t, false)
	b.follow(t)
	b.create(t, 50, "")
	b.create(t, 50, "")
	b.do(t, "system.register", object{"id": "w", "roles": []string{"worker", "a"}, "metadata": object{"sessionId": "before"}})
	b.do(t, "task.claim", object{"workerId": "w"})
	_, err := lua.NewRunner(b.client).Run(t.Context(), lua.Named("register_instance"), []string{b.space.Log()}, lua.EventContext("w", "", ""), "", 0,
		"w", `["worker"]`, 1, `{"sessionId":"after"}`, "after", 10, 30_000, "", "")
	if err != nil {
		t.Fatal(err)
	}
	clean(t, b.verify(t))
	seq := b.client.HGet(t.Context(), b.space.Log(), "seq").Val()
	auto := b.space.Orphans(seq + ":instance:auto")
	if err := b.client.Rename(t.Context(), auto, b.space.Orphans(seq+":auto")).Err(); err != nil {
		t.Fatal(err)
	}
	clean(t, b.verify(t))
	if err := b.client.Rename(t.Context(), b.space.Orphans(seq+":auto"), b.space.Orphans("1:instance:auto")).Err(); err != nil {
		t.Fatal(err)
	}
	names(t, b.verify(t), "key "+b.space.Orphans("1:instance:auto")+": it is not in the log")
}
