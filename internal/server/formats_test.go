package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// restore writes the Redis data of an earlier version, a command on each line. The first argument after
// the command, or after XGROUP CREATE, is a key without the namespace.
func restore(t *testing.T, cfg *config.Config, path string) (written int) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // it was only read
	client := redisOf(t, cfg)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var args []any
		if err := json.Unmarshal(lines.Bytes(), &args); err != nil {
			t.Fatal(err)
		}
		key := 1
		if args[0] == "XGROUP" {
			key = 2
		}
		args[key] = keysOf(t, cfg).Prefix() + fmt.Sprint(args[key])
		if err := client.Do(t.Context(), args...).Err(); err != nil {
			t.Fatalf("%.200s: %v", lines.Text(), err)
		}
		written++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return written
}

// lastFailed returns the id of the task that failed last.
func lastFailed(t *testing.T, cfg *config.Config) (id string) {
	t.Helper()
	log, err := redisOf(t, cfg).XRange(t.Context(), keysOf(t, cfg).Topic(string(events.TypeTaskFailed)), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range log {
		var e struct{ Payload struct{ ID string } }
		if err := json.Unmarshal([]byte(fmt.Sprint(entry.Values["data"])), &e); err != nil {
			t.Fatal(err)
		}
		id = e.Payload.ID
	}
	return id
}

// What the version before tasks of a later time, retries, dependencies and limits wrote (format 3 of the
// log) is verified, projected and continued without a hand. testdata/log-format-3.jsonl was written by
// the scripts of that version: a flush, every event of tasks and instances after it, and tasks that
// wait, are assigned, claimed and orphaned.
func TestTheDataOfFormatThree(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	if n := restore(t, cfg, "testdata/log-format-3.jsonl"); n < 100 {
		t.Fatalf("only %d commands", n)
	}
	redisOnly := *cfg
	redisOnly.DatabaseURL = ""
	verified(t, &redisOnly)
	failed := lastFailed(t, cfg)
	c := start(t, cfg)
	c.ready(t)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) { // what the instances of then held is put back
		n, err := redisOf(t, cfg).Exists(t.Context(), keysOf(t, cfg).Orphaned()).Result()
		return err == nil && n == 0, fmt.Sprint(n, " lists of orphans, ", err)
	})
	caughtUp(t, c)
	verified(t, cfg)

	// Old tasks go through what is new.
	call[object](t, c, "system.register", params{"id": "new", "roles": []string{"worker"}, "metadata": params{"maxTasks": 0}})
	var claimed []string
	for range 4 {
		got := call[struct{ TaskID string }](t, c, "task.claim", params{"workerId": "new"})
		if got.TaskID == "" {
			t.Fatalf("only %v could be claimed", claimed)
		}
		claimed = append(claimed, got.TaskID)
	}
	call[object](t, c, "task.complete", params{"id": claimed[0], "result": 1})
	dependent := c.create(t, params{"text": "waits", "dependsOn": []string{claimed[1]}, "onDependencyFailure": "run", "limitKey": "l"})
	call[object](t, c, "task.complete", params{"id": claimed[1], "error": "x"})
	call[object](t, c, "task.progress", params{
		"id": claimed[2], "workerId": "new", "percent": 1, "attempt": call[struct{ Attempt int }](t, c, "task.get", params{"id": claimed[2]}).Attempt,
	})
	call[object](t, c, "task.cancel", params{"id": claimed[2], "graceMs": 0})
	call[object](t, c, "task.cancel", params{"id": claimed[3]})
	call[object](t, c, "task.retry", params{"id": claimed[1]})
	call[object](t, c, "task.retry", params{"id": failed})
	for id, want := range map[string]string{
		claimed[0]: "completed", claimed[1]: "pending", claimed[2]: "cancelled", claimed[3]: "in_progress", failed: "pending", dependent: "pending",
	} {
		testenv.Eventually(t, 10*time.Second, func() (bool, string) {
			got := call[struct{ Status string }](t, c, "task.get", params{"id": id}).Status
			return got == want, fmt.Sprintf("%s is %s, want %s", id, got, want)
		})
	}
	caughtUp(t, c)
	verified(t, cfg)
}
