package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

type manyResult struct {
	Succeeded int
	Answers   []struct{ Result object }
}

// The coordinator is killed in the middle of a call: each item was done once or not at all, and a
// repeat with the same keys, at another coordinator, does the rest.
func TestManyItemsOutliveTheirCoordinator(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	doomed, other := spawn(t, cfg), start(t, cfg)
	call[object](t, other, "system.register", params{"id": "w", "roles": []string{"worker"}})
	const many = 1000
	tasks := make([]params, many)
	for i := range tasks {
		tasks[i] = params{"text": fmt.Sprint(i), "idempotencyKey": fmt.Sprint("create-", i)}
	}
	rdb, space := redisOf(t, cfg), keysOf(t, cfg)
	interrupted := func(method string, p params, events int64) {
		t.Helper()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = doomed.ask(method, p) // it is cut off, or just in time
		}()
		testenv.Eventually(t, 30*time.Second, func() (bool, string) {
			n := rdb.XLen(t.Context(), space.Events()).Val()
			return n > events, fmt.Sprintf("%d events", n)
		})
		doomed.kill(t)
		<-done
	}

	interrupted("task.create_many", params{"tasks": tasks}, rdb.XLen(t.Context(), space.Events()).Val())
	created := call[manyResult](t, other, "task.create_many", params{"tasks": tasks})
	if n := rdb.XLen(t.Context(), space.Topic("task.created")).Val(); created.Succeeded != many || n != many {
		t.Fatalf("%d succeeded, and %d tasks were created", created.Succeeded, n)
	}

	var items []params
	for len(items) < many {
		claimed := call[struct{ Tasks []object }](t, other, "task.claim", params{"workerId": "w", "maxTasks": 100})
		for _, task := range claimed.Tasks {
			items = append(items, params{"id": task["id"], "workerId": "w", "attempt": task["attempt"], "idempotencyKey": "complete-" + fmt.Sprint(task["id"])})
		}
	}
	doomed = spawn(t, cfg)
	interrupted("task.complete_many", params{"items": items}, rdb.XLen(t.Context(), space.Events()).Val())
	completed := call[manyResult](t, other, "task.complete_many", params{"items": items})
	if n := rdb.XLen(t.Context(), space.Topic("task.completed")).Val(); completed.Succeeded != many || n != many {
		t.Fatalf("%d succeeded, and %d tasks were completed", completed.Succeeded, n)
	}
	agree(t, other, cfg)
}
