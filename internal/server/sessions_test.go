package server

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// seen is a session as session.get and session.list return it.
type seen struct {
	ID             string
	InstanceID     *string
	EndedAt        *string
	Events         int
	Tasks          struct{ Claimed, Completed, Failed int }
	Behind         *struct{ Events, MS int64 }
	LastActivityAt string
}

type seenPage struct {
	Sessions   []seen
	NextCursor string
	Behind     *struct{ Events, MS int64 }
}

// settledSession reads a session when the view has everything.
func settledSession(t *testing.T, c *client, id string) seen {
	t.Helper()
	var got seen
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		got = call[seen](t, c, "session.get", params{"id": id})
		return got.Behind == nil, fmt.Sprintf("%+v", got)
	})
	return got
}

// A session has its instance and its tasks at every coordinator and on every transport, also after a
// flush of everything but the rows, and after a flush of everything it is gone.
func TestASessionFromRegistrationToFlush(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	both := []*client{start(t, cfg), start(t, cfg)}
	c := both[0]
	refuse := refused(t, c, api.CodeNotFound, "session.get", params{"id": "s1"})
	if refuse.Message != "Not found" {
		t.Errorf("not there: %+v", refuse)
	}
	call[object](t, c, "system.register", params{"id": "w1", "roles": []string{"worker"}, "metadata": params{"sessionId": "s1"}})
	call[object](t, c, "task.create", params{"text": "a"})
	call[object](t, c, "task.create", params{"text": "b"})
	claimed := call[struct{ Tasks []struct{ ID string } }](t, c, "task.claim", params{"workerId": "w1", "maxTasks": 2})
	call[object](t, c, "task.complete", params{"id": claimed.Tasks[0].ID, "workerId": "w1", "attempt": 1})
	for i, c := range both {
		s := settledSession(t, c, "s1")
		if s.InstanceID == nil || *s.InstanceID != "w1" || s.EndedAt != nil || s.Tasks.Claimed != 2 || s.Tasks.Completed != 1 {
			t.Errorf("coordinator %d: %+v", i, s)
		}
		page := call[seenPage](t, c, "session.list", params{"instanceId": "w1", "active": true})
		if len(page.Sessions) != 1 || page.Sessions[0].ID != "s1" || page.NextCursor != "" {
			t.Errorf("coordinator %d lists %+v", i, page)
		}
	}
	if status, answer := c.post(t, "/api/session/get", `{"id":"nobody"}`, nil); status != 404 {
		t.Errorf("by REST: %d %s", status, answer)
	}
	call[object](t, c, "system.unregister", params{"instanceId": "w1"})
	if s := settledSession(t, c, "s1"); s.EndedAt == nil {
		t.Errorf("its instance left: %+v", s)
	}
	call[object](t, c, "system.flush", params{"confirm": "FLUSH_ALL_DATA", "includePostgres": false})
	if s := settledSession(t, c, "s1"); s.Tasks.Completed != 1 {
		t.Errorf("kept by a flush: %+v", s)
	}
	call[object](t, c, "system.register", params{"id": "w1", "roles": []string{"worker"}, "metadata": params{"sessionId": "s1"}})
	if s := settledSession(t, c, "s1"); s.Tasks.Claimed != 0 || s.Events != 1 {
		t.Errorf("starts over: %+v", s)
	}
}

// Without Postgres sessions are unavailable, and commands go on. What happened meanwhile is there
// when Postgres is back.
func TestSessionsWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	server := testenv.OwnPostgres(t)
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = server.URL() })
	c := start(t, cfg)
	c.ready(t)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for method, p := range map[string]params{"session.list": {}, "session.get": {"id": "s1"}} {
		testenv.Eventually(t, 10*time.Second, func() (bool, string) {
			_, err := inTime(t, c, method, p)
			var refused *refusal
			return errors.As(err, &refused) && refused.text() == api.PostgresUnavailable, fmt.Sprint(method, ": ", err)
		})
	}
	call[object](t, c, "system.register", params{"id": "w1", "roles": []string{"worker"}, "metadata": params{"sessionId": "s1"}})
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 40*time.Second, func() (bool, string) {
		text, err := c.ask("session.get", params{"id": "s1"})
		return err == nil, fmt.Sprintf("%s, %v", text, err)
	})
}
