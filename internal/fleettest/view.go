package fleettest

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/taskview"
)

// View is a taskview.View and a taskview.EventIndex that records its calls and returns what the test sets.
type View struct {
	mu     sync.Mutex // guards what calls record, because lists run concurrently
	Waited []int64    // seqs
	Asked  []api.TaskQuery
	Tasks  []json.RawMessage
	Total  int
	Next   int64
	Wait   error

	AskedSessions []api.SessionQuery
	SessionList   []api.Session
	NextSession   int64
	SessionByID   map[string]*api.SessionDetails
	AskedEvents   []api.EventQuery
	EventList     []json.RawMessage
	NextEvent     int64
	// At returns the checkpoint of each page; nil is one that has everything.
	At func() events.ID
	// OnList is called by each List.
	OnList func(context.Context)
	Err    error
	OnPing func(context.Context) error
}

// WaitFor records the seq to wait for.
func (v *View) WaitFor(_ context.Context, event events.ID, atMost time.Duration) error {
	v.mu.Lock()
	v.Waited = append(v.Waited, event.Seq)
	v.mu.Unlock()
	if atMost > 500*time.Millisecond {
		return errors.New("it waits for longer than half a second")
	}
	return v.Wait
}

// List returns what the test sets.
func (v *View) List(ctx context.Context, q api.TaskQuery) (taskview.Page, error) {
	page := taskview.Page{Tasks: v.Tasks, Total: v.Total, Next: v.Next, At: v.at()}
	if v.OnList != nil {
		v.OnList(ctx)
		return page, v.Err
	}
	v.mu.Lock()
	v.Asked = append(v.Asked, q)
	v.mu.Unlock()
	return page, v.Err
}

// Matching records the query and returns the IDs of the tasks that the test sets.
func (v *View) Matching(_ context.Context, f api.TaskFilter, after int64, limit int) (taskview.Matches, error) {
	v.mu.Lock()
	v.Asked = append(v.Asked, api.TaskQuery{TaskFilter: f, Cursor: after, Limit: limit})
	v.mu.Unlock()
	found := taskview.Matches{IDs: []string{}, At: v.at()}
	for _, raw := range v.Tasks {
		var t struct{ ID string }
		if err := json.Unmarshal(raw, &t); err != nil {
			return found, err
		}
		num, _ := strconv.ParseInt(strings.TrimPrefix(t.ID, "t-"), 10, 64)
		if num > after && len(found.IDs) < limit {
			found.IDs, found.Last = append(found.IDs, t.ID), num
		}
	}
	return found, v.Err
}

// Sessions records the query and returns what the test sets.
func (v *View) Sessions(_ context.Context, q api.SessionQuery) (taskview.SessionPage, error) {
	v.mu.Lock()
	v.AskedSessions = append(v.AskedSessions, q)
	v.mu.Unlock()
	return taskview.SessionPage{Sessions: v.SessionList, Next: v.NextSession, At: v.at()}, v.Err
}

// Session returns what the test sets.
func (v *View) Session(_ context.Context, id string) (*api.SessionDetails, events.ID, error) {
	return v.SessionByID[id], v.at(), v.Err
}

// Events records the query and returns what the test sets. It makes a View a taskview.EventIndex too.
func (v *View) Events(_ context.Context, q api.EventQuery) (taskview.EventPage, error) {
	v.mu.Lock()
	v.AskedEvents = append(v.AskedEvents, q)
	v.mu.Unlock()
	return taskview.EventPage{Events: v.EventList, Next: v.NextEvent, At: v.at()}, v.Err
}

func (v *View) at() events.ID {
	if v.At != nil {
		return v.At()
	}
	return events.ID{MS: math.MaxInt64, Seq: math.MaxInt64}
}

// Checkpoint returns what the test sets.
func (v *View) Checkpoint(ctx context.Context) (string, error) {
	switch {
	case v.OnPing != nil:
		return "", v.OnPing(ctx)
	case v.At != nil:
		return v.At().String(), nil
	}
	return "", nil
}

// SomeSession returns a session with everything that one may have.
func SomeSession(id string) *api.SessionDetails {
	source, instance, ended, ms := "claude-code", "w", "2026-01-02T03:04:07.678Z", int64(7)
	return &api.SessionDetails{
		Session: api.Session{
			ID: id, Source: &source, InstanceID: &instance, StartedAt: "2026-01-02T03:04:05.678Z", LastActivityAt: ended, EndedAt: &ended,
			Events: 9, Prompts: 1,
		},
		Decisions: api.SessionDecisions{Allow: 1, Ask: 2, Deny: 3},
		Tools:     []api.SessionTool{{Name: "Bash", Requested: 3, Finished: 2, Failed: 1, Denied: 1, TotalMS: 12, MaxMS: 10}},
		Todos:     []api.Value{api.Value(`{"id":"1","text":"<é>","status":"pending"}`)},
		Tasks: api.SessionTasks{Claimed: 2, Completed: 1, Recent: []api.SessionTask{
			{ID: "t-2", Status: "in_progress", Attempt: 1, ClaimedAt: ended},
			{ID: "t-1", Status: "completed", Attempt: 2, ClaimedAt: ended, CompletedAt: &ended, DurationMS: &ms},
		}},
	}
}
