package ui_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/claudebench/claudebench/internal/browsertest"
)

// counts waits until the tabs of the list show these numbers. None of the tests has tasks in the other
// states.
func counts(tab *browsertest.Tab, want string) {
	want = strings.Replace(want, ", Pending", ", Scheduled 0, Blocked 0, Pending", 1) + ", Cancelled 0"
	tab.Until("has the counts "+want, func() bool {
		return browsertest.Eval[string](tab, `[...document.querySelectorAll('nav[aria-label="Status"] a')].map((a) => a.textContent).join(", ")`) == want
	})
}

// rows waits until the list has exactly these tasks, in this order.
func rows(tab *browsertest.Tab, ids ...string) {
	tab.Until("lists "+strings.Join(ids, " "), func() bool {
		return browsertest.Eval[string](tab, `[...document.querySelectorAll("main table td.id")].map((td) => td.textContent).join(" ")`) == strings.Join(ids, " ")
	})
}

// Filters, order and page are in the address, so a link, a reload and the back button keep them.
func TestTasksFiltersAreInTheAddress(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	tab := f.at(t, "/ui/tasks", "tasks")
	counts(tab, "All 12, Pending 7, In progress 3, Completed 1, Failed 1")
	tab.FindLike("row", "Write the migration guide").Says("t-16", "\tIn progress\t60\tdocs-1\t1\t")
	tab.FindLike("row", "Fix the race").Says("t-1", "Completed", "90", "build-1")

	tab.FindLike("link", "Failed").Click()
	rows(tab, "t-2")
	if path := tab.Path(); path != "/ui/tasks?status=failed" {
		t.Errorf("the address is %s", path)
	}
	tab.Reload()
	rows(tab, "t-2")
	counts(tab, "All 12, Pending 7, In progress 3, Completed 1, Failed 1")
	tab.Back()
	tab.Until("lists all", func() bool { return tab.Path() == "/ui/tasks" && tab.FindLike("row", "t-22").Count() > 0 })

	tab.Find("searchbox", "Owner").Fill("docs-1")
	tab.Press(kb.Enter)
	rows(tab, "t-19", "t-16")
	counts(tab, "All 2, Pending 1, In progress 1, Completed 0, Failed 0")
	if path := tab.Path(); !strings.Contains(path, "owner=docs-1") {
		t.Errorf("the address is %s", path)
	}
	tab.FindLike("link", "In progress").Click()
	rows(tab, "t-16")
	tab.Find("link", "Clear").Click()
	tab.Until("keeps the status", func() bool { return tab.Path() == "/ui/tasks?status=in_progress" })

	tab.Go("/ui/tasks?role=go&orderBy=priority&order=asc")
	rows(tab, "t-20", "t-18", "t-15", "t-2", "t-1")
	tab.FindLike("link", "Priority").Click()
	rows(tab, "t-1", "t-2", "t-15", "t-18", "t-20")
	tab.Go("/ui/tasks?priority=40")
	rows(tab, "t-20", "t-19")
	tab.Go("/ui/tasks?text=ARCHIVE")
	rows(tab, "t-42", "t-41")
	tab.Find("searchbox", "Text").Fill("no such task")
	tab.Find("button", "Filter").Click()
	tab.Sees("No task matches.")
	tab.Find("link", "Show all tasks").Click()
	counts(tab, "All 12, Pending 7, In progress 3, Completed 1, Failed 1")
}

// What happens in the fleet appears without a reload.
func TestTasksAreLive(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	tab := f.at(t, "/ui/tasks", "tasks")
	tab.Sees("There is no task yet.")
	counts(tab, "All 0, Pending 0, In progress 0, Completed 0, Failed 0")
	mark(tab)
	id := f.create("appears by itself", object{"priority": 7})
	tab.FindLike("row", "appears by itself").Says(id, "Pending", "7")
	counts(tab, "All 1, Pending 1, In progress 0, Completed 0, Failed 0")
	f.register("w", "worker")
	f.claim("w")
	tab.FindLike("row", id).Says("In progress", "w")
	f.call("task.complete", object{"id": id, "workerId": "w"})
	tab.FindLike("row", id).Says("Completed")
	counts(tab, "All 1, Pending 0, In progress 0, Completed 1, Failed 0")
	choose(tab, id)
	tab.Sees("1 task chosen")
	f.call("task.delete", object{"id": id})
	tab.Sees("There is no task yet.")
	tab.SeesNot("1 task chosen")
	unmoved(tab)

	// A pause keeps what is shown, and the resumption shows what happened since.
	tab.Find("button", "Pause").Click()
	status(tab, "Paused")
	f.create("while it was paused", nil)
	f.caughtUp()
	if tab.FindLike("row", "while it was paused").Count() != 0 {
		t.Error("a paused page changes")
	}
	tab.Find("button", "Resume").Click()
	tab.Sees("while it was paused")
	status(tab, "Live")
	unmoved(tab)
}

// mark marks the document, and unmoved fails the test if it was loaded again since.
func mark(tab *browsertest.Tab) { browsertest.Eval[any](tab, "window.marked = true") }

func unmoved(tab *browsertest.Tab) {
	tab.Until("was not loaded again", func() bool { return browsertest.Eval[bool](tab, "window.marked === true") })
}

func TestTasksHavePages(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	tasks := list{}
	for i := range 120 {
		tasks = append(tasks, object{"text": fmt.Sprintf("task number %d", i+1)})
	}
	f.call("task.create_many", object{"tasks": tasks[:100]})
	f.call("task.create_many", object{"tasks": tasks[100:]})
	f.caughtUp()
	tab := f.at(t, "/ui/tasks", "tasks")
	tab.Sees("1 to 50 of 120", "task number 120")
	if tab.Find("link", "Previous").Count() != 0 {
		t.Error("the first page has a previous one")
	}
	tab.Find("link", "Next").Click()
	tab.Sees("51 to 100 of 120", "task number 70")
	tab.Find("link", "Next").Click()
	tab.Sees("101 to 120 of 120")
	tab.SeesNot("task number 70")
	tab.Find("link", "Next").Gone()
	tab.Back()
	tab.Sees("51 to 100 of 120")
	tab.Find("link", "Previous").Click()
	tab.Sees("1 to 50 of 120")
	tab.Go("/ui/tasks?offset=100")
	tab.Sees("101 to 120 of 120")
	tab.FindLike("link", "Pending").Click() // the first page of another filter
	tab.Sees("1 to 50 of 120")
	tab.Go("/ui/tasks?status=pending&offset=5000")
	tab.Sees("This page is empty.")
	tab.Find("link", "Go to the first page").Click()
	tab.Sees("1 to 50 of 120")
}

func TestTasksByKeyboard(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	tab := f.at(t, "/ui/tasks", "tasks")
	focused := func(id string) {
		t.Helper()
		tab.Until("has the focus at "+id, func() bool { return browsertest.Eval[string](tab, "document.activeElement.textContent") == id })
	}
	tab.Press("j")
	focused("t-42")
	tab.Press("j")
	focused("t-41")
	tab.Press("k")
	focused("t-42")
	tab.Press("k") // there is none before
	focused("t-42")
	tab.Press("x")
	tab.Sees("1 task chosen")
	tab.Press("j")
	tab.Press("x")
	tab.Sees("2 tasks chosen")
	browsertest.Eval[any](tab, `document.querySelector(".skip").click()`) // loses nothing
	tab.Until("has the focus at the content", func() bool {
		return browsertest.Eval[string](tab, "document.activeElement.id + location.hash") == "main#main"
	})
	tab.Sees("2 tasks chosen")
	tab.Press("/")
	tab.Until("has the focus in the search", func() bool { return tab.Find("searchbox", "Text").Focused() })
	tab.Press("j") // is typed
	if value := browsertest.Eval[string](tab, "document.activeElement.value"); value != "j" {
		t.Errorf("the search has %q", value)
	}
	tab.Find("searchbox", "Text").Fill("migration")
	tab.Press(kb.Enter)
	rows(tab, "t-16")
	tab.Press("j")
	focused("t-16")
	tab.Press(kb.Enter)
	ready(tab, "task")
	tab.Sees("Write the migration guide for version 2")
	if path := tab.Path(); path != "/ui/tasks/t-16" {
		t.Errorf("the address is %s", path)
	}
	tab.Back()
	rows(tab, "t-16")
}

func TestCreateATask(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	tab := f.at(t, "/ui/tasks", "tasks")
	tab.Find("button", "Create a task").Click()
	dialog := tab.Find("dialog", "Create a task")
	dialog.Find("button", "Create").Click()
	dialog.Says("a value is needed")
	dialog.Find("textbox", "Text").Fill("made by hand")
	dialog.Find("spinbutton", "Priority").Fill("")
	dialog.Find("button", "Create").Click()
	dialog.Says("Priority: a value is needed.")
	dialog.Find("spinbutton", "Priority").Fill("88")
	dialog.Find("textbox", "Roles").Fill("go, review")
	dialog.Find("textbox", "Metadata").Fill(`{"big": 12345678901234567890, "bad"}`)
	dialog.Find("button", "Create").Click()
	dialog.Says("The metadata is not JSON")
	dialog.Find("textbox", "Metadata").Fill("5")
	dialog.Find("button", "Create").Click()
	dialog.Says("5")
	dialog.Find("textbox", "Metadata").Fill(`{"big": 12345678901234567890, "small": 0.10}`)
	dialog.Find("button", "Create").Click()
	dialog.Gone()
	tab.FindLike("row", "made by hand").Says("Pending", "88")
	raw, _ := f.ask("task.get", object{"id": "t-1"})
	if got := string(raw); !strings.Contains(got, `"big":12345678901234567890`) || !strings.Contains(got, `"small":0.10`) || !strings.Contains(got, `["go","review"]`) || !strings.Contains(got, `"priority":88`) {
		t.Errorf("the task is %s", got)
	}
	// The server's own words, and the dialog stays open.
	tab.Find("button", "Create a task").Click()
	dialog.Find("textbox", "Text").Fill("again")
	dialog.Find("spinbutton", "Priority").Fill("101")
	dialog.Find("button", "Create").Click()
	dialog.Says("priority")
	dialog.Find("button", "Cancel").Click()
	dialog.Gone()
	tab.SeesNot("again")
}

// choose chooses tasks in the list.
func choose(tab *browsertest.Tab, ids ...string) {
	for _, id := range ids {
		tab.Find("checkbox", "Choose task "+id).Click()
	}
}

// What is done to many at once says how many, and does exactly that.
func TestManyTasksAtOnce(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	var ids []string
	for i := range 6 {
		ids = append(ids, f.create(fmt.Sprintf("task %d", i+1), object{"metadata": object{"roles": list{"rare"}}}))
	}
	f.register("rare-1", "worker", "other")
	f.caughtUp()
	tab := f.at(t, "/ui/tasks", "tasks")
	bar := tab.Find("group", "With the chosen tasks")

	choose(tab, ids[0], ids[1], ids[2])
	bar.Says("3 tasks chosen")
	bar.Find("button", "Priority…").Click()
	dialog := tab.Find("dialog", "Change the priority of 3 tasks")
	dialog.Find("spinbutton", "Priority").Fill("77")
	dialog.Find("button", "Change 3 tasks").Click()
	dialog.Gone()
	tab.Sees("3 tasks changed.")
	for i, id := range ids {
		want := 50.0
		if i < 3 {
			want = 77
		}
		if got := f.task(id)["priority"]; got != want {
			t.Errorf("%s has the priority %v, want %v", id, got, want)
		}
	}
	bar.Gone() // nothing stays chosen

	// An instance without the role: the reason is told for those that failed.
	choose(tab, ids[0])
	bar.Find("button", "Assign…").Click()
	dialog = tab.Find("dialog", "Assign task "+ids[0])
	dialog.Find("combobox", "Instance").Fill("rare-1")
	dialog.Find("button", "Assign task "+ids[0]).Click()
	tab.Sees("1 task not assigned.", "lacks a role")
	f.register("rare-2", "worker", "rare")
	for _, id := range ids {
		_, _ = f.ask("task.unassign", object{"taskId": id}) // some have gone to rare-2
	}
	f.caughtUp()
	tab.Reload()
	ready(tab, "tasks")
	choose(tab, ids[0], ids[1])
	bar.Find("button", "Assign…").Click()
	dialog = tab.Find("dialog", "Assign 2 tasks")
	dialog.Find("combobox", "Instance").Fill("rare-2")
	dialog.Find("button", "Assign 2 tasks").Click()
	tab.Sees("2 tasks assigned.")
	for _, id := range ids[:2] {
		if owner := f.task(id)["assignedTo"]; owner != "rare-2" {
			t.Errorf("%s belongs to %v", id, owner)
		}
	}

	// Deletion, first not confirmed.
	tab.Find("checkbox", "Choose all tasks on this page").Click()
	bar.Says("6 tasks chosen")
	tab.Find("checkbox", "Choose task "+ids[5]).Click()
	bar.Says("5 tasks chosen")
	bar.Find("button", "Delete…").Click()
	dialog = tab.Find("dialog", "Delete 5 tasks?")
	dialog.Says("cannot be brought back")
	tab.Press(kb.Escape)
	dialog.Gone()
	f.caughtUp()
	if total := f.call("task.list", object{})["totalCount"]; total != 6.0 {
		t.Errorf("after Escape %v tasks are left", total)
	}
	bar.Find("button", "Delete…").Click()
	dialog.Find("button", "Delete 5 tasks").Click()
	tab.Sees("5 tasks deleted.")
	rows(tab, ids[5])
	counts(tab, "All 1, Pending 1, In progress 0, Completed 0, Failed 0")
}
