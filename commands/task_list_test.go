package commands

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
)

func TestList(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		v := &view{total: 7}
		f.with(func(o *Options) { o.Tasks = v })
		if got := string(f.ok("task.list", `{}`)); got != `{"tasks":[],"totalCount":7,"hasMore":true}` {
			t.Errorf("answered %s", got)
		}
		f.create("x", "")
		for range 2 {
			v.tasks = append(v.tasks, f.ok("task.create", `{"text":"x"}`))
		}
		f.ok("task.list", `{"status":"failed","assignedTo":"w","priority":0,"limit":5,"offset":5,"orderBy":"priority","order":"asc"}`)
		if got := decoded[ListTasksResult](t, dropTasks(t, f.ok("task.list", `{"offset":5}`))); got.HasMore || got.TotalCount != 7 {
			t.Errorf("the last page: %+v", got)
		}
		if fmt.Sprint(v.waited) != "[0 3 3]" { // what was committed before the call
			t.Errorf("waited for %v", v.waited)
		}
		zero := 0
		for i, want := range []TaskQuery{
			{Limit: 100, OrderBy: "createdAt", Order: "desc"},
			{Status: "failed", AssignedTo: "w", Priority: &zero, Limit: 5, Offset: 5, OrderBy: "priority", Order: "asc"},
		} {
			got, _ := json.Marshal(v.asked[i])
			if should, _ := json.Marshal(want); string(got) != string(should) {
				t.Errorf("asked for %s, want %s", got, should)
			}
		}
	})
}

// dropTasks leaves the tasks out of a list.
func dropTasks(t *testing.T, result json.RawMessage) json.RawMessage {
	t.Helper()
	m := decoded[map[string]any](t, result)
	delete(m, "tasks")
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestListWithoutPostgres(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		unavailable := `"` + api.PostgresUnavailable + `"`
		f.refused(api.CodeInternal, unavailable, "task.list", `{}`)
		v := &view{}
		f.with(func(o *Options) { o.Tasks = v })
		v.err = fmt.Errorf("list: %w", ErrViewUnavailable)
		f.refused(api.CodeInternal, unavailable, "task.list", `{}`)
		v.err, v.wait = nil, ErrViewUnavailable
		f.refused(api.CodeInternal, unavailable, "task.list", `{}`)
		v.wait, v.err = nil, errors.New("a fault")
		f.refused(api.CodeInternal, "null", "task.list", `{}`)
	})
}
