package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

func ids(p page) []string {
	var all []string
	for _, t := range p.Tasks {
		all = append(all, t.ID)
	}
	return all
}

// Tasks that were created before the call are in the list of every coordinator, whether it runs the
// projection or not. A list that lacks one says so.
func TestListReadsWhatWasJustCreated(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	both := []*client{start(t, cfg), start(t, cfg)}
	for _, c := range both {
		c.ready(t)
	}
	for n := range 30 {
		writer, reader := both[n%2], both[n/2%2]
		id := writer.create(t, params{"text": fmt.Sprint("task ", n)})
		got := call[page](t, reader, "task.list", params{"limit": 1})
		for got.Behind != nil { // this machine is busy
			got = call[page](t, reader, "task.list", params{"limit": 1})
		}
		if got.TotalCount != n+1 || ids(got)[0] != id {
			t.Fatalf("after %s was created the list has %d tasks, the newest %v", id, got.TotalCount, ids(got))
		}
	}
}

func TestListFiltersAndOrders(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) }))
	c.ready(t)
	for _, priority := range []int{10, 90, 50, 90, 10} {
		c.create(t, params{"text": "t", "priority": priority, "metadata": params{"big": 12345678901234567}})
	}
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{}})
	for range 2 { // the two of priority 90: t-2 and t-4
		call[object](t, c, "task.claim", params{"workerId": "w"})
	}
	call[object](t, c, "task.complete", params{"id": "t-2", "result": params{"ok": true}})
	call[object](t, c, "task.update", params{"id": "t-3", "updates": params{"text": "changed"}})

	for _, q := range []struct {
		params params
		want   []string
	}{
		{params{}, []string{"t-5", "t-4", "t-3", "t-2", "t-1"}},
		{params{"order": "asc"}, []string{"t-1", "t-2", "t-3", "t-4", "t-5"}},
		{params{"status": "pending"}, []string{"t-5", "t-3", "t-1"}},
		{params{"status": "in_progress"}, []string{"t-4"}},
		{params{"assignedTo": "w", "order": "asc"}, []string{"t-2", "t-4"}},
		{params{"assignedTo": "w", "status": "completed"}, []string{"t-2"}},
		{params{"assignedTo": "nobody"}, nil},
		{params{"priority": 10}, []string{"t-5", "t-1"}},
		{params{"orderBy": "priority"}, []string{"t-4", "t-2", "t-3", "t-5", "t-1"}},
		{params{"orderBy": "priority", "order": "asc"}, []string{"t-1", "t-5", "t-3", "t-2", "t-4"}},
		{params{"orderBy": "priority", "limit": 2, "offset": 1}, []string{"t-2", "t-3"}},
	} {
		got := call[page](t, c, "task.list", q.params)
		if diff := cmp.Diff(q.want, ids(got)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", q.params, diff)
		}
		if total := max(got.TotalCount, len(q.want)); q.params["limit"] == nil && (total != len(q.want) || got.HasMore) {
			t.Errorf("%v: totalCount %d, hasMore %t", q.params, got.TotalCount, got.HasMore)
		}
	}
	byChange := call[page](t, c, "task.list", params{"orderBy": "updatedAt", "order": "asc"})
	if !slices.IsSortedFunc(byChange.Tasks, func(a, b listedTask) int { return strings.Compare(a.UpdatedAt, b.UpdatedAt) }) {
		t.Errorf("by updatedAt: %+v", byChange.Tasks)
	}
	// Every method returns the same object, with exactly what users wrote.
	var listed struct{ Tasks []json.RawMessage }
	text, err := c.ask("task.list", params{"status": "completed"})
	if err != nil || json.Unmarshal(text, &listed) != nil || len(listed.Tasks) != 1 {
		t.Fatalf("%s, %v", text, err)
	}
	got, err := c.ask("task.get", params{"id": "t-2"})
	if err != nil || !strings.Contains(string(got), "12345678901234567") {
		t.Fatalf("%s, %v", got, err)
	}
	if diff := cmp.Diff(string(got), string(listed.Tasks[0])); diff != "" {
		t.Errorf("task.get and task.list differ (-get +list):\n%s", diff)
	}
	for _, bad := range []params{{"limit": 0}, {"limit": 1001}, {"offset": -1}, {"orderBy": "text"}, {"order": "up"}, {"status": "done"}} {
		_ = refused(t, c, api.CodeInvalidParams, "task.list", bad)
	}
}

func TestPagesNeverOverlap(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) }))
	c.ready(t)
	const n = 25
	for i := range n { // all have the same priority and status
		c.create(t, params{"text": "t", "priority": i % 2})
	}
	for _, orderBy := range api.TaskOrders {
		for _, order := range []string{"asc", "desc"} {
			var all []string
			for offset := 0; ; offset += 4 {
				got := call[page](t, c, "task.list", params{"orderBy": orderBy, "order": order, "limit": 4, "offset": offset})
				all = append(all, ids(got)...)
				if got.TotalCount != n || got.HasMore != (offset+4 < n) {
					t.Errorf("%s %s at %d: totalCount %d, hasMore %t", orderBy, order, offset, got.TotalCount, got.HasMore)
				}
				if !got.HasMore {
					break
				}
			}
			if slices.Sort(all); len(all) != n || len(slices.Compact(all)) != n {
				t.Errorf("by %s %s the pages hold %v", orderBy, order, all)
			}
		}
	}
}

// A page that would be too long is rejected with advice, and does not count as a failure of
// Postgres.
func TestAPageThatIsTooLong(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, func(cfg *config.Config) { cfg.DatabaseURL = testenv.Postgres(t) }))
	for range 17 {
		c.create(t, params{"text": "x", "metadata": params{"long": strings.Repeat("x", 1_000_000)}})
	}
	for range 6 { // one more than open the circuit
		if got := refused(t, c, api.CodeInvalidParams, "task.list", params{}).text(); !strings.HasPrefix(got, "limit parameter: ") {
			t.Errorf("refused with %s", got)
		}
	}
	if got := call[page](t, c, "task.list", params{"limit": 16}); len(got.Tasks) != 16 || got.TotalCount != 17 || !got.HasMore {
		t.Errorf("listed %d tasks of %d", len(got.Tasks), got.TotalCount)
	}
}

// A program that reads the failures since a time, page by page, gets each of them once, although tasks
// fail, come and go meanwhile. It reads over HTTP, and continues over JSON-RPC at another coordinator.
func TestListReadsPagesByCursor(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	both := []*client{start(t, cfg), start(t, cfg)}
	c := both[0]
	for _, c := range both {
		c.ready(t)
	}
	c.create(t, params{"text": "before", "metadata": params{"run": 1}})
	made := []string{}
	for i := range 9 {
		made = append(made, c.create(t, params{"text": fmt.Sprintf("Step %d", i), "metadata": params{"run": 7, "where": params{"b": 1, "a": []int{i % 3}}}}))
	}
	since := call[listedTask](t, c, "task.get", params{"id": made[0]}).CreatedAt
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{}, "metadata": params{"maxTasks": 20}})
	call[object](t, c, "task.claim", params{"workerId": "w", "maxTasks": 20})
	for i, id := range made {
		if i%3 > 0 {
			call[object](t, c, "task.complete", params{"id": id, "error": fmt.Sprintf("No space on disk %d", i%3)})
		}
	}
	read := func(c *client, p params) page {
		got := call[page](t, c, "task.list", p)
		for got.Behind != nil { // this machine is busy
			got = call[page](t, c, "task.list", p)
		}
		return got
	}
	failed := params{"statuses": []string{"failed", "cancelled"}, "error": "no SPACE", "metadata": params{"run": 7.0}, "createdAfter": since, "order": "asc"}
	with := func(more params) params {
		all := maps.Clone(failed)
		maps.Copy(all, more)
		return all
	}
	read(c, failed)
	body, err := json.Marshal(with(params{"limit": 2}))
	if err != nil {
		t.Fatal(err)
	}
	status, text := c.post(t, "/api/task/list", string(body), nil)
	var got page
	if err := json.Unmarshal([]byte(text), &got); status != http.StatusOK || err != nil {
		t.Fatalf("%d %s %v", status, text, err)
	}
	if diff := cmp.Diff([]string{made[1], made[2]}, ids(got)); diff != "" || got.TotalCount != 6 || got.NextCursor == "" {
		t.Fatalf("the first page is %s (-want +got):\n%s", text, diff)
	}
	call[object](t, c, "task.update", params{"id": made[4], "updates": params{"priority": 99}})
	call[object](t, c, "task.delete", params{"id": made[5]})
	call[object](t, c, "task.complete", params{"id": made[0], "error": "no space, but behind the cursor"})
	call[object](t, c, "task.complete", params{"id": made[6], "error": "no space either"})
	rest := []string{}
	for got.NextCursor != "" && len(rest) < 20 {
		got = read(both[1], with(params{"limit": 1, "cursor": got.NextCursor}))
		rest = append(rest, ids(got)...)
	}
	if diff := cmp.Diff([]string{made[4], made[6], made[7], made[8]}, rest); diff != "" || got.TotalCount != 6 || got.HasMore {
		t.Errorf("the rest, of %d (-want +got):\n%s", got.TotalCount, diff)
	}
	where := params{"metadata": params{"where": params{"a": []float64{0}, "b": 1.0}}, "updatedBefore": "9999-01-01T00:00:00Z"}
	if got := ids(read(c, where)); !slices.Equal(got, []string{made[6], made[3], made[0]}) {
		t.Errorf("by a nested value: %v", got)
	}
	for _, wrong := range []params{with(params{"cursor": "AQ"}), with(params{"statuses": []string{}}), {"metadata": params{}}, {"createdAfter": "yesterday"}} {
		_ = refused(t, c, api.CodeInvalidParams, "task.list", wrong)
	}
}
