package audit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/testenv"
)

func TestDamagedSchedulesAreNamed(t *testing.T) {
	t.Parallel()
	b := newBundle(t, true)
	for id, more := range map[string]object{"s": {}, "quiet": {"cron": "@daily"}, "paused": {"paused": true}} {
		params := object{"id": id, "cron": "@every 1s", "timezone": "Europe/Berlin", "task": object{"text": "x", "metadata": object{"n": 1}}}
		for name, value := range more {
			params[name] = value
		}
		b.do(t, "schedule.put", params)
	}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		if _, err := b.coordinator.FireSchedules(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := b.do(t, "schedule.get", object{"id": "s"})["fired"]
		return fmt.Sprint(n) == "2", fmt.Sprint(n)
	})
	b.do(t, "schedule.put", object{"id": "gone", "cron": "@daily", "task": object{"text": "x"}})
	b.do(t, "schedule.delete", object{"id": "gone"})
	b.project(t)
	if report := b.verify(t); report.Schedules != 3 || !report.Postgres {
		t.Errorf("compared %+v", report)
	}
	clean(t, b.verify(t))
	key := b.space.Schedule("s")
	for name, c := range map[string]struct {
		do, undo []any
		told     string
	}{
		"tick":     {[]any{"HSET", key, "next", "1"}, []any{"HSET", key, "next", b.client.HGet(t.Context(), key, "next").Val()}, `schedule s: next is "1", but the log says`},
		"task":     {[]any{"HSET", key, "text", "y"}, []any{"HSET", key, "text", "x"}, `schedule s: task is "{\"text\":\"y\"`},
		"fired":    {[]any{"HINCRBY", key, "fired", 1}, []any{"HINCRBY", key, "fired", -1}, `schedule s: fired is "3", but the log says "2"`},
		"paused":   {[]any{"HSET", b.space.Schedule("paused"), "paused", "0"}, []any{"HSET", b.space.Schedule("paused"), "paused", "1"}, `schedule paused: paused is "0"`},
		"index":    {[]any{"ZADD", b.space.Ticks(), 5, "paused"}, []any{"ZREM", b.space.Ticks(), "paused"}, "has length 3, but the log says 2"},
		"no index": {[]any{"ZREM", b.space.Schedules(), "quiet"}, []any{"ZADD", b.space.Schedules(), 0, "quiet"}, "schedule quiet: score in " + b.space.Schedules() + " is not set"},
		"hash":     {[]any{"RENAME", b.space.Schedule("quiet"), b.space.Schedule("q")}, []any{"RENAME", b.space.Schedule("q"), b.space.Schedule("quiet")}, "schedule quiet: its hash is missing"},
		"stray":    {[]any{"HSET", b.space.Schedule("stray"), "id", "stray"}, []any{"DEL", b.space.Schedule("stray")}, "key " + b.space.Schedule("stray") + ": it is not in the log"},
	} {
		run := func(command []any) {
			if err := b.client.Do(t.Context(), command...).Err(); err != nil && err != redis.Nil { //nolint:errorlint // go-redis returns it unwrapped
				t.Fatal(err)
			}
		}
		run(c.do)
		if told := strings.Join(b.verify(t).Violations, "\n"); !strings.Contains(told, c.told) {
			t.Errorf("%s: told %s, want %s", name, told, c.told)
		}
		run(c.undo)
	}
	clean(t, b.verify(t))
	for statement, told := range map[string]string{
		`UPDATE schedules SET next_tick = next_tick + interval '1 hour' WHERE id = 's'`: "Postgres row of schedule s: next_tick is",
		`UPDATE schedules SET fired = 9 WHERE id = 's'`:                                 `Postgres row of schedule s: fired is "9", but the log says "2"`,
		`UPDATE schedules SET id = 'stray' WHERE id = 'quiet'`:                          "Postgres row of schedule stray: it exists",
		`DELETE FROM schedules WHERE id = 'paused'`:                                     "Postgres row of schedule paused: it is missing",
	} {
		if _, err := b.db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		if found := strings.Join(b.verify(t).Violations, "\n"); !strings.Contains(found, told) {
			t.Errorf("%s: told %s, want %s", statement, found, told)
		}
	}
	// A flush deletes the rows, also one that keeps those of tasks.
	b.do(t, "system.flush", object{"confirm": "FLUSH_ALL_DATA"})
	b.project(t)
	clean(t, b.verify(t))
	var rows, tasks int
	if err := b.db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM schedules), (SELECT count(*) FROM tasks)`).Scan(&rows, &tasks); err != nil || rows != 0 || tasks != 2 {
		t.Errorf("%d schedules and %d tasks are left, %v", rows, tasks, err)
	}
}

// The log proves also what became of a tick whose task has ties: one with its uniqueKey is unfinished,
// or one that it depends on has failed or is gone.
func TestTicksWhoseTasksHaveTies(t *testing.T) {
	t.Parallel()
	b := newBundle(t, true)
	gone, cancelled := b.create(t, 50, ""), b.create(t, 50, "")
	b.do(t, "task.delete", object{"id": gone})
	b.do(t, "task.cancel", object{"id": cancelled})
	for id, task := range map[string]object{
		"unique": {"text": "x", "uniqueKey": "u"}, "gone": {"text": "x", "dependsOn": []string{gone}}, "cancelled": {"text": "x", "dependsOn": []string{cancelled}},
	} {
		b.do(t, "schedule.put", object{"id": id, "cron": "@every 1s", "task": task})
	}
	ended := 0
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		fired, err := b.coordinator.FireSchedules(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ended += fired
		return ended >= 7, fmt.Sprint(ended)
	})
	ticks := map[string]int{}
	for _, entry := range b.client.XRange(t.Context(), b.space.Topic("schedule.fired"), "-", "+").Val() {
		for _, id := range []string{"unique", "gone", "cancelled"} {
			if strings.Contains(fmt.Sprint(entry.Values["data"]), `"payload":{"id":"`+id+`"`) {
				ticks[id]++
			}
		}
	}
	for id, fired := range map[string]int{"unique": 1, "gone": 0, "cancelled": ticks["cancelled"]} {
		got := b.do(t, "schedule.get", object{"id": id})
		if ticks[id] < 2 || fmt.Sprint(got["fired"]) != fmt.Sprint(fired) || (got["lastError"] != nil) != (id == "gone") {
			t.Errorf("after %d ticks, %s is %v", ticks[id], id, got)
		}
	}
	b.project(t)
	report := b.verify(t)
	clean(t, report)
	if report.Schedules != 3 || !report.Postgres {
		t.Errorf("compared %+v", report)
	}
}
