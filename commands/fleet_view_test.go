package commands

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// view is a TaskView that notes what it is asked, and answers what the test says.
type view struct {
	waited []int64
	asked  []TaskQuery
	tasks  []json.RawMessage
	total  int
	wait   error
	err    error
	ping   func(context.Context) error
}

func (v *view) WaitFor(_ context.Context, seq int64, atMost time.Duration) error {
	v.waited = append(v.waited, seq)
	if atMost != viewPatience {
		return errors.New("it may wait another time")
	}
	return v.wait
}

func (v *view) List(_ context.Context, q TaskQuery) ([]json.RawMessage, int, error) {
	v.asked = append(v.asked, q)
	return v.tasks, v.total, v.err
}

func (v *view) Ping(ctx context.Context) error {
	if v.ping == nil {
		return nil
	}
	return v.ping(ctx)
}
