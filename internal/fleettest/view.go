package fleettest

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/claudebench/claudebench/internal/taskview"
)

// View is a TaskView that notes what it is asked, and answers what the test says.
type View struct {
	Waited []int64
	Asked  []taskview.Query
	Tasks  []json.RawMessage
	Total  int
	Wait   error
	Err    error
	OnPing func(context.Context) error
}

// WaitFor notes what is waited for.
func (v *View) WaitFor(_ context.Context, seq int64, atMost time.Duration) error {
	v.Waited = append(v.Waited, seq)
	if atMost != 500*time.Millisecond {
		return errors.New("it may wait another time")
	}
	return v.Wait
}

// List answers what the test says.
func (v *View) List(_ context.Context, q taskview.Query) ([]json.RawMessage, int, error) {
	v.Asked = append(v.Asked, q)
	return v.Tasks, v.Total, v.Err
}

// Ping answers what the test says.
func (v *View) Ping(ctx context.Context) error {
	if v.OnPing == nil {
		return nil
	}
	return v.OnPing(ctx)
}
