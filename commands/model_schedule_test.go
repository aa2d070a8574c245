package commands_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/lua"
)

func drawSchedule(t *rapid.T) string {
	return rapid.SampledFrom([]string{"nightly", "a:b \"é\""}).Draw(t, "schedule")
}

// doSchedule makes or replaces a schedule. The ticks of some have come.
func (m *model) doSchedule(t *rapid.T) {
	id := drawSchedule(t)
	before := m.told.Schedules[id]
	metadata := ""
	if rapid.IntRange(0, 2).Draw(t, "roles") == 0 {
		metadata = fmt.Sprintf(`,"metadata":{"n":1.0,"roles":%s}`, drawRoles(t, "x", "y"))
	}
	ties, _, _ := m.drawTies(t)
	task := fmt.Sprintf(`{"text":"x","priority":%d%s%s%s}`, rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "priority"), metadata, drawOptions(t), ties)
	catchUp := rapid.SampledFrom([]string{"none", "one", "all"}).Draw(t, "catchUp")
	paused := rapid.IntRange(0, 3).Draw(t, "paused") == 0
	result, events := m.call(t, "", "schedule.put", fmt.Sprintf(`{"id":%s,"cron":"@every 2h","task":%s,"catchUp":%q,"paused":%t}`,
		fleettest.JSONText(id), task, catchUp, paused))
	got := fleettest.Decoded[api.PutScheduleResult](t, result)
	if got.Created != (before == nil) || len(events) != 1 {
		t.Fatalf("answered %s, emitted %v; it was %+v", result, events, before)
	}
	m.sameSchedule(t, &got.Schedule)
	if !paused && rapid.Bool().Draw(t, "due") {
		m.comes(t, id, rapid.SampledFrom([]time.Duration{0, 30 * time.Second, 90 * time.Second, 3*time.Hour + 5*time.Minute}).Draw(t, "ago"))
	}
	result, _ = m.call(t, "", "schedule.get", fmt.Sprintf(`{"id":%s}`, fleettest.JSONText(id)))
	read := fleettest.Decoded[api.Schedule](t, result)
	m.sameSchedule(t, &read)
}

// comes puts a schedule again, so that a tick came some time ago. By the method no tick is in the past.
func (m *model) comes(t *rapid.T, id string, ago time.Duration) {
	h := m.Hash(m.Keys.Schedule(id))
	if _, err := m.Scripts.Run(context.Background(), lua.Named("put_schedule"), lua.EventContext("operator", "", ""), "", 0, id, "@every 1h", "UTC",
		h["catchUp"], 0, m.now(t)-ago.Milliseconds(), h["text"], h["priority"], h["metadata"], h["roleset"], h["creator"], h["at"], h["delay"],
		h["options"]); err != nil {
		t.Fatalf("put the schedule: %v", err)
	}
	m.catchUp(t)
}

// now returns the time of Redis.
func (m *model) now(t *rapid.T) int64 {
	now, err := m.Client.Time(context.Background()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return now.UnixMilli()
}

// sameSchedule compares a schedule that a command returned with the fold of the log.
func (m *model) sameSchedule(t *rapid.T, got *api.Schedule) {
	told := m.told.Schedules[string(got.ID)]
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	moment := func(ms int64) string {
		if ms == 0 {
			return ""
		}
		return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	if told == nil || got.Cron != told.Cron || got.CatchUp != told.CatchUp || got.Paused != told.Paused || text(got.NextTick) != moment(told.Next) ||
		text(got.LastTick) != moment(told.LastTick) || text(got.LastTask) != told.LastTask || fleettest.Text([]byte(got.LastError)) != told.LastError ||
		int64(got.Fired) != told.Fired || got.CreatedAt != told.CreatedAt || got.UpdatedAt != told.UpdatedAt {
		t.Fatalf("answered %+v, the log tells of %+v", got, told)
	}
}

func (m *model) doUnschedule(t *rapid.T) {
	id := drawSchedule(t)
	want := ""
	if m.told.Schedules[id] == nil {
		want = "Not found"
	}
	m.call(t, want, "schedule.delete", fmt.Sprintf(`{"id":%s}`, fleettest.JSONText(id)))
	if m.told.Schedules[id] != nil {
		t.Fatalf("%s is there", id)
	}
}

// doFire fires the ticks that have come, through one coordinator, and nothing through the other.
func (m *model) doFire(t *rapid.T) {
	m.T, m.other.T = t, t
	first, second := m.Fleet, m.other
	if rapid.Bool().Draw(t, "other coordinator") {
		first, second = second, first
	}
	now, want, missed := m.now(t), 0, []string{}
	for id, s := range m.told.Schedules {
		switch late := now - s.Next; {
		case s.Next == 0 || late < 0:
		case s.CatchUp == "all":
			want += 1 + int(late/time.Hour.Milliseconds())
		default:
			want++
			if s.CatchUp == "none" && late%time.Hour.Milliseconds() > time.Minute.Milliseconds() {
				missed = append(missed, id)
			}
		}
	}
	for _, through := range []struct {
		fleet *fleettest.Fleet
		want  int
	}{{first, want}, {second, 0}} {
		if fired, err := through.fleet.FireSchedules(context.Background()); err != nil || fired != through.want {
			t.Fatalf("fired %d, want %d, %v", fired, through.want, err)
		}
	}
	m.catchUp(t)
	for id, s := range m.told.Schedules {
		if s.Next != 0 && s.Next <= now {
			t.Fatalf("%s is due since %d, at %d", id, s.Next, now)
		}
	}
	for _, id := range missed {
		if s := m.told.Schedules[id]; !strings.Contains(s.LastError, `"MISSED"`) {
			t.Fatalf("%s caught up: %+v", id, s)
		}
	}
}
