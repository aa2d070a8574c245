package audit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/audit"
)

// day is a short history with an object of every kind.
type day struct {
	*bundle
	waiting, gpu, assigned, auto, active, done, failed, deleted string // ids of tasks
}

func newDay(t testing.TB, postgres bool) *day {
	t.Helper()
	d := &day{bundle: newBundle(t, postgres)}
	d.do(t, "system.register", object{"id": "w1", "roles": []string{"worker", "gpu"}, "metadata": object{"maxTasks": 1, "sessionId": "s1"}})
	finish := func(params object) string {
		id := d.create(t, 90, `{"n":12345678901234567890}`)
		d.do(t, "task.claim", object{"workerId": "w1"})
		params["id"] = id
		d.do(t, "task.complete", params)
		return id
	}
	d.done = finish(object{"result": []int{1, 2}})
	d.failed = finish(object{"error": "no"})
	d.deleted = d.create(t, 50, "")
	d.do(t, "task.delete", object{"id": d.deleted})
	d.active = d.create(t, 100, "")
	d.do(t, "task.claim", object{"workerId": "w1"})
	d.auto = d.create(t, 80, "")
	d.do(t, "system.register", object{"id": "w2", "roles": []string{"worker"}, "metadata": object{"maxTasks": 1}})
	d.do(t, "system.register", object{"id": "gone", "roles": []string{"observer"}})
	d.do(t, "system.unregister", object{"instanceId": "gone"})
	d.assigned = d.create(t, 70, "")
	d.do(t, "task.assign", object{"taskId": d.assigned, "instanceId": "w1"})
	d.gpu = d.create(t, 60, `{"roles":["gpu"]}`)
	d.waiting = d.create(t, 50, `{"k":"<v>"}`)
	d.project(t)
	clean(t, d.verify(t))
	return d
}

func num(id string) int64 {
	var n int64
	_, _ = fmt.Sscanf(id, "t-%d", &n)
	return n
}

func place(priority int64, id string) float64 { return float64((100-priority)<<46 + num(id)) }

// entry returns the ID of the nth entry of the log from its start, or from its end if n < 0.
func (d *day) entry(t testing.TB, n int) string {
	t.Helper()
	list, err := d.client.XRange(t.Context(), d.space.Events(), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	if n < 0 {
		n += len(list)
	}
	return list[n].ID
}

func TestRedisDamageIsNamed(t *testing.T) {
	t.Parallel()
	hset := func(d *day, t *testing.T, key, field, value string) {
		if err := d.client.HSet(t.Context(), key, field, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	must := func(t *testing.T, cmd redis.Cmder) {
		t.Helper()
		if cmd.Err() != nil {
			t.Fatal(cmd.Err())
		}
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, d *day)
		names  func(d *day) []string
	}{
		"task field": {
			func(t *testing.T, d *day) { hset(d, t, d.space.Task(d.waiting), "text", "other") },
			func(d *day) []string {
				return []string{"task " + d.waiting, `text is "other"`, `the log says "say \"hé/llo`}
			},
		},
		"task field missing": {
			func(t *testing.T, d *day) { must(t, d.client.HDel(t.Context(), d.space.Task(d.waiting), "metadata")) },
			func(d *day) []string {
				return []string{"task " + d.waiting, `metadata is not set, but the log says "{\"k\"`}
			},
		},
		"task owner": {
			func(t *testing.T, d *day) { hset(d, t, d.space.Task(d.active), "assignedTo", "w2") },
			func(d *day) []string {
				return []string{"task " + d.active, `assignedTo is "w2", but the log says "w1"`}
			},
		},
		"result of a finished task": {
			func(t *testing.T, d *day) { hset(d, t, d.space.Task(d.done), "result", "[1,3]") },
			func(d *day) []string {
				return []string{"task " + d.done, `result is "[1,3]", but the log says "[1,2]"`}
			},
		},
		"task hash deleted": {
			func(t *testing.T, d *day) { must(t, d.client.Del(t.Context(), d.space.Task(d.active))) },
			func(d *day) []string { return []string{"task " + d.active, "hash is missing", "in_progress with w1"} },
		},
		"deleted task's hash is back": {
			func(t *testing.T, d *day) { hset(d, t, d.space.Task(d.deleted), "id", d.deleted) },
			func(d *day) []string {
				return []string{"task " + d.deleted, "the log has deleted it, but its hash exists"}
			},
		},
		"task in the wrong queue": {
			func(t *testing.T, d *day) {
				must(t, d.client.ZRem(t.Context(), d.space.Pending(), d.waiting))
				must(t, d.client.ZAdd(t.Context(), d.space.Assigned("w2"), redis.Z{Score: place(50, d.waiting), Member: d.waiting}))
			},
			func(d *day) []string {
				return []string{"queue " + d.space.Assigned("w2") + " contains " + d.waiting, "the log says that it waits for a worker"}
			},
		},
		"task in no queue": {
			func(t *testing.T, d *day) { must(t, d.client.ZRem(t.Context(), d.space.RoleQueue(`["gpu"]`), d.gpu)) },
			func(d *day) []string {
				return []string{"task " + d.gpu, "is not in queue " + d.space.RoleQueue(`["gpu"]`)}
			},
		},
		"task not in the index of open ones": {
			func(t *testing.T, d *day) { must(t, d.client.ZRem(t.Context(), d.space.Open(), d.gpu)) },
			func(d *day) []string { return []string{"task " + d.gpu, "is not in queue " + d.space.Open()} },
		},
		"task in two queues": {
			func(t *testing.T, d *day) {
				must(t, d.client.ZAdd(t.Context(), d.space.Active("w2"), redis.Z{Score: place(50, d.waiting), Member: d.waiting}))
			},
			func(d *day) []string { return []string{"queue " + d.space.Active("w2") + " contains " + d.waiting} },
		},
		"finished task in a queue": {
			func(t *testing.T, d *day) {
				must(t, d.client.ZAdd(t.Context(), d.space.Pending(), redis.Z{Score: place(90, d.done), Member: d.done}))
			},
			func(d *day) []string {
				return []string{"queue " + d.space.Pending() + " contains " + d.done, "the log says that it is completed"}
			},
		},
		"unknown task in a queue": {
			func(t *testing.T, d *day) {
				must(t, d.client.ZAdd(t.Context(), d.space.Pending(), redis.Z{Score: 1, Member: "t-999"}))
			},
			func(d *day) []string {
				return []string{"queue " + d.space.Pending() + " contains t-999", "this task does not exist"}
			},
		},
		"length of a queue": {
			func(t *testing.T, d *day) {
				must(t, d.client.ZAdd(t.Context(), d.space.Auto("w1"), redis.Z{Score: 1, Member: d.assigned}))
			},
			func(d *day) []string {
				return []string{"queue " + d.space.Auto("w1") + " has length 1, but the log says 0"}
			},
		},
		"wrong score": {
			func(t *testing.T, d *day) {
				must(t, d.client.ZAdd(t.Context(), d.space.Pending(), redis.Z{Score: place(51, d.waiting), Member: d.waiting}))
			},
			func(d *day) []string {
				return []string{"task " + d.waiting, fmt.Sprintf("score in queue %s is %.0f, but the log says %.0f", d.space.Pending(), place(51, d.waiting), place(50, d.waiting))}
			},
		},
		"count of a set of roles": {
			func(t *testing.T, d *day) { hset(d, t, d.space.RoleSets(), `["gpu"]`, "2") },
			func(d *day) []string { return []string{d.space.RoleSets(), `["gpu"] is "2", but the log says "1"`} },
		},
		"instance field": {
			func(t *testing.T, d *day) { hset(d, t, d.space.Instance("w1"), "roles", `["worker"]`) },
			func(*day) []string { return []string{"instance w1", `roles is "[\"worker\"]", but the log says`} },
		},
		"instance status": {
			func(t *testing.T, d *day) { hset(d, t, d.space.Instance("w1"), "status", "IDLE") },
			func(*day) []string { return []string{"instance w1", `status is "IDLE", but the log says "BUSY"`} },
		},
		"instance seq": {
			func(t *testing.T, d *day) { hset(d, t, d.space.Instance("w1"), "seq", "1") },
			func(*day) []string { return []string{"instance w1", `seq is "1"`} },
		},
		"instance that has left": {
			func(t *testing.T, d *day) {
				must(t, d.client.ZAdd(t.Context(), d.space.Alive(), redis.Z{Score: 1, Member: "gone"}))
			},
			func(d *day) []string { return []string{"instance gone", "has left, but it is in " + d.space.Alive()} },
		},
		"instance missing from the living": {
			func(t *testing.T, d *day) { must(t, d.client.ZRem(t.Context(), d.space.Alive(), "w2")) },
			func(d *day) []string { return []string{"instance w2", "not in " + d.space.Alive()} },
		},
		"instance nobody knows": {
			func(t *testing.T, d *day) {
				must(t, d.client.ZAdd(t.Context(), d.space.Available(), redis.Z{Score: 0, Member: "ghost"}))
			},
			func(d *day) []string { return []string{"queue " + d.space.Available() + " contains ghost"} },
		},
		"room of an instance": {
			func(t *testing.T, d *day) {
				must(t, d.client.ZAdd(t.Context(), d.space.Available(), redis.Z{Score: 0, Member: "w2"}))
			},
			func(d *day) []string {
				return []string{"instance w2", "score in " + d.space.Available() + ` is "0", but the log says not set`}
			},
		},
		"leader": {
			func(t *testing.T, d *day) { hset(d, t, d.space.Leader(), "id", "w2") },
			func(d *day) []string { return []string{d.space.Leader(), `id is "w2", but the log says "w1"`} },
		},
		"term": {
			func(t *testing.T, d *day) { hset(d, t, d.space.Log(), "term", "0") },
			func(d *day) []string { return []string{d.space.Log(), `term is "0", but the log says "1"`} },
		},
		"global state's count": {
			func(t *testing.T, d *day) { hset(d, t, d.space.State(), "tasks.pending", "77") },
			func(d *day) []string { return []string{d.space.State(), `tasks.pending is "77", but the log says "4"`} },
		},
		"global state's role": {
			func(t *testing.T, d *day) { hset(d, t, d.space.State(), "role.ghost", "1") },
			func(d *day) []string { return []string{d.space.State(), `role.ghost is "1", but the log says "0"`} },
		},
		"counter of the metrics": {
			func(t *testing.T, d *day) { hset(d, t, d.space.Metrics("global"), "tasksLost", "1") },
			func(d *day) []string {
				return []string{d.space.Metrics("global"), `tasksLost is "1", but the log says "0"`}
			},
		},
		"metrics that are behind": {
			func(t *testing.T, d *day) {
				must(t, d.client.Set(t.Context(), d.space.Checkpoint("metrics"), "1-1", 0))
			},
			func(*day) []string { return []string{"projection metrics is stuck at seq 1"} },
		},
		"event taken out of the log": {
			func(t *testing.T, d *day) { must(t, d.client.XDel(t.Context(), d.space.Events(), d.entry(t, 4))) },
			func(*day) []string { return []string{"events with seq 5 to 5 are missing"} },
		},
		"first event taken out of the log": {
			func(t *testing.T, d *day) { must(t, d.client.XDel(t.Context(), d.space.Events(), d.entry(t, 0))) },
			func(*day) []string { return []string{"events with seq 1 to 1 are missing"} },
		},
		"last event taken out of the log": {
			func(t *testing.T, d *day) { must(t, d.client.XDel(t.Context(), d.space.Events(), d.entry(t, -1))) },
			func(d *day) []string {
				return []string{"the log ends at " + d.entry(t, -1), "events are missing at its end"}
			},
		},
		"foreign entry": {
			func(t *testing.T, d *day) {
				must(t, d.client.XAdd(t.Context(), &redis.XAddArgs{Stream: d.space.Events(), ID: "*", Values: []string{"data", "hello"}}))
			},
			func(*day) []string { return []string{"is not an event"} },
		},
		"forged event": {
			func(t *testing.T, d *day) {
				d.forge(t, events.TypeTaskUnassigned, fmt.Sprintf(`{"taskId":%q,"instanceId":"w1","previousAssignment":"w1","reason":"requested","status":"pending","previousStatus":"in_progress"}`, d.active), 1)
			},
			func(d *day) []string { return []string{d.space.Log(), `seq is "21", but the log says "22"`} },
		},
		"seq that jumps": {
			func(t *testing.T, d *day) {
				seq := d.forge(t, events.TypeInstanceFailed, `{"id":"w2","roles":["worker"],"lastSeen":1,"tasksReassigned":1,"timestamp":1}`, 5)
				hset(d, t, d.space.Log(), "seq", fmt.Sprint(seq))
			},
			func(*day) []string { return []string{"are missing: "} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDay(t, false)
			c.damage(t, d)
			report := d.verify(t, func(o *audit.Options) { o.Wait = 50 * time.Millisecond })
			if report.OK() {
				t.Fatal("nothing was found")
			}
			names(t, report, c.names(d)...)
		})
	}
}

// forge appends an event whose seq is by higher than the last one's, and returns that seq.
func (d *day) forge(t testing.TB, typ events.Type, payload string, by int64) int64 {
	t.Helper()
	last, err := events.ParseID(d.entry(t, -1))
	if err != nil {
		t.Fatal(err)
	}
	id := events.ID{MS: last.MS, Seq: last.Seq + by}
	data, err := events.Envelope{ID: id, Seq: id.Seq, Type: typ, V: 1, Timestamp: id.MS, Actor: "mallory", Payload: []byte(payload)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	err = d.client.XAdd(t.Context(), &redis.XAddArgs{Stream: d.space.Events(), ID: id.String(), Values: []string{"data", string(data)}}).Err()
	if err != nil {
		t.Fatal(err)
	}
	return id.Seq
}

func TestPostgresDamageIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql   string // %d is the waiting task's number
		names []string
	}{
		"row changed":      {`UPDATE tasks SET priority = 7 WHERE num = %d`, []string{`priority is "7", but the log says "50"`}},
		"JSON respelt":     {`UPDATE tasks SET metadata = '{"k": "<v>"}' WHERE num = %d`, []string{`metadata is "{\"k\": \"<v>\"}"`}},
		"time changed":     {`UPDATE tasks SET created_at = created_at + interval '1 microsecond' WHERE num = %d`, []string{"created_at is"}},
		"row missing":      {`DELETE FROM tasks WHERE num = %d`, []string{"it is missing, but the log says that the task is pending"}},
		"row extra":        {`INSERT INTO tasks SELECT (t).* FROM (SELECT jsonb_populate_record(t, '{"num":9999,"id":"t-9999"}') AS t FROM tasks t WHERE num = %d) x`, []string{"row t-9999", "does not contain this task"}},
		"row of a deleted": {`UPDATE tasks SET num = 5, id = 't-5' WHERE num = %d`, nil},
		"checkpoint":       {`UPDATE projection_checkpoints SET id = '1-1', seq = 1 WHERE name = 'tasks' AND %d > 0`, []string{"projection tasks is stuck at seq 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDay(t, true)
			tag, err := d.db.Exec(t.Context(), fmt.Sprintf(c.sql, num(d.waiting)))
			if err != nil || tag.RowsAffected() != 1 {
				t.Fatalf("%v %v", tag, err)
			}
			report := d.verify(t, func(o *audit.Options) { o.Wait = 50 * time.Millisecond })
			if report.OK() {
				t.Fatal("nothing was found")
			}
			names(t, report, c.names...)
			if name != "row extra" && name != "checkpoint" && name != "row of a deleted" {
				names(t, report, "Postgres row "+d.waiting)
			}
		})
	}
}

func TestAProjectionThatStandsStillIsNamed(t *testing.T) {
	t.Parallel()
	d := newDay(t, true)
	d.create(t, 1, "")
	report := d.verify(t, func(o *audit.Options) { o.Wait = 50 * time.Millisecond })
	names(t, report, "projection state is stuck at seq")
	names(t, report, "projection metrics is stuck at seq")
	names(t, report, "projection tasks is stuck at seq")
	if report.Total != 3 {
		t.Errorf("%d violations: %s", report.Total, strings.Join(report.Violations, "\n"))
	}
}

func TestADatabaseWithoutViewsIsNamed(t *testing.T) {
	t.Parallel()
	b := newBundle(t, true)
	b.create(t, 1, "")
	names(t, b.verify(t, func(o *audit.Options) { o.Wait = 50 * time.Millisecond }), "projection tasks is stuck at seq 0")
}

// Keys that no index contains are found too, and no legitimate key is reported.
func TestStrayKeysAreNamed(t *testing.T) {
	t.Parallel()
	d := newDay(t, false)
	d.abandon(t)
	d.project(t)
	clean(t, d.verify(t))
	strays := []string{
		d.space.Task("t-999"), d.space.Task("t-1x"), d.space.Instance("ghost"), d.space.Assigned("ghost"), d.space.Active("gh:ost"), d.space.Auto("ghost"),
		d.space.RoleQueue(`["ghost"]`), d.space.Orphans("999:active"), d.space.Orphans("1"), d.space.Pending() + "2",
	}
	for _, key := range strays {
		if err := d.client.Set(t.Context(), key, "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	// Keys of another namespace or of another family are ignored.
	for _, key := range []string{"cb:task:t-999", d.space.Prefix() + "todo:x", d.space.Prefix() + "task2:x"} {
		if err := d.client.Set(t.Context(), key, "x", time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
	}
	report := d.verify(t)
	for _, key := range strays {
		names(t, report, "key "+key+": it is not in the log")
	}
	if report.Total != int64(len(strays)) {
		t.Errorf("%d violations: %s", report.Total, strings.Join(report.Violations, "\n"))
	}
}
