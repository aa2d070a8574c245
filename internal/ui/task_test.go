package ui_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/browsertest"
)

func TestATask(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	tab := f.at(t, "/ui/tasks/t-1", "task")
	tab.Sees("Fix the race in the queue of waiting claims", "Completed", "build-1", `"branch": "fix/queue-race"`)
	tab.Sees("Before the first claim", "Attempt 1", "task.created", "claimed by build-1", "completed by build-1", "by anonymous")
	tab.Sees(`"seconds": 0.10`, `"lines": 12345678901234567890`, `"passed": 1284`)
	for _, name := range []string{"Complete…", "Fail…", "Release…", "Assign…"} {
		if tab.Find("button", name).Count() != 0 {
			t.Errorf("a finished task can be: %s", name)
		}
	}
	tab.FindLike("link", "build-1").Click()
	ready(tab, "instance")
	tab.Back()
	ready(tab, "task")
	tab.Sees("Fix the race")

	tab.Go("/ui/tasks/t-2")
	tab.Sees("Failed", "TestUpgrade: relation")
	tab.Go("/ui/tasks/t-987654")
	tab.Sees("There is no such task.")
}

func TestATaskIsLive(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	id := f.create("to be done", object{"metadata": object{"size": "small"}})
	tab := f.at(t, "/ui/tasks/"+id, "task")
	mark(tab)
	tab.Sees("Pending", "to be done")
	f.call("task.update", object{"id": id, "updates": object{"text": "to be done soon", "metadata": object{"size": "large"}}})
	tab.Sees("to be done soon", `"large"`)
	f.register("w", "worker")
	f.claim("w")
	tab.Sees("In progress", "w")
	f.call("task.delete", object{"id": id})
	tab.Sees("The task has been deleted.")
	unmoved(tab)
}

// A history has more events than one answer.
func TestALongHistory(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	id := f.create("changed often", nil)
	for i := range 250 {
		f.call("task.update", object{"id": id, "updates": object{"priority": i % 100}})
	}
	f.caughtUp()
	tab := f.at(t, "/ui/tasks/"+id, "task")
	tab.Find("button", "Show more").Click()
	tab.Until("has all events", func() bool {
		return browsertest.Eval[int](tab, `document.querySelectorAll("main ol.timeline li").length`) == 251
	})
	tab.Find("button", "Show more").Gone()
}

// The actions on one task are those that fit its state, and each is done once it is confirmed.
func TestActionsOnATask(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	id := f.create("one", nil)
	tab := f.at(t, "/ui/tasks/"+id, "task")
	tab.Find("button", "Assign…").There()
	if tab.Find("button", "Complete…").Count() != 0 {
		t.Error("a task without an owner can be completed")
	}
	f.register("w", "worker")
	f.claim("w")

	tab.Find("button", "Release…").Click()
	dialog := tab.Find("dialog", "Release task "+id+"?")
	dialog.Find("button", "Cancel").Click()
	dialog.Gone()
	if f.task(id)["status"] != "in_progress" {
		t.Error("it was released without a confirmation")
	}
	tab.Find("button", "Release…").Click()
	dialog.Find("button", "Release").Click()
	tab.Sees("1 task released.")
	tab.Find("button", "Complete…").Gone()
	if f.task(id)["status"] != "pending" {
		t.Errorf("after the release: %v", f.task(id))
	}

	f.claim("w")
	tab.Find("button", "Complete…").Click()
	dialog = tab.Find("dialog", "Complete task "+id)
	dialog.Says("In the name of its owner, w.")
	f.call("task.unassign", object{"taskId": id}) // meanwhile it is claimed again
	f.claim("w")
	dialog.Find("button", "Complete the task").Click()
	dialog.Says("the task has been claimed again since.")
	dialog.Find("button", "Cancel").Click()
	// The heading of the history may be ahead of the task that the dialog is made for.
	tab.Until("shows the task in attempt 3", func() bool {
		return browsertest.Eval[bool](tab, `[...document.querySelectorAll("dt")].some((e) => e.textContent === "Attempt" && e.nextElementSibling.textContent === "3")`)
	})
	tab.Find("button", "Complete…").Click()
	dialog.Find("textbox", "Result").Fill(`{"n": 12345678901234567890, "x": 1.50}`)
	dialog.Find("button", "Complete the task").Click()
	tab.Sees("Task "+id+" completed.", `"n": 12345678901234567890`, `"x": 1.50`)
	if raw, _ := f.ask("task.get", object{"id": id}); !strings.Contains(string(raw), `"result":{"n":12345678901234567890,"x":1.50}`) {
		t.Errorf("the task is %s", raw)
	}

	other := f.create("two", nil)
	f.claim("w")
	tab.Go("/ui/tasks/" + other)
	tab.Find("button", "Fail…").Click()
	dialog = tab.Find("dialog", "Fail task "+other)
	dialog.Find("button", "Fail the task").Click()
	dialog.Says("a value is needed")
	dialog.Find("textbox", "Error").Fill("it cannot be done")
	dialog.Find("button", "Fail the task").Click()
	tab.Sees("Task "+other+" failed.", `"it cannot be done"`)
	if got := f.task(other); got["status"] != "failed" || got["error"] != "it cannot be done" {
		t.Errorf("the task is %v", got)
	}

	tab.Find("button", "Delete…").Click()
	tab.Find("dialog", "Delete task "+other+"?").Find("button", "Delete task "+other).Click()
	ready(tab, "tasks")
	tab.SeesNot("two")
}

// The copied command creates the same task again, whatever its text contains.
func TestCopyAsCurl(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	text := `it's "quoted" $HOME ` + "`id`" + ` \ and ünïcode`
	id := f.create(text, object{"priority": 3, "metadata": object{"apostrophe": "'", "list": list{1, "'; echo no"}}})
	tab := f.at(t, "/ui/tasks/"+id, "task")
	tab.Find("button", "Copy as curl").Click()
	tab.Sees("in the clipboard")
	command := browsertest.Eval[string](tab, "navigator.clipboard.readText()")
	out, err := exec.CommandContext(t.Context(), "sh", "-c", command).Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	var answer struct{ Result struct{ ID string } }
	if err := json.Unmarshal(out, &answer); err != nil || answer.Result.ID == "" || answer.Result.ID == id {
		t.Fatalf("%s printed %s: %v", command, out, err)
	}
	got, want := f.task(answer.Result.ID), f.task(id)
	for _, name := range []string{"text", "priority", "metadata"} {
		a, _ := json.Marshal(got[name])
		b, _ := json.Marshal(want[name])
		if string(a) != string(b) {
			t.Errorf("the copy has the %s %s, want %s", name, a, b)
		}
	}
}
