package server

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// bearer adds a token to all requests.
type bearer struct {
	secret string
	next   http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	bearing(b.secret)(r)
	return b.next.RoundTrip(r)
}

// as returns a client of the same coordinator that has a token.
func (c *client) as(secret string) *client {
	with := *c.http
	with.Transport = bearer{secret, with.Transport}
	return &client{url: c.url, http: &with}
}

// matching calls a method with a filter and checks how many tasks it found and changed.
func matching(t *testing.T, c *client, method string, p params, matched, done int) {
	t.Helper()
	got := call[api.MatchingResult](t, c, method, p)
	if got.Matched != matched || got.Done != done || got.Incomplete {
		t.Errorf("%s %v: %+v, want %d and %d", method, p, got, matched, done)
	}
}

// migrated waits until the database has the views.
func migrated(t *testing.T, c *client) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		text, err := c.ask("task.list", params{"limit": 1})
		return err == nil, fmt.Sprintf("%s, %v", text, err)
	})
}

// The methods that change all tasks of a filter go on where the last call stopped, and change nothing
// twice.
func TestMatchingInSteps(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	c := start(t, cfg)
	c.ready(t)
	migrated(t, c)
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}, "metadata": params{"maxTasks": 0}})
	const tasks = 1200
	for i := 0; i < tasks; i += 100 {
		var items []params
		for k := range 100 {
			items = append(items, params{"text": fmt.Sprintf("batch %d", i+k), "priority": 10, "metadata": params{"half": k%2 == 0}})
		}
		call[object](t, c, "task.create_many", params{"tasks": items})
	}
	other := c.create(t, params{"text": "another", "priority": 90})
	call[object](t, c, "task.claim", params{"workerId": "w"}) // it is not pending
	batch := params{"text": "BATCH"}
	matching(t, c, "task.cancel_many", params{"filter": params{"text": "another", "statuses": []string{"pending", "blocked"}}}, 0, 0)
	matching(t, c, "task.cancel_many", params{"filter": batch, "limit": 700, "reason": "over"}, 700, 700)
	matching(t, c, "task.cancel_many", params{"filter": batch}, 500, 500)
	matching(t, c, "task.cancel_many", params{"filter": batch}, 0, 0)
	matching(t, c, "task.retry_many", params{"filter": params{"text": "batch", "metadata": params{"half": true}}}, 600, 600)
	matching(t, c, "task.retry_many", params{"filter": params{"status": "failed"}}, 0, 0)
	if got := call[page](t, c, "task.list", params{"status": "pending", "limit": 1}).TotalCount; got != 600 {
		t.Errorf("%d tasks are pending", got)
	}
	matching(t, c, "task.delete_many", params{"filter": params{"text": "batch", "statuses": []string{"cancelled"}}, "limit": 1}, 1, 1)
	matching(t, c, "task.delete_many", params{"filter": batch}, tasks-1, tasks-1)
	matching(t, c, "task.delete_many", params{"filter": batch}, 0, 0)
	if got := call[page](t, c, "task.list", params{}); got.TotalCount != 1 || got.Tasks[0].ID != other {
		t.Errorf("there are %+v", got)
	}
	for method, filter := range map[string]params{
		"task.cancel_many": {"status": "completed"}, "task.retry_many": {"statuses": []string{"pending", "completed"}}, "task.delete_many": {},
	} {
		_ = refused(t, c, api.CodeInvalidParams, method, params{"filter": filter})
	}
	_ = refused(t, c, api.CodeInvalidParams, "task.delete_many", params{"filter": batch, "limit": 10_001})
	verified(t, cfg)
}

// A task that was called off, and whose worker has not ended it, does not match again. One that was
// revived does.
func TestMatchingPassesOverWhatWasCalledOff(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	c := start(t, cfg)
	c.ready(t)
	migrated(t, c)
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}, "metadata": params{"maxTasks": 0}})
	for range 5 {
		c.create(t, params{"text": "x"})
	}
	tasks := call[api.ClaimTaskResult](t, c, "task.claim", params{"workerId": "w", "maxTasks": 5}).Tasks
	mine := params{"filter": params{"assignedTo": "w"}, "limit": 2, "graceMs": 86_400_000}
	for _, left := range []int{2, 2, 1, 0} {
		matching(t, c, "task.cancel_many", mine, left, left)
	}
	call[object](t, c, "task.complete", params{"id": tasks[0].ID, "cancelled": true})
	matching(t, c, "task.retry_many", params{"filter": params{"status": "cancelled"}}, 1, 1)
	matching(t, c, "task.cancel_many", params{"filter": params{"text": "x"}}, 1, 1)
	verified(t, cfg)
}

// An agent changes only its own tasks, whatever its filter matches.
func TestMatchingOfAnAgent(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	secrets := map[string]string{}
	for name, role := range map[string]string{"alice": api.RoleAgent, "bob": api.RoleAgent, "operator": api.RoleOperator} {
		entry, secret, err := auth.NewEntry(api.Token{Name: name, Roles: []string{role}})
		if err != nil {
			t.Fatal(err)
		}
		file.WriteString(entry)
		secrets[name] = secret
	}
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := settings(t, func(c *config.Config) { c.AuthFile, c.DatabaseURL = path, testenv.Postgres(t) })
	c := start(t, cfg)
	c.ready(t)
	alice, bob, operator := c.as(secrets["alice"]), c.as(secrets["bob"]), c.as(secrets["operator"])
	migrated(t, operator)
	for range 5 {
		alice.create(t, params{"text": "x"})
		bob.create(t, params{"text": "x"})
	}
	all := params{"filter": params{"text": "x"}}
	matching(t, alice, "task.cancel_many", all, 10, 5)
	matching(t, alice, "task.retry_many", all, 5, 5)
	matching(t, alice, "task.cancel_many", all, 10, 5)
	matching(t, bob, "task.retry_many", all, 5, 0)
	matching(t, bob, "task.delete_many", all, 10, 5)
	if got := call[page](t, operator, "task.list", params{"status": "cancelled"}); got.TotalCount != 5 {
		t.Errorf("%d tasks are left", got.TotalCount)
	}
	matching(t, operator, "task.delete_many", all, 5, 5)
}
