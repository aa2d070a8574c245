package server

import (
	"fmt"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

type claim struct {
	Claimed bool
	TaskID  string
	Task    struct{ Attempt int }
}

// A worker's room is computed from what it holds. When it dies and comes back it has all its room
// again, however often that happens.
func TestTheRoomOfADeadWorkerComesBack(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	c := start(t, cfg)
	for range 6 {
		c.create(t, params{"text": "t"})
	}
	rdb := redisOf(t, cfg)
	for range 3 {
		call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}, "metadata": params{"maxTasks": 2}})
		if n := rdb.ZCard(t.Context(), keysOf(t, cfg).Assigned("w")).Val(); n != 2 {
			t.Errorf("it was given %d tasks", n)
		}
		for range 2 {
			call[claim](t, c, "task.claim", params{"workerId": "w"})
		}
		testenv.Eventually(t, margin, func() (bool, string) { // silent for longer than 0 ms
			r := call[struct{ Failed []string }](t, c, "system.check_health", params{"timeout": 0})
			return len(r.Failed) == 1, fmt.Sprintf("failed: %v", r.Failed)
		})
	}
	agree(t, c, cfg)
}

// A task that no worker here can do waits for one that can. Waiting is not a failure.
func TestWorkThatNobodyCanDoWaits(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	c := start(t, cfg)
	c.ready(t)
	id := c.create(t, params{"text": "draw", "metadata": params{"roles": []string{"gpu"}}})
	call[object](t, c, "system.register", params{"id": "plain", "roles": []string{"worker"}})
	if got := call[claim](t, c, "task.claim", params{"workerId": "plain"}); got.Claimed {
		t.Errorf("who cannot do it got %s", got.TaskID)
	}
	call[object](t, c, "system.unregister", params{"instanceId": "plain"})
	call[object](t, c, "system.register", params{"id": "able", "roles": []string{"worker", "gpu"}})
	if got := call[claim](t, c, "task.claim", params{"workerId": "able"}); got.TaskID != id {
		t.Errorf("who can do it got %+v", got)
	}
	agree(t, c, cfg)
}

// A worker that was wrongly taken for dead cannot complete the task that it lost. After it has
// claimed the task again, it can complete it only with the new attempt.
func TestAWorkerTakenForDeadIsFencedOff(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	c := start(t, cfg)
	id := c.create(t, params{"text": "t"})
	register := params{"id": "w", "roles": []string{}}
	call[object](t, c, "system.register", register)
	old := call[claim](t, c, "task.claim", params{"workerId": "w"})
	testenv.Eventually(t, margin, func() (bool, string) {
		r := call[struct{ Failed []string }](t, c, "system.check_health", params{"timeout": 0})
		return len(r.Failed) == 1, fmt.Sprintf("failed: %v", r.Failed)
	})
	finish := params{"id": id, "workerId": "w", "attempt": old.Task.Attempt}
	_ = refused(t, c, api.CodeConflict, "task.complete", finish)
	call[object](t, c, "system.register", register)
	again := call[claim](t, c, "task.claim", params{"workerId": "w"})
	if again.TaskID != id || again.Task.Attempt != old.Task.Attempt+1 {
		t.Errorf("claimed again: %+v", again)
	}
	_ = refused(t, c, api.CodeConflict, "task.complete", finish)
	finish["attempt"] = again.Task.Attempt
	call[object](t, c, "task.complete", finish)
	agree(t, c, cfg)
}
