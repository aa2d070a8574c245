package fleettest

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/claudebench/claudebench/internal/api"
)

// View is a TaskView that records its calls and returns what the test sets.
type View struct {
	mu     sync.Mutex // guards Waited and Asked, because lists run concurrently
	Waited []int64
	Asked  []api.TaskQuery
	Tasks  []json.RawMessage
	Total  int
	Wait   error
	// BehindAt is the checkpoint of a view that is behind.
	BehindAt string
	// OnList is called by each List.
	OnList func(context.Context)
	Err    error
	OnPing func(context.Context) error
}

// WaitFor records the seq to wait for.
func (v *View) WaitFor(_ context.Context, seq int64, atMost time.Duration) (string, error) {
	v.mu.Lock()
	v.Waited = append(v.Waited, seq)
	v.mu.Unlock()
	if atMost != 500*time.Millisecond {
		return "", errors.New("it may wait another time")
	}
	return v.BehindAt, v.Wait
}

// List returns what the test sets.
func (v *View) List(ctx context.Context, q api.TaskQuery) ([]json.RawMessage, int, error) {
	if v.OnList != nil {
		v.OnList(ctx)
		return v.Tasks, v.Total, v.Err
	}
	v.mu.Lock()
	v.Asked = append(v.Asked, q)
	v.mu.Unlock()
	return v.Tasks, v.Total, v.Err
}

// Checkpoint returns what the test sets.
func (v *View) Checkpoint(ctx context.Context) (string, error) {
	if v.OnPing == nil {
		return v.BehindAt, nil
	}
	return "", v.OnPing(ctx)
}
