package ui_test

import (
	"testing"
)

// Cancel… and Retry… of the page of a task: in each state, and refused.
func TestATaskIsCalledOffAndRevived(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	id := f.create("wanted by nobody", nil)
	tab := f.at(t, "/ui/tasks/"+id, "task")
	mark(tab)
	tab.Sees("Pending")
	if tab.Find("button", "Retry…").Count() != 0 {
		t.Error("a pending task can be retried")
	}
	tab.Find("button", "Cancel…").Click()
	dialog := tab.Find("dialog", "Cancel task "+id+"?")
	dialog.Says("has 30 seconds to end it")
	dialog.Find("button", "Cancel").Click()
	dialog.Gone()
	if status := f.task(id)["status"]; status != "pending" {
		t.Errorf("without a confirmation it is %v", status)
	}
	tab.Find("button", "Cancel…").Click()
	dialog.Find("button", "Cancel task "+id).Click()
	tab.Sees("1 task called off.", "Cancelled", "task.cancelled")
	tab.Find("group", "Cancel").Says(`"by": "anonymous"`)
	tab.Find("button", "Cancel…").Gone()
	if status := f.task(id)["status"]; status != "cancelled" {
		t.Errorf("it is %v", status)
	}

	tab.Find("button", "Retry…").Click()
	tab.Find("dialog", "Retry task "+id+"?").Find("button", "Retry task "+id).Click()
	tab.Sees("1 task revived.", "task.revived")
	tab.Find("group", "Cancel").Gone()
	tab.Find("button", "Retry…").Gone()
	if status := f.task(id)["status"]; status != "pending" {
		t.Errorf("it is %v", status)
	}

	// A claimed task goes on until its worker has ended it.
	f.register("w", "worker")
	f.claim("w")
	tab.Find("button", "Complete…").There()
	tab.Find("button", "Cancel…").Click()
	dialog.Find("button", "Cancel task "+id).Click()
	tab.Find("group", "Cancel").Says(`"by": "anonymous"`, `"cancelAt"`)
	tab.Sees("In progress", "task.cancel_requested")
	if task := f.task(id); task["status"] != "in_progress" || task["cancelRequested"] != true {
		t.Errorf("it is %v", task)
	}
	f.call("task.complete", object{"id": id, "workerId": "w", "cancelled": true})
	tab.Find("button", "Retry…").There()

	// What has changed meanwhile is refused, and the page says why.
	tab.Find("button", "Retry…").Click()
	dialog = tab.Find("dialog", "Retry task "+id+"?")
	dialog.There()
	f.call("task.retry", object{"id": id})
	dialog.Find("button", "Retry task "+id).Click()
	tab.Sees("1 task not revived. Conflict: the task has neither failed nor been cancelled.")
	tab.Find("button", "Cancel…").Click()
	dialog = tab.Find("dialog", "Cancel task "+id+"?")
	dialog.There()
	f.claim("w")
	f.call("task.complete", object{"id": id, "workerId": "w", "error": object{"exitCode": 3}})
	dialog.Find("button", "Cancel task "+id).Click()
	tab.Sees("1 task not called off. Conflict: the task is finished.")

	// A failed task is tried again from the beginning.
	tab.Find("group", "Error").Says(`"exitCode": 3`)
	tab.Find("button", "Retry…").Click()
	tab.Find("dialog", "Retry task "+id+"?").Find("button", "Retry task "+id).Click()
	tab.Find("group", "Error").Gone()
	if status := f.task(id)["status"]; status != "pending" {
		t.Errorf("it is %v", status)
	}
	unmoved(tab)
}

// The page of a task shows when it runs, how far it is, and its last errors.
func TestTheTimeAndTheErrorsOfATask(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.register("w", "worker")
	later := f.create("open the time capsule", object{"runAt": "2099-06-15T12:00:00Z"})
	tab := f.at(t, "/ui/tasks/"+later, "task")
	tab.Sees("Scheduled", "Runs at", "15 Jun 2099")

	id := f.create("fetch the page", object{"retry": object{"maxAttempts": 2, "backoffMs": 3_600_000}})
	f.claim("w")
	tab.Go("/ui/tasks/" + id)
	ready(tab, "task")
	mark(tab)
	if tab.Find("group", "Progress").Count()+tab.Find("group", "Errors").Count() != 0 {
		t.Error("the page shows progress or errors that there are not")
	}
	for _, percent := range []int{40, 60} {
		f.call("task.progress", object{"id": id, "workerId": "w", "attempt": 1, "percent": percent, "message": "page after page"})
		want := map[int]string{40: `"percent": 40`, 60: `"percent": 60`}[percent]
		tab.Find("group", "Progress").Says(want, `"message": "page after page"`)
	}
	f.call("task.complete", object{"id": id, "workerId": "w", "error": "503 Service Unavailable"})
	tab.Find("group", "Errors").Says(`"attempt": 1`, `"workerId": "w"`, `"503 Service Unavailable"`)
	tab.Sees("Scheduled", "task.retried")
	unmoved(tab)
}

// Cancel… and Retry… of the list: each task has its own answer.
func TestManyTasksAreCalledOffAndRevived(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.register("w", "worker")
	failed := f.create("fails", nil)
	f.claim("w")
	f.call("task.complete", object{"id": failed, "workerId": "w", "error": "no"})
	claimed := f.create("is claimed", nil)
	f.claim("w")
	waiting := f.create("waits", object{"metadata": object{"roles": list{"nobody"}}})
	f.caughtUp()
	tab := f.at(t, "/ui/tasks", "tasks")
	bar := tab.Find("group", "With the chosen tasks")
	choose(tab, failed, claimed, waiting)
	bar.Find("button", "Cancel…").Click()
	tab.Find("dialog", "Cancel 3 tasks?").Find("button", "Cancel 3 tasks").Click()
	tab.Sees("2 tasks called off.", "1 task not called off. Conflict: the task is finished.")
	tab.FindLike("row", waiting).Says("Cancelled")
	tab.FindLike("row", claimed).Says("In progress")
	if task := f.task(claimed); task["cancelRequested"] != true {
		t.Errorf("the claimed task is %v", task)
	}
	choose(tab, failed, waiting, claimed)
	bar.Find("button", "Retry…").Click()
	tab.Find("dialog", "Retry 3 tasks?").Find("button", "Retry 3 tasks").Click()
	tab.Sees("2 tasks revived.", "1 task not revived. Conflict: the task has neither failed nor been cancelled.")
	tab.FindLike("row", failed).Says("Pending")
	tab.FindLike("row", waiting).Says("Pending")
}
