package task_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestList(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		v := &fleettest.View{Total: 7}
		f.With(func(o *commands.Options) { o.Tasks = v })
		if got := string(f.OK("task.list", `{}`)); got != `{"tasks":[],"totalCount":7,"hasMore":true}` {
			t.Errorf("answered %s", got)
		}
		f.Create("x", "")
		for range 2 {
			v.Tasks = append(v.Tasks, f.OK("task.create", `{"text":"x"}`))
		}
		f.OK("task.list", `{"status":"failed","assignedTo":"w","priority":0,"role":"go","text":"%%_\\'é","limit":5,"offset":5,"orderBy":"priority","order":"asc"}`)
		if got := fleettest.Decoded[api.ListTasksResult](t, dropTasks(t, f.OK("task.list", `{"offset":5}`))); got.HasMore || got.TotalCount != 7 {
			t.Errorf("the last page: %+v", got)
		}
		if fmt.Sprint(v.Waited) != "[0 3 3]" { // the seq of the last event before each call
			t.Errorf("waited for %v", v.Waited)
		}
		if _, err := f.Call(t.Context(), api.Request{Method: "task.list", Params: []byte("{}"), MCP: true}); err != nil {
			t.Fatal(err)
		}
		zero := 0
		for i, want := range []api.TaskQuery{
			{Limit: 100, OrderBy: "createdAt", Descending: true},
			{
				TaskFilter: api.TaskFilter{Statuses: []string{"failed"}, AssignedTo: "w", Priority: &zero, Role: "go", Text: "%_\\'é"},
				Limit:      5, Offset: 5, OrderBy: "priority",
			},
			{Limit: 100, Offset: 5, OrderBy: "createdAt", Descending: true},
			{Limit: 20, OrderBy: "createdAt", Descending: true},
		} {
			got, _ := json.Marshal(v.Asked[i])
			if should, _ := json.Marshal(want); string(got) != string(should) {
				t.Errorf("asked for %s, want %s", got, should)
			}
		}
	})
}

// The result contains how far its page is behind the log, because a view may be rebuilt during the
// call.
func TestListTellsHowFarItsPageIsBehind(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		v := &fleettest.View{}
		f.With(func(o *commands.Options) { o.Tasks = v })
		f.Create("x", "")
		var at []events.ID
		v.At = func() (next events.ID) {
			next, at = at[0], at[1:]
			return next
		}
		covers := events.ID{MS: math.MaxInt64, Seq: math.MaxInt64}
		at = []events.ID{{}, covers}
		if got := string(f.OK("task.list", `{}`)); got != `{"tasks":[],"totalCount":0,"hasMore":false}` || len(at) != 0 {
			t.Errorf("the second page has everything: %s", got)
		}
		for name, stays := range map[string]events.ID{
			"behind":                               {},
			"of a log that has lost its end since": {MS: 1, Seq: 9},
		} {
			v.At = func() events.ID { return stays }
			got := fleettest.Decoded[api.ListTasksResult](t, f.OK("task.list", `{}`))
			if got.Behind == nil || got.Behind.Events != 1 {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
}

// dropTasks removes the tasks from the result of task.list.
func dropTasks(t *testing.T, result json.RawMessage) json.RawMessage {
	t.Helper()
	m := fleettest.Decoded[map[string]any](t, result)
	delete(m, "tasks")
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A search that takes too long is the caller's error: it opens no circuit breaker, and tells what to
// do.
func TestASearchThatTakesTooLong(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		v := &fleettest.View{Err: fmt.Errorf("list: %w: %w", taskview.ErrUnavailable, context.DeadlineExceeded), OnList: func(ctx context.Context) { <-ctx.Done() }}
		f.With(func(o *commands.Options) { o.Tasks = v })
		f.Method("task.list").Timeout = time.Second
		for range 2 {
			for param, params := range map[string]string{
				"role": `{"role":"go"}`, "text": `{"text":"x","role":"go","error":"x"}`, "error": `{"error":"x","metadata":{"a":1}}`, "metadata": `{"metadata":{"a":1},"role":"go"}`,
			} {
				_, err := f.Do("task.list", params)
				if known := (*api.Error)(nil); !errors.As(err, &known) || known.Code != api.CodeInvalidParams || !strings.Contains(err.Error(), param+" parameter: the search took longer than 800ms") {
					t.Fatalf("%s: %v", params, err)
				}
			}
		}
		v.OnList, v.Err = nil, nil
		f.OK("task.list", `{"text":"x"}`)
	})
}

func TestListWithoutPostgres(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		unavailable := `"` + api.PostgresUnavailable + `"`
		f.Refused(api.CodeInternal, unavailable, "task.list", `{}`)
		v := &fleettest.View{}
		f.With(func(o *commands.Options) { o.Tasks = v })
		v.Err = fmt.Errorf("list: %w", taskview.ErrUnavailable)
		f.Refused(api.CodeInternal, unavailable, "task.list", `{}`)
		v.Err, v.Wait = nil, taskview.ErrUnavailable
		f.Refused(api.CodeInternal, unavailable, "task.list", `{}`)
		v.Wait, v.Err = nil, errors.New("a fault")
		f.Refused(api.CodeInternal, "null", "task.list", `{}`)
	})
}

// The lists of one caller delay only that caller. Other callers get their lists, a list that waits
// too long is rejected, and no circuit opens.
func TestListsOfACallerShareItsPart(t *testing.T) {
	t.Parallel()
	var under, most atomic.Int64
	release := make(chan struct{})
	v := &fleettest.View{OnList: func(ctx context.Context) {
		if ctx.Value(greedy{}) == nil {
			return
		}
		most.Store(max(most.Load(), under.Add(1)))
		defer under.Add(-1)
		<-release
	}}
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{Tasks: v, RateLimits: map[string]int{"task.list": 0}})
	list := func(ctx context.Context, addr string) error {
		_, err := f.Call(ctx, api.Request{Method: "task.list", Params: json.RawMessage(`{}`), Addr: addr})
		return err
	}
	const calls = 2 * 256
	errs := make(chan error, calls)
	for range calls {
		go func() { errs <- list(context.WithValue(t.Context(), greedy{}, true), "192.0.2.1") }()
	}
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return under.Load() == 2, fmt.Sprint(under.Load()) })
	if err := list(t.Context(), "192.0.2.2"); err != nil {
		t.Errorf("another caller: %v", err)
	}
	for range calls - 2 {
		var refused *api.Error
		if err := <-errs; !errors.As(err, &refused) || refused.Code != api.CodeRateLimited || !strings.Contains(refused.Error(), "TOO_MANY_AT_ONCE") {
			t.Fatalf("a call too many: %v", err)
		}
	}
	close(release)
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d lists of one caller at once", most.Load())
	}
	if err := list(t.Context(), "192.0.2.1"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

type greedy struct{}
