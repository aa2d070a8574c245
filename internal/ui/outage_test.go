package ui_test

import (
	"fmt"
	"testing"

	"github.com/claudebench/claudebench/internal/browsertest"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// offline are the messages of a browser whose requests fail, or whose coordinator is just stopping or
// starting.
const offline = "ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|network error|503 .*/readyz"

// A coordinator that is away is told, and when it is back the pages catch up without a reload. The
// page of events has every event, once.
func TestACoordinatorThatRestarts(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	// Another coordinator of the fleet works on meanwhile.
	other := start(t, func(c *config.Config) {
		listen := c.Listen
		*c = *f.cfg
		c.Listen = listen
	})
	log, tasks, overview := f.at(t, "/ui/events", "events"), f.at(t, "/ui/tasks", "tasks"), f.at(t, "/ui/", "overview")
	tabs := []*browsertest.Tab{log, tasks, overview}
	for _, tab := range tabs {
		tab.Expect(offline)
		status(tab, "Live")
		mark(tab)
	}
	consecutive(t, log, other.last())
	f.stop()
	for _, tab := range tabs {
		status(tab, "Offline")
		tab.Sees("The coordinator does not answer.")
	}
	tasks.Sees("Fix the race in the queue") // what was known stays
	for i := range 40 {
		other.create(fmt.Sprintf("meanwhile number %d", i), nil)
	}
	f.start()
	for _, tab := range tabs {
		status(tab, "Live")
		tab.Sees("meanwhile number 39")
		tab.SeesNot("The coordinator does not answer.")
		unmoved(tab)
	}
	consecutive(t, log, other.last())
	counts(tasks, "All 52, Pending 47, In progress 3, Completed 1, Failed 1")
	// And on.
	f.create("after all", nil)
	for _, tab := range tabs {
		tab.Sees("after all")
	}
	consecutive(t, log, other.last())
}

// A page that is opened while the coordinator is away cannot load, but one that was loaded asks again
// until it is there.
func TestAPageThatBeginsOffline(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.create("it is back", nil)
	tab := f.at(t, "/ui/fleet", "fleet")
	tab.Expect(offline)
	f.stop()
	status(tab, "Offline")
	tab.Find("link", "Tasks").Click()
	// Either the list of tasks cannot be read, or its page was not loaded yet and cannot be loaded.
	tab.Sees("cannot be", "The coordinator does not answer.")
	f.start()
	tab.Sees("it is back")
	status(tab, "Live")
	tab.SeesNot("cannot be")
}

// Without Postgres the pages say what is missing, and the rest works.
func TestPostgresIsAway(t *testing.T) {
	t.Parallel()
	postgres := testenv.OwnPostgres(t)
	f := start(t, func(c *config.Config) { c.DatabaseURL = postgres.URL() }).live()
	tab := f.at(t, "/ui/tasks", "tasks")
	tab.Sees("Fix the race in the queue")
	mark(tab)
	if err := postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	tab.Find("link", "Overview").Click()
	ready(tab, "overview")
	tab.Find("link", "Tasks").Click()
	ready(tab, "tasks")
	tab.Sees("Tasks cannot be listed.", "Postgres")
	tab.Find("link", "System").Click()
	ready(tab, "system")
	tab.Sees("Postgres does not answer", "Redis works")
	tab.Find("link", "Fleet").Click()
	ready(tab, "fleet")
	tab.Sees("4 live instances", "cannot be read")
	tab.Find("link", "Events").Click()
	ready(tab, "events")
	f.create("without Postgres", nil)
	tab.Sees("without Postgres")
	if err := postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	tab.Find("link", "Tasks").Click()
	tab.Sees("without Postgres", "Fix the race in the queue")
	unmoved(tab)
}

// Without Redis nothing works, and the pages say so, and recover.
func TestRedisIsAway(t *testing.T) {
	t.Parallel()
	redis := testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
	f := start(t, func(c *config.Config) { c.RedisURL = redis.URL() }).live()
	tab := f.at(t, "/ui/", "overview")
	tab.Expect(offline + "|503")
	mark(tab)
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	tab.Find("link", "Fleet").Click()
	ready(tab, "fleet")
	tab.Sees("cannot be read", "Redis")
	if err := redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	tab.Sees("4 live instances")
	status(tab, "Live")
	f.create("after Redis is back", nil)
	tab.Find("link", "Tasks").Click()
	tab.Sees("after Redis is back")
	unmoved(tab)
}

// A page that is left closes its stream, also if the browser keeps the page for its back button, and a
// page that comes back follows the log again.
func TestPagesThatAreLeftKeepNoConnection(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	tab := f.open(t)
	for i := range 12 { // a browser has six connections
		tab.Go(fmt.Sprintf("/ui/tasks?priority=%d", i))
		ready(tab, "tasks")
		status(tab, "Live")
	}
	tab.Back()
	tab.Until("is back", func() bool { return tab.Path() == "/ui/tasks?priority=10" })
	f.create("seen after the way back", object{"priority": 10})
	tab.Sees("seen after the way back")
	status(tab, "Live")
}
