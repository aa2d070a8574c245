package ui_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/browsertest"
	"github.com/claudebench/claudebench/internal/config"
)

func TestOverview(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	tab := f.at(t, "/ui/", "overview")
	tile := func(name, value string) {
		t.Helper()
		tab.Until("has "+name+" "+value, func() bool {
			return browsertest.Eval[bool](tab, fmt.Sprintf(`[...document.querySelectorAll("main *")].some((e) => e.childElementCount === 2 && e.firstElementChild.textContent === %q && e.lastElementChild.textContent === %q)`, name, value))
		})
	}
	tile("Pending", "7")
	tile("In progress", "3")
	tile("Completed", "1")
	tile("Failed", "1")
	tile("Live instances", "4")
	tile("Leader", "build-1")
	tab.Sees("Degraded", "failed less than five minutes ago", "Projections", "support", "any worker", "circuits are closed", "No call was over a rate limit.")
	tab.FindLike("image", "Finished, the last hour by minute").There()
	tab.Sees("voted on release-2.0", "batch import-7: 2 of 2 items")

	// Live, without a reload.
	mark(tab)
	id := f.create("new on the overview", nil)
	tile("Pending", "8")
	tab.Sees("new on the overview")
	f.call("task.assign", object{"taskId": id, "instanceId": "build-2"})
	f.call("task.update", object{"id": id, "updates": object{"status": "in_progress"}})
	f.call("task.complete", object{"id": id})
	tile("Completed", "2")
	f.call("system.unregister", object{"instanceId": "review-1"})
	tile("Live instances", "3")
	unmoved(tab)

	// Queues that are paused are shown.
	f.call("queue.pause", object{"roles": list{"gpu", "build"}})
	f.call("queue.pause", object{"roles": list{}})
	f.call("queue.pause", object{})
	tab.Sees("Paused: build + gpu, no roles, all queues")
	for _, queue := range []object{{}, {"roles": list{}}, {"roles": list{"build", "gpu"}}} {
		f.call("queue.resume", queue)
	}
	tab.Until("shows no pause", func() bool {
		return browsertest.Eval[bool](tab, `!document.querySelector("main").textContent.includes("Paused:")`)
	})

	// Paused, it does not change; resumed, it does.
	tab.Find("button", "Pause").Click()
	status(tab, "Paused")
	f.register("late-1", "worker")
	f.caughtUp()
	if n := tab.FindLike("link", "late-1").Count(); n != 0 {
		t.Error("a paused page shows what is new")
	}
	tab.Find("button", "Resume").Click()
	tile("Live instances", "4")

	// What the stream has again after a pause, or after the page of events, is not shown again.
	tab.Find("link", "Events").Click()
	ready(tab, "events")
	f.create("while the events are shown", nil)
	tab.Sees("while the events are shown")
	tab.Find("link", "Overview").Click()
	ready(tab, "overview")
	status(tab, "Live")
	f.create("the newest of all", nil)
	tab.Sees("the newest of all")
	shown := browsertest.Eval[[]int](tab, `[...document.querySelectorAll("main ol.lines li")].map((li) => Number(li.dataset.key.split("-")[1]))`)
	for i, seq := range shown {
		if len(shown) != 12 || seq != shown[0]-i {
			t.Errorf("the last events are %v", shown)
			break
		}
	}

	tab.FindLike("link", "Failed").Click()
	rows(tab, "t-2")
}

func TestFleet(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	tab := f.at(t, "/ui/fleet", "fleet")
	tab.Sees("4 live instances")
	row := tab.FindLike("row", "build-1")
	row.Says("worker, go", "Busy", "leader", "1 in progress", "t-15 Find out why the nightly build takes", "left")
	tab.FindLike("row", "build-2").Says("Idle", "0 in progress")
	tab.Sees("build-3 died at", "2 tasks went to others")
	tab.Find("button", "What became of them").Click()
	tab.Sees("t-15 In progress at build-1")

	mark(tab)
	f.register("new-1", "worker", "rust")
	tab.FindLike("row", "new-1").Says("rust")
	tab.Sees("5 live instances")

	// A pause lasts longer than the period in which the page asks again.
	tab.Find("button", "Pause").Click()
	status(tab, "Paused")
	f.register("late-1", "worker")
	browsertest.Eval[any](tab, "window.pausedAt = performance.now(); 0")
	tab.Until("was paused for a while", func() bool { return browsertest.Eval[bool](tab, "performance.now() - pausedAt > 6000") })
	if tab.FindLike("row", "late-1").Count() != 0 {
		t.Error("a paused page asks for what is new")
	}
	tab.Find("button", "Resume").Click()
	tab.FindLike("row", "late-1").There()
	f.call("system.unregister", object{"instanceId": "late-1"})

	tab.Find("button", "Unregister new-1").Click()
	dialog := tab.Find("dialog", "Unregister new-1?")
	dialog.Find("button", "Cancel").Click()
	dialog.Gone()
	tab.Find("button", "Unregister new-1").Click()
	dialog.Find("button", "Unregister").Click()
	tab.Sees("new-1 is unregistered.", "4 live instances")
	unmoved(tab)

	tab.FindLike("link", "docs-1").Click()
	ready(tab, "instance")
	tab.Sees("docs-1", "Busy", "worker, docs", `"host": "rack-7"`, "t-16", "t-19", "instance.registered", "task.claimed")
	tab.Go("/ui/fleet/build-3")
	tab.Sees("Not alive.", "died")
	tab.Go("/ui/fleet/nobody")
	tab.Sees("Not alive.")
}

// The time left runs down, and a silent instance leaves the list by itself.
func TestTheTimeLeftRunsDown(t *testing.T) {
	t.Parallel()
	f := start(t, func(c *config.Config) { c.InstanceTTL = 5 * time.Second })
	f.call("system.register", object{"id": "stays", "roles": list{"worker"}, "ttlMs": 120_000})
	f.register("goes", "worker")
	tab := f.at(t, "/ui/fleet", "fleet")
	tab.FindLike("row", "goes").Says("s left")
	tab.Until("shows how the time runs down", func() bool {
		text := tab.FindLike("row", "goes").Text()
		return containsAny(text, "3.", "2.", "1.", "3 s", "2 s", "1 s", " ms", "silent")
	})
	tab.Sees("goes died at", "1 live instance")
}

// An empty fleet says so, and what to do.
func TestAnEmptyFleet(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	tab := f.at(t, "/ui/fleet", "fleet")
	tab.Sees("No instance is alive.", "Start a worker")
	for _, page := range pages {
		if page.name == "task" || page.name == "instance" {
			continue
		}
		tab.Go(page.path)
		ready(tab, page.name)
		tab.SeesNot("Loading…", "undefined", "NaN", "[object")
	}
}
