package task_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// members returns the names of a JSON object's members, in their order.
func members(t *testing.T, object []byte) string {
	t.Helper()
	var names []string
	for name := range jsontext.Members(object) {
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// redisCalls runs a call and returns how often each command of Redis was called meanwhile, from scripts
// too.
func redisCalls(t *testing.T, f *fleettest.Fleet, call func()) string {
	t.Helper()
	if err := f.Client.ConfigResetStat(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	call()
	text, err := f.Client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]string{}
	for line := range strings.Lines(text) {
		var n int
		if name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":"); ok {
			if _, err := fmt.Sscanf(rest, "calls=%d", &n); err == nil && name != "config|resetstat" && name != "evalsha" {
				counts[name] = fmt.Sprint(name, " ", n)
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Values(counts)), ", ")
}

// life is what happens to a task without options: the events of each step, with their versions and
// members, and the calls of Redis that it takes. The version before there were options had the same,
// so who uses none of them pays nothing for them. Only a failure is told in a new version and takes
// more calls, EXISTS and ZRANGE, because it is counted.
var life = []struct{ method, params, events, calls string }{ // %[1]q is the task
	{
		"task.create", `{"text":"x","metadata":{"n":1}}`,
		"task.created 1: id text status priority assignedTo attempt metadata result error createdAt updatedAt completedAt",
		"hmget 1, hset 2, time 1, xadd 2, zadd 2",
	},
	{
		"task.assign", `{"taskId":%[1]q,"instanceId":"w"}`,
		"task.assigned 1: taskId instanceId previousAssignment reason status previousStatus assignedAt",
		"hget 1, hmget 3, hset 2, time 1, xadd 2, zadd 1, zcard 2, zrem 2",
	},
	{
		"task.unassign", `{"taskId":%[1]q}`,
		"task.unassigned 1: taskId instanceId previousAssignment reason status previousStatus unassignedAt",
		"hdel 1, hmget 3, hset 2, time 1, xadd 2, zadd 1, zcard 2, zrem 4",
	},
	{
		"task.claim", `{"workerId":"w"}`,
		"task.claimed 1: taskId workerId attempt previousAssignment status previousStatus waited claimedAt",
		"hdel 1, hkeys 1, hmget 4, hset 3, time 1, xadd 2, zadd 1, zcard 3, zrange 1, zrem 2",
	},
	{
		"task.update", `{"id":%[1]q,"updates":{"text":"y","priority":60}}`,
		"task.updated 2: id changes previousPriority status updatedAt updatedBy",
		"hmget 2, hset 4, time 1, xadd 2, zadd 4",
	},
	{
		"task.complete", `{"id":%[1]q,"workerId":"w","attempt":1,"result":1}`,
		"task.completed 1: id status workerId attempt duration result previousStatus completedAt",
		"hmget 4, hset 3, pexpire 1, time 1, xadd 2, zcard 2, zrem 3",
	},
	{
		"task.get", `{"id":%[1]q}`,
		"",
		"hexists 1, hmget 1, time 1",
	},
	{
		"task.delete", `{"id":%[1]q}`,
		"task.deleted 1: id deletedAt deletedBy previousStatus previousAssignment",
		"hmget 2, hset 1, time 1, unlink 1, xadd 2",
	},
	{
		"task.claim", `{"workerId":"w"}`,
		"",
		"hkeys 1, hmget 2, time 1, zcard 1, zrange 1, zrevrange 1",
	},
	{
		"task.create", `{"text":"x"}`,
		"task.created 1: id text status priority assignedTo attempt metadata result error createdAt updatedAt completedAt",
		"hmget 1, hset 2, time 1, xadd 2, zadd 2",
	},
	{
		"task.assign", `{"taskId":%[1]q,"instanceId":"w"}`,
		"task.assigned 1: taskId instanceId previousAssignment reason status previousStatus assignedAt",
		"hget 1, hmget 3, hset 2, time 1, xadd 2, zadd 1, zcard 2, zrem 2",
	},
	{
		"task.complete", `{"id":%[1]q,"error":"no"}`,
		"task.claimed 1: taskId workerId attempt previousAssignment status previousStatus waited claimedAt; task.failed 2: id status workerId attempt duration result error previousStatus completedAt failures",
		"exists 1, hmget 4, hset 3, pexpire 1, time 1, xadd 4, zadd 1, zcard 2, zrange 1, zrem 5",
	},
}

// live takes a task through its life, and checks each step. when is "" to check none.
func live(t *testing.T, f *fleettest.Fleet, when string) {
	t.Helper()
	id := ""
	for _, step := range life {
		before := f.Seq()
		calls := redisCalls(t, f, func() {
			answer := f.OK(step.method, step.params+"%[2]s", id, "")
			if step.method == "task.create" {
				id = fleettest.Decoded[fleettest.Task](t, answer).ID
			}
		})
		var told []string
		for _, e := range f.Since(before) {
			told = append(told, fmt.Sprintf("%s %d: %s", e.Type, e.V, members(t, e.Payload)))
		}
		if got := strings.Join(told, "; "); when != "" && got != step.events {
			t.Errorf("%s, %s emits\n%s, want\n%s", when, step.method, got, step.events)
		}
		if when != "" && calls != step.calls {
			t.Errorf("%s, %s calls\n%s, want\n%s", when, step.method, calls, step.calls)
		}
	}
}

func TestAPlainTaskPaysNothing(t *testing.T) {
	t.Parallel()
	f, _ := fleettest.OwnFleet(t)
	f.Unhurried()
	f.Register("w", `["worker"]`, `,"ttlMs":3600000,"metadata":{"maxTasks":0}`)
	live(t, f, "") // so that Redis knows the scripts
	live(t, f, "alone")
	// Others have options, and wait for a time, for a task and for their turn.
	f.Register("v", `["worker"]`, `,"ttlMs":3600000,"metadata":{"maxTasks":0}`)
	f.OK("limit.set", `{"key":"l","concurrent":1}`)
	need := f.Create("x", `,"limitKey":"l","uniqueKey":"u","timeoutMs":604800000,"retry":{"maxAttempts":3}`)
	claimSoon(t, f, "v", need)
	f.OK("task.progress", `{"id":%q,"workerId":"v","attempt":1,"percent":1}`, need)
	f.OK("task.cancel", `{"id":%q,"graceMs":86400000}`, need)
	for status, more := range map[string]string{"scheduled": `,"delayMs":3600000`, "blocked": `,"limitKey":"l"`, "blocked ": fmt.Sprintf(`,"dependsOn":[%q]`, need)} {
		if got := timedTask(f, f.Create("x", more)).Status; got != strings.TrimSpace(status) {
			t.Fatalf("with %s it is %s", more, got)
		}
	}
	live(t, f, "beside others with options")
	f.Verify()
}
