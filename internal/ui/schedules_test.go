package ui_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/browsertest"
)

// repeating gives the fleet schedules, one of them paused, and a limit that is reached.
func (f *fleet) repeating() *fleet {
	f.t.Helper()
	f.call("schedule.put", object{"id": "nightly", "cron": "0 0 1 1 *", "timezone": "Europe/Berlin", "task": object{"text": "Clean up the branches that are merged", "metadata": object{"roles": list{"go"}}}})
	f.call("schedule.put", object{"id": "reports", "cron": "@yearly", "task": object{"text": "Write the report of the year"}, "paused": true})
	f.call("limit.set", object{"key": "gpu", "concurrent": 1})
	for _, text := range []string{"Train the small model", "Train the large model"} {
		f.create(text, object{"limitKey": "gpu", "metadata": object{"roles": list{"gpu"}}})
	}
	return f
}

// scheduled returns a member of a schedule, as JSON.
func (f *fleet) scheduled(id, member string) string {
	f.t.Helper()
	raw, failed := f.ask("schedule.get", object{"id": id})
	var members map[string]json.RawMessage
	if failed != nil || json.Unmarshal(raw, &members) != nil {
		f.t.Fatalf("schedule.get %s answered %s: %v", id, raw, failed)
	}
	return string(members[member])
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	tab := f.at(t, "/ui/schedules", "schedules")
	tab.Sees("There is no schedule yet.", "There is no limit.")
	mark(tab)
	const task = `{"text":"clean up","priority":20,"metadata":{"roles":["git"],"n":12345678901234567890,"x":0.10},"delayMs":5000,"retry":{"maxAttempts":3},"timeoutMs":60000,"limitKey":"git","uniqueKey":"clean"}`
	f.call("schedule.put", `{"id":"nightly","cron":"0 0 1 1 *","timezone":"Europe/Berlin","catchUp":"all","task":`+task+`}`)
	row := tab.FindLike("row", "nightly")
	row.Says("0 0 1 1 *", "Europe/Berlin", "clean up")
	tab.Sees("1 schedule")
	next := strings.Trim(f.scheduled("nightly", "nextTick"), `"`)
	if shown := browsertest.Eval[string](tab, `document.querySelector("main td time").dateTime`); shown != next {
		t.Errorf("the next tick is %s, want %s", shown, next)
	}

	// A pause and its end leave the rest of the schedule as it is.
	before := f.scheduled("nightly", "task")
	tab.Find("button", "Pause nightly").Click()
	dialog := tab.Find("dialog", "Pause nightly?")
	dialog.Find("button", "Cancel").Click()
	dialog.Gone()
	if paused := f.scheduled("nightly", "paused"); paused != "false" {
		t.Error("it is paused without a confirmation")
	}
	tab.Find("button", "Pause nightly").Click()
	dialog.Find("button", "Pause").Click()
	tab.Sees("nightly is paused.")
	row.Says("Paused", "–")
	if paused := f.scheduled("nightly", "paused"); paused != "true" {
		t.Error("it is not paused")
	}
	tab.Find("button", "Resume nightly").Click()
	tab.Find("dialog", "Resume nightly?").Find("button", "Resume").Click()
	tab.Sees("nightly is resumed.")
	tab.Find("button", "Pause nightly").There()
	for member, want := range map[string]string{"task": before, "paused": "false", "catchUp": `"all"`, "timezone": `"Europe/Berlin"`, "cron": `"0 0 1 1 *"`} {
		if got := f.scheduled("nightly", member); got != want {
			t.Errorf("its %s is %s, want %s", member, got, want)
		}
	}

	// What a tick has made is shown when it has.
	f.call("schedule.put", object{"id": "pulse", "cron": "@every 1s", "task": object{"text": "look", "uniqueKey": "pulse"}})
	pulse := tab.FindLike("row", "pulse")
	pulse.FindLike("link", "t-").Click()
	ready(tab, "task")
	tab.Sees("look", "caused by")
	tab.Back()
	ready(tab, "schedules")

	// A deletion, also by somebody else while the dialog is open.
	tab.Find("button", "Delete pulse").Click()
	dialog = tab.Find("dialog", "Delete the schedule pulse?")
	dialog.Says("The tasks that it has made stay.")
	dialog.Find("button", "Delete").Click()
	tab.Sees("Deleted the schedule pulse.", "1 schedule")
	pulse.Gone()
	tab.Find("button", "Pause nightly").Click()
	dialog = tab.Find("dialog", "Pause nightly?")
	dialog.There()
	f.call("schedule.delete", object{"id": "nightly"})
	dialog.Find("button", "Pause").Click()
	dialog.Says("Not found")
	dialog.Find("button", "Cancel").Click()
	tab.Sees("There is no schedule yet.")
	unmoved(tab)
}

// Why a tick has made no task is shown.
func TestAScheduleThatFails(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	b := f.standBetween(t)
	b.set(nil, func(method string) string {
		if method != "schedule.list" {
			return ""
		}
		return `"result":{"schedules":[{"id":"s","cron":"@hourly","timezone":"UTC","task":{"text":"x"},"paused":false,"catchUp":"one","nextTick":"2026-01-01T01:00:00.000Z","lastTick":"2026-01-01T00:00:00.000Z","lastTask":null,` +
			`"lastError":{"reason":"TOO_MANY_ROLE_SETS","limit":64},"fired":0,"createdAt":"2026-01-01T00:00:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z"}],"total":1}`
	})
	tab := browsertest.Open(t, b.url)
	tab.Go("/ui/schedules")
	ready(tab, "schedules")
	tab.FindLike("row", "@hourly").Says("TOO_MANY_ROLE_SETS")
}

// Many schedules have pages, whose addresses stay.
func TestSchedulesHavePages(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	for i := range 120 {
		f.call("schedule.put", object{"id": fmt.Sprintf("s&%03d", i), "cron": "@yearly", "task": object{"text": "x"}})
	}
	tab := f.at(t, "/ui/schedules", "schedules")
	tab.Sees("120 schedules", "s&000", "s&099")
	tab.SeesNot("s&100", "First page")
	tab.Find("link", "Next").Click()
	tab.Sees("s&100", "s&119")
	tab.SeesNot("s&099")
	if path := tab.Path(); path != "/ui/schedules?cursor=s%26099" {
		t.Errorf("the address is %s", path)
	}
	tab.Reload()
	tab.Sees("120 schedules", "s&119")
	tab.Find("link", "Next").Gone()
	tab.Find("link", "First page").Click()
	tab.Sees("s&000")
	tab.Go("/ui/schedules?cursor=z")
	tab.Sees("This page is empty.")
}

func TestLimits(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	tab := f.at(t, "/ui/schedules", "schedules")
	tab.Find("button", "Set a limit…").Click()
	dialog := tab.Find("dialog", "Set a limit")
	dialog.Find("textbox", "Key").Fill("gpu")
	dialog.Find("button", "Set").Click()
	dialog.Says("At most: a value is needed.")
	dialog.Find("spinbutton", "At most").Fill("-1")
	dialog.Find("button", "Set").Click()
	dialog.Says("concurrent")
	dialog.Find("spinbutton", "At most").Fill("1")
	dialog.Find("button", "Set").Click()
	tab.Sees("The limit is set.")
	row := tab.FindLike("row", "gpu")
	row.Says("gpu\t1\t0\t0")

	// The numbers of tasks are live.
	mark(tab)
	for range 3 {
		f.create("train", object{"limitKey": "gpu"})
	}
	row.Says("gpu\t1\t1\t2")
	tab.Find("button", "Change gpu").Click()
	dialog.Find("spinbutton", "At most").Fill("2")
	dialog.Find("button", "Set").Click()
	row.Says("gpu\t2\t2\t1")
	if limits := fmt.Sprint(f.call("limit.list", object{})["limits"]); limits != "[map[concurrent:2 key:gpu running:2 waiting:1]]" {
		t.Errorf("the limits are %s", limits)
	}
	f.call("limit.set", object{"key": "tpu", "concurrent": 7})
	tab.FindLike("row", "tpu").Says("tpu\t7\t0\t0")
	f.call("limit.delete", object{"key": "tpu"})
	tab.FindLike("row", "tpu").Gone()
	tab.Find("button", "Delete gpu").Click()
	tab.Find("dialog", "Delete the limit of gpu?").Find("button", "Delete").Click()
	tab.Sees("Deleted the limit of gpu.", "There is no limit.")
	unmoved(tab)
}
