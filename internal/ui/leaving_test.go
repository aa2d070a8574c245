package ui_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/browsertest"
)

// A dialog belongs to its page: it goes when a person goes elsewhere, and does nothing there.
func TestADialogGoesWithItsPage(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.create("stays", nil)
	f.caughtUp()
	tab := f.at(t, "/ui/fleet", "fleet")
	tab.Find("link", "Tasks").Click()
	ready(tab, "tasks")
	tab.Find("button", "Create a task").Click()
	dialog := tab.Find("dialog", "Create a task")
	dialog.There()
	tab.Back()
	ready(tab, "fleet")
	dialog.Gone()
}

// An export that is given up saves nothing.
func TestAnExportIsGivenUp(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	b := f.standBetween(t)
	tab := browsertest.Open(t, b.url)
	tab.Go("/ui/events")
	ready(tab, "events")
	browsertest.Eval[any](tab, `{ window.exports = []; URL.createObjectURL = () => "blob:none"; HTMLAnchorElement.prototype.click = function () { exports.push(this.download); }; 0 }`)
	export := func() {
		tab.Find("button", "Export…").Click()
		tab.Find("dialog", "Export events as JSON Lines").Find("button", "Export").Click()
	}
	gate := make(chan struct{})
	b.holdStreams(gate)
	export()
	tab.Find("dialog", "Export events as JSON Lines").Find("button", "Cancel").Click()
	close(gate)
	b.holdStreams(nil)
	export()
	tab.Find("dialog", "Export events as JSON Lines").Gone()
	tab.Sees("events exported.")
	if exports := browsertest.Eval[[]string](tab, "exports"); len(exports) != 1 {
		t.Errorf("there are the exports %q, want only the second", exports)
	}
}

// What happens between the first answer and the beginning of the stream is shown too.
func TestTheStreamContinuesAfterTheFirstEvents(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	b := f.standBetween(t)
	gate := make(chan struct{})
	b.holdStreams(gate)
	tab := browsertest.Open(t, b.url)
	tab.Go("/ui/events")
	ready(tab, "events")
	f.create("before the stream", nil)
	close(gate)
	tab.Sees("before the stream")
	consecutive(t, tab, f.last())
	// An event that has not happened yet is shown when it has.
	next := f.last() + 1
	tab.Go(fmt.Sprintf("/ui/events?seq=%d", next))
	tab.Sees("The log has no such event.")
	f.create("the awaited", nil)
	tab.Sees("the awaited")
}

// A person who tries again after an answer was lost does not create a second task.
func TestALostAnswer(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	b := f.standBetween(t)
	tab := browsertest.Open(t, b.url)
	tab.Expect(offline)
	tab.Go("/ui/tasks")
	ready(tab, "tasks")
	b.loses("task.create")
	tab.Find("button", "Create a task").Click()
	dialog := tab.Find("dialog", "Create a task")
	dialog.Find("textbox", "Text").Fill("only once")
	dialog.Find("button", "Create").Click()
	dialog.Says("The coordinator does not answer.")
	b.loses("")
	dialog.Find("button", "Create").Click()
	dialog.Gone()
	f.caughtUp()
	if total := f.call("task.list", object{})["totalCount"]; total != 1.0 {
		t.Errorf("there are %v tasks", total)
	}
}

// A rate limit is told, and does not take the list away; and a list has what has changed, also within
// a millisecond.
func TestAListThatIsLimited(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	b := f.standBetween(t)
	owner := func(owner string) func(string) string {
		return func(method string) string {
			if method != "task.list" {
				return ""
			}
			return `"result":{"tasks":[{"id":"t-1","text":"shown","status":"pending","priority":50,"assignedTo":` + owner + `,"attempt":0,"metadata":null,"createdAt":"2026-01-01T00:00:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z"}],"totalCount":1,"hasMore":false}`
		}
	}
	b.set(nil, owner("null"))
	tab := browsertest.Open(t, b.url)
	tab.Go("/ui/tasks")
	rows(tab, "t-1")
	status(tab, "Live")
	b.set(nil, owner(`"somebody"`))
	f.create("an event", nil)
	tab.FindLike("row", "t-1").Says("somebody")
	b.set(nil, func(method string) string {
		if method != "task.list" {
			return ""
		}
		return `"error":{"code":-32000,"message":"Rate limit exceeded","data":{"limit":1,"windowMs":60000,"retryAfterMs":1500}}`
	})
	f.create("another", nil)
	tab.Sees("Too many calls. Try again in 2 s.")
	rows(tab, "t-1")
	b.set(nil, owner("null"))
	tab.SeesNot("Too many calls.")
}

// What is written again keeps the focus.
func TestTheFocusStays(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.register("w-1", "worker")
	tab := f.at(t, "/ui/fleet/w-1", "instance")
	status(tab, "Live")
	tab.Find("button", "Unregister…").There()
	browsertest.Eval[any](tab, `document.querySelector("main button").focus()`)
	f.register("w-1", "worker", "other")
	tab.Sees("worker, other")
	if text := browsertest.Eval[string](tab, "document.activeElement.textContent"); !strings.HasPrefix(text, "Unregister") {
		t.Errorf("the focus is at %q", text)
	}
}
