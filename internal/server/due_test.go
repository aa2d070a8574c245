package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// The times of 1,000 tasks come while Redis is away. Afterwards each of them becomes due once, and a
// claim gets them in the order of their priorities.
func TestRedisIsAwayOverDueTimes(t *testing.T) {
	t.Parallel()
	server := durable(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL, c.DatabaseURL = server.URL(), testenv.Postgres(t) })
	c := start(t, cfg)
	c.ready(t)
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}, "metadata": params{"maxTasks": 0}})
	const tasks = 1000
	at := time.Now().Add(6 * time.Second)
	for i := 0; i < tasks; i += 100 {
		var items []params
		for k := range 100 {
			items = append(items, params{"text": "x", "priority": k, "runAt": at.Add(time.Duration(i+k) * time.Millisecond).Format(time.RFC3339Nano)})
		}
		call[object](t, c, "task.create_many", params{"tasks": items})
	}
	scheduled := keysOf(t, cfg).Scheduled()
	if n := testenv.ClientOf(t, server).ZCard(t.Context(), scheduled).Val(); n != tasks {
		t.Fatalf("%d tasks are scheduled; the machine is too slow for this test", n)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	last := at.Add(tasks * time.Millisecond)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) { return time.Now().After(last), "the times have not come" })
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.ready(t)
	client := testenv.ClientOf(t, server)
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		n, err := client.ZCard(t.Context(), scheduled).Result()
		return err == nil && n == 0, fmt.Sprint(n, " are still scheduled, ", err)
	})
	best := call[struct{ Task struct{ Priority int } }](t, c, "task.claim", params{"workerId": "w"})
	if best.Task.Priority != 99 {
		t.Errorf("claimed a task of priority %d first", best.Task.Priority)
	}
	agree(t, c, cfg)
	due := count(entries(t, cfg))[events.TypeTaskDue]
	if len(due) != tasks {
		t.Errorf("%d tasks became due", len(due))
	}
	for id, n := range due {
		if n != 1 {
			t.Errorf("%s became due %d times", id, n)
		}
	}
}
