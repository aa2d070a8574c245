package fold_test

import (
	"strings"
	"testing"
)

const (
	changed = `schedule.changed {"id":"s","cron":"@every 1h","timezone":"UTC","task":{"text":"x","priority":50},"paused":false,"catchUp":"one","created":true,"nextTick":"2023-11-14T22:00:00.000Z"}`
	fired   = `schedule.fired {"id":"s","due":"2023-11-14T22:00:00.000Z","tick":"2023-11-14T22:00:00.000Z","nextTick":"2023-11-14T23:00:00.000Z","taskId":"t-3","fired":1,"error":null}`
)

// The log proves that each tick of a schedule ended once, in order, and made its task.
func TestFoldOfSchedules(t *testing.T) {
	t.Parallel()
	with := func(line, from, to string) string {
		if !strings.Contains(line, from) {
			t.Fatalf("%s has no %s", line, from)
		}
		return strings.Replace(line, from, to, 1)
	}
	missed := with(with(with(fired, `"t-3"`, `null`), `"fired":1`, `"fired":0`), `"error":null`, `"error":{"reason":"MISSED"}`)
	for name, test := range map[string]struct {
		told  string // "" for a lawful story
		lines []string
	}{
		"lawful":                  {"", []string{changed, fired, createT3, `schedule.deleted {"id":"s","deletedBy":"ops"}`, changed}},
		"missed":                  {"", []string{changed, with(missed, `"due":"2023-11-14T22:00`, `"due":"2023-11-14T22:00`)}},
		"kept":                    {"", []string{changed, with(changed, `"created":true`, `"created":false`)}},
		"a tick twice":            {"the tick of schedule s was \"2023-11-14T23:00:00.000Z\", but the event says 2023-11-14T22", []string{changed, missed, missed}},
		"a tick before its time":  {"ended before its time", []string{with(changed, "14T22", "15T22"), with(with(with(missed, `"due":"2023-11-14`, `"due":"2023-11-15`), `"tick":"2023-11-14`, `"tick":"2023-11-15`), `"nextTick":"2023-11-14`, `"nextTick":"2023-11-15`)}},
		"ticks that do not rise":  {"do not rise", []string{changed, with(missed, "23:00", "22:00")}},
		"no task":                 {"says that this one creates task t-3", []string{changed, fired, changed}},
		"another task":            {"task t-9 is neither new nor unfinished", []string{changed, with(fired, "t-3", "t-9")}},
		"neither":                 {"must have either a task or an error", []string{changed, with(with(fired, `"t-3"`, "null"), `"fired":1`, `"fired":0`)}},
		"miscounted":              {"has made 1 tasks, but the event says 2", []string{changed, with(fired, `"fired":1`, `"fired":2`), createT3}},
		"unknown":                 {"schedule s does not exist", []string{missed}},
		"deleted twice":           {"schedule s does not exist", []string{`schedule.deleted {"id":"s","deletedBy":"ops"}`}},
		"created twice":           {"created is true", []string{changed, changed}},
		"moved":                   {"kept its expression, but its next tick moved", []string{changed, with(with(changed, `"created":true`, `"created":false`), "22:00", "22:10")}},
		"paused with a next tick": {"paused is true, but the next tick", []string{with(changed, `"paused":false`, `"paused":true`)}},
	} {
		_, told := story(t, 1, 1, test.lines...)
		if got := strings.Join(told, "\n"); (got != "") != (test.told != "") || !strings.Contains(got, test.told) {
			t.Errorf("%s: told %q, want %q", name, got, test.told)
		}
	}
	// A log that was trimmed does not have all of that.
	if _, told := story(t, 100, 100, missed, with(missed, "22:00:00.000Z", "23:00:00.000Z"), `schedule.deleted {"id":"other","deletedBy":"ops"}`); len(told) != 1 {
		t.Errorf("told %v, want only that the ticks do not rise", told)
	}
}
