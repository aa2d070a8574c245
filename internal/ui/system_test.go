package ui_test

import (
	"testing"

	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/migrations"
)

func TestAudit(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	tab := f.at(t, "/ui/audit", "audit")
	tab.Sees("The log", "None has run yet.")
	mark(tab)
	tab.Find("button", "Verify now").Click()
	tab.Sees("Everything stored equals the log.", "12 tasks")
	tab.SeesNot("None has run yet.")
	unmoved(tab)

	// A difference is told, with what it is.
	pool := testenv.SQL(t, f.cfg.DatabaseURL, migrations.Schema(f.cfg.Namespace))
	if _, err := pool.Exec(t.Context(), "UPDATE tasks SET priority = 99 WHERE num = 1"); err != nil {
		t.Fatal(err)
	}
	tab.Find("button", "Verify now").Click()
	tab.Sees("1 difference between the log and what is stored.", "t-1")
}

func TestSystem(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	tab := f.at(t, "/ui/system", "system")
	tab.Sees("Degraded", "Redis works", "Postgres works", "task.claim", "import-7", "2 of 2", "release-2.0", "on Thursday", "drop-go-1.25", "1.2.3")
	tab.SeesNot("Loading…", "undefined", "NaN")

	// The flush wants its word, typed.
	tab.Find("button", "Flush everything…").Click()
	dialog := tab.Find("dialog", "Flush everything?")
	field, do := dialog.Find("textbox", "Type FLUSH_ALL_DATA to confirm"), dialog.Find("button", "Delete all data")
	do.Click()
	dialog.Says("Type FLUSH_ALL_DATA to confirm.")
	field.Fill("flush_all_data")
	do.Click()
	if total := f.call("task.list", object{})["totalCount"]; total != 12.0 {
		t.Fatalf("%v tasks are left without a confirmation", total)
	}
	field.Fill("FLUSH_ALL_DATA")
	do.Click()
	tab.Sees("Flushed:")
	// The wrong word has not even been sent.
	if calls := f.call("system.metrics", object{"detailed": true})["handlers"].(object)["system.flush"].(object)["totalCalls"]; calls != 1.0 {
		t.Errorf("system.flush was called %v times", calls)
	}
	if total := f.call("task.list", object{})["totalCount"]; total != 0.0 {
		t.Errorf("%v tasks are left", total)
	}
	tab.Find("link", "Tasks").Click()
	tab.Sees("There is no task yet.")
	tab.Find("link", "Events").Click()
	ready(tab, "events")
	tab.Sees("system.flushed")
}

// A flush in another window: the pages show the empty fleet, and the events go on.
func TestAFlushElsewhere(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	tasks, log := f.at(t, "/ui/tasks", "tasks"), f.at(t, "/ui/events", "events")
	overview := f.at(t, "/ui/", "overview")
	status(log, "Live")
	f.call("system.flush", object{"confirm": "FLUSH_ALL_DATA"})
	tasks.Sees("There is no task yet.")
	log.Sees("all data was deleted")
	f.create("after the flush", nil)
	tasks.Sees("after the flush")
	log.Sees("after the flush")
	overview.Sees("after the flush")
}
