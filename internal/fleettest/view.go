package fleettest

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/taskview"
)

// View is a TaskView that records its calls and returns what the test sets.
type View struct {
	mu     sync.Mutex // guards Waited and Asked, because lists run concurrently
	Waited []int64    // seqs
	Asked  []api.TaskQuery
	Tasks  []json.RawMessage
	Total  int
	Wait   error
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
	page := taskview.Page{Tasks: v.Tasks, Total: v.Total, At: events.ID{MS: math.MaxInt64, Seq: math.MaxInt64}}
	if v.At != nil {
		page.At = v.At()
	}
	if v.OnList != nil {
		v.OnList(ctx)
		return page, v.Err
	}
	v.mu.Lock()
	v.Asked = append(v.Asked, q)
	v.mu.Unlock()
	return page, v.Err
}

// Checkpoint returns what the test sets.
func (v *View) Checkpoint(ctx context.Context) (string, error) {
	if v.OnPing == nil {
		return "", nil
	}
	return "", v.OnPing(ctx)
}
