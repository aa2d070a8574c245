package schedule_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func put(t fleettest.TB, f *fleettest.Fleet, format string, args ...any) api.PutScheduleResult {
	t.Helper()
	return fleettest.Decoded[api.PutScheduleResult](t, f.OK("schedule.put", format, args...))
}

func get(t fleettest.TB, f *fleettest.Fleet, id string) api.Schedule {
	t.Helper()
	return fleettest.Decoded[api.Schedule](t, f.OK("schedule.get", `{"id":%q}`, id))
}

func at(t fleettest.TB, text *string) time.Time {
	t.Helper()
	if text == nil {
		t.Fatalf("there is no such time")
	}
	moment, err := time.Parse(events.TimeLayout, *text)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return moment
}

func TestPut(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		before := f.Seq()
		r := put(t, f, `{"id":"nightly","cron":"30 2 * * *","timezone":"Europe/Berlin","task":{"text":"clean \"up\" /tmp","priority":7,
			"metadata":{"roles":["gpu"],"n":1.10},"delayMs":5,"timeoutMs":60000,"retry":{"maxAttempts":3}}}`)
		const task = `{"text":"clean \"up\" /tmp","priority":7,"metadata":{"roles":["gpu"],"n":1.10},"delayMs":5,` +
			`"retry":{"maxAttempts":3,"backoffMs":1000,"factor":2,"maxBackoffMs":3600000,"jitter":0.1},"timeoutMs":60000}`
		s := r.Schedule
		if !r.Created || string(s.Task) != task || s.CatchUp != "one" || s.Paused || s.LastTick != nil || s.Fired != 0 {
			t.Errorf("answered %+v with the task %s", r, s.Task)
		}
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatalf("%v", err)
		}
		if next := at(t, s.NextTick).In(berlin); next.Hour() != 2 || next.Minute() != 30 || time.Until(next) > 26*time.Hour {
			t.Errorf("the next tick is %s", next)
		}
		f.Holds(f.Emitted(before, "schedule.changed")[0], fmt.Sprintf(`{"id":"nightly","cron":"30 2 * * *","timezone":"Europe/Berlin","task":%s,
			"paused":false,"catchUp":"one","created":true,"nextTick":%q}`, task, *s.NextTick))
		if got := get(t, f, "nightly"); fmt.Sprint(*got.NextTick, string(got.Task)) != fmt.Sprint(*s.NextTick, task) {
			t.Errorf("read %+v", got)
		}

		// The same expression keeps the next tick, even one that has come; another one starts anew.
		f.MoveTick("nightly", 1000)
		r = put(t, f, `{"id":"nightly","cron":"30 2 * * *","timezone":"Europe/Berlin","task":{"text":"x"},"catchUp":"all"}`)
		if r.Created || *r.Schedule.NextTick != "1970-01-01T00:00:01.000Z" || string(r.Schedule.Task) != `{"text":"x","priority":50}` {
			t.Errorf("answered %+v", r)
		}
		r = put(t, f, `{"id":"nightly","cron":"30 2 * * *","task":{"text":"x"}}`)
		if next := at(t, r.Schedule.NextTick); next.Hour() != 2 || time.Until(next) < 0 || r.Schedule.Timezone != "UTC" {
			t.Errorf("answered %+v", r.Schedule)
		}
		r = put(t, f, `{"id":"nightly","cron":"@hourly","task":{"text":"x"},"paused":true}`)
		if r.Schedule.NextTick != nil || !r.Schedule.Paused || len(f.Zset(f.Keys.Ticks())) != 0 {
			t.Errorf("answered %+v", r.Schedule)
		}
		r = put(t, f, `{"id":"nightly","cron":"@hourly","task":{"text":"x"}}`)
		if next := at(t, r.Schedule.NextTick); next.Minute() != 0 || time.Until(next) < 0 {
			t.Errorf("answered %+v", r.Schedule)
		}
	})
}

func TestPutRefuses(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for _, test := range []struct{ params, wrong string }{
			{`{"id":"s","cron":"* * * *","task":{"text":"x"}}`, "cron parameter: it is neither five fields"},
			{`{"id":"s","cron":"0 0 30 2 *","task":{"text":"x"}}`, "no day matches"},
			{`{"id":"s","cron":"@daily","timezone":"Mars/Olympus","task":{"text":"x"}}`, `"Mars/Olympus" is not the name of a time zone`},
			{`{"id":"s","cron":"TZ=UTC 0 0 * * *","task":{"text":"x"}}`, "use the parameter timezone"},
			{`{"id":"s","cron":"@daily","task":{}}`, "task parameter is not valid: text parameter is required"},
			{`{"id":"s","cron":"@daily","task":"x"}`, "task parameter is not valid: params must be an object"},
			{`{"id":"s","cron":"@daily","task":{"text":"x","txet":1}}`, "unknown parameter 'txet'"},
			{`{"id":"s","cron":"@daily","task":{"text":"x","idempotencyKey":"k"}}`, "unknown parameter 'idempotencyKey'"},
			{`{"id":"s","cron":"@daily","task":{"text":"x","delayMs":1,"runAt":"2030-01-01T00:00:00Z"}}`, "delayMs parameter: it cannot be together with runAt"},
			{`{"id":"s","cron":"@daily","task":{"text":"x","metadata":{"a":"` + strings.Repeat("a", 64<<10) + `"}}}`, "task parameter must be at most 65536 bytes long"},
			{`{"id":"s","cron":"@daily","task":{"text":"x"},"catchUp":"some"}`, "catchUp parameter must be one of none, one, all"},
			{`{"id":"","cron":"@daily","task":{"text":"x"}}`, "id parameter must not be empty"},
			{`{"id":"s","task":{"text":"x"}}`, "cron parameter is required"},
		} {
			result, err := f.Do("schedule.put", test.params)
			var known *api.Error
			if !errors.As(err, &known) || known.Code != api.CodeInvalidParams || !strings.Contains(fmt.Sprint(known.Data), test.wrong) {
				t.Errorf("%.100s answered %s, %v, want %s", test.params, result, err, test.wrong)
			}
		}
		for _, method := range []string{"schedule.get", "schedule.delete"} {
			f.Refused(api.CodeNotFound, `{"id":"nobody"}`, method, `{"id":"nobody"}`)
		}
	})
}

func TestTooManySchedules(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		put(t, f, `{"id":"first","cron":"@daily","task":{"text":"x"}}`)
		fill := []any{"ZADD", f.Keys.Schedules()}
		for n := range 9999 {
			fill = append(fill, 0, fmt.Sprint("s", n))
		}
		f.Tamper(fill)
		f.Refused(api.CodeConflict, `{"reason":"TOO_MANY_SCHEDULES","limit":10000}`, "schedule.put", `{"id":"more","cron":"@daily","task":{"text":"x"}}`)
		put(t, f, `{"id":"first","cron":"@hourly","task":{"text":"x"}}`)
	})
}

func TestListAndDelete(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		list := func(params string) api.ListSchedulesResult {
			t.Helper()
			return fleettest.Decoded[api.ListSchedulesResult](t, f.OK("schedule.list", "%s", params))
		}
		if page := list(`{}`); len(page.Schedules) != 0 || page.Total != 0 || page.NextCursor != "" {
			t.Errorf("listed %+v", page)
		}
		want := []string{"a", "b", "b:{x}*", "ä"}
		for _, id := range want {
			put(t, f, `{"id":%q,"cron":"@daily","task":{"text":"x","metadata":{"a":%q}},"paused":%t}`, id, strings.Repeat("a", 1000), id == "b")
		}
		var got []string
		cursor := ""
		for {
			page := list(fmt.Sprintf(`{"limit":3%s}`, cursor))
			for _, s := range page.Schedules {
				got = append(got, string(s.ID))
			}
			if page.Total != 4 {
				t.Errorf("the total is %d", page.Total)
			}
			if page.NextCursor == "" {
				break
			}
			cursor = fmt.Sprintf(`,"cursor":%q`, page.NextCursor)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("listed %v", got)
		}
		// A page that is large ends early.
		for n := range 20 {
			put(t, f, `{"id":"large %d","cron":"@daily","task":{"text":"x","metadata":{"a":%q}}}`, n, strings.Repeat("a", 60_000))
		}
		if page := list(`{"limit":500,"cursor":"b:{x}*"}`); len(page.Schedules) != 18 || page.NextCursor == "" {
			t.Errorf("listed %d", len(page.Schedules))
		}

		before := f.Seq()
		deleted := fleettest.Decoded[api.DeleteScheduleResult](t, f.OK("schedule.delete", `{"id":"b"}`))
		f.Holds(f.Emitted(before, "schedule.deleted")[0], `{"id":"b","deletedBy":"anonymous"}`)
		if !deleted.Deleted || f.Exists(f.Keys.Schedule("b")) != 0 || list(`{}`).Total != 23 {
			t.Errorf("answered %+v", deleted)
		}
		f.Refused(api.CodeNotFound, `{"id":"b"}`, "schedule.delete", `{"id":"b"}`)
		if r := put(t, f, `{"id":"b","cron":"@daily","task":{"text":"x"}}`); !r.Created {
			t.Error("it is made anew, but created is false")
		}
	})
}

func TestPutRaces(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Unhurried()
		var all errgroup.Group
		for n := range 20 {
			all.Go(func() error {
				_, err := f.Do("schedule.put", fmt.Sprintf(`{"id":"s","cron":"%d * * * *","task":{"text":"%d"}}`, n, n))
				return err
			})
		}
		if err := all.Wait(); err != nil {
			t.Fatalf("%v", err)
		}
		created := 0
		var last events.ScheduleChanged
		for _, e := range f.Emitted(0, strings.Split(strings.Repeat("schedule.changed ", 20), " ")[:20]...) {
			if err := json.Unmarshal(e.Payload, &last); err != nil {
				t.Fatalf("%v", err)
			}
			if last.Created {
				created++
			}
		}
		if s := get(t, f, "s"); created != 1 || s.Cron != last.Cron || *s.NextTick != *last.NextTick {
			t.Errorf("%d are new; %+v is not the last one, %+v", created, s, last)
		}
	})
}

// A schedule is an operator's. It acts in the name of the token that put it last.
func TestTokens(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens()}, func(t *testing.T, f *fleettest.Fleet) {
		f.MayNot("alice", "operator or admin", "schedule.put", `{"id":"s","cron":"@daily","task":{"text":"x"}}`)
		f.May("ops", "schedule.put", `{"id":"s","cron":"@every 1s","task":{"text":"x"}}`)
		moveBack(t, f, "s", time.Second)
		if fired, err := f.FireSchedules(t.Context()); err != nil || fired != 1 {
			t.Fatalf("fired %d, %v", fired, err)
		}
		s := fleettest.Decoded[api.Schedule](t, f.May("alice", "schedule.get", `{"id":"s"}`))
		if creator := f.Hash(f.Keys.Task(*s.LastTask))["creator"]; creator != "ops" {
			t.Errorf("the task was created by %q", creator)
		}
		f.MayNot("alice", "the token that created task", "task.delete", `{"id":%q}`, *s.LastTask)
		f.MayNot("audit", "operator or admin", "schedule.delete", `{"id":"s"}`)
		f.May("root", "schedule.delete", `{"id":"s"}`)
	})
}
