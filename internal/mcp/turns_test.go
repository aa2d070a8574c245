package mcp

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
)

// However many calls a batch has, only a few run at once. A call that has not begun when its caller
// hangs up never runs.
func TestCallsOfABatchTakeTurns(t *testing.T) {
	t.Parallel()
	x := newExchange(api.Request{}, answers.NewBudget().Exchange(copies))
	began, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	for range maxAtOnce {
		go func() {
			_, _ = x.run(context.Background(), func(context.Context) (json.RawMessage, *api.Error) {
				began <- struct{}{}
				<-end
				return nil, nil
			})
			ended <- struct{}{}
		}()
	}
	for range maxAtOnce {
		<-began
	}
	ran := false
	run := func(context.Context) (json.RawMessage, *api.Error) { ran = true; return nil, nil }
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	if _, failed := x.run(gone, run); ran || failed == nil {
		t.Error("one more ran at once")
	}
	close(end)
	for range maxAtOnce {
		<-ended
	}
	if _, failed := x.run(t.Context(), run); !ran || failed != nil {
		t.Errorf("nobody's turn comes any more: %v", failed)
	}
}
