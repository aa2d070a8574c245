package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/client"
)

// createWith creates a task with options.
func createWith(t *testing.T, c *client.Client, p client.CreateTaskParams) *client.Task {
	t.Helper()
	task, err := c.CreateTask(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// What a handler says about its task is in the task, and keeps its time limit away.
func TestProgress(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	finish := make(chan struct{})
	work(t, c, client.WorkerOptions{ID: "w"}, func(ctx context.Context, _ *client.Task) (any, error) {
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		if err := client.Progress(inner, client.ProgressParams{Percent: new(101.0)}); !client.IsInvalidParams(err) {
			return nil, fmt.Errorf("101 %%: %w", err)
		}
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for {
			err := client.Progress(inner, client.ProgressParams{Percent: new(12.5), Message: new("half"), Data: client.Value(`{"a":1.50}`)})
			if err != nil {
				return nil, err
			}
			select {
			case <-again.C:
			case <-finish:
				return 1, nil
			}
		}
	})
	began := time.Now()
	task := createWith(t, c, client.CreateTaskParams{Text: "x", TimeoutMs: new(1000)})
	for time.Since(began) < 2*time.Second {
		task = status(t, c, task.ID, "in_progress")
	}
	if p := task.Progress; p == nil || *p.Percent != 12.5 || *p.Message != "half" || string(p.Data) != `{"a":1.50}` {
		t.Errorf("the progress is %+v", p)
	}
	close(finish)
	if task = status(t, c, task.ID, "completed"); task.Attempt != 1 || task.Failures != 0 {
		t.Errorf("the task took %d attempts, and failed %d times", task.Attempt, task.Failures)
	}
	if err := client.Progress(t.Context(), client.ProgressParams{}); err == nil || !strings.Contains(err.Error(), "Client.Progress") {
		t.Errorf("outside of a handler: %v", err)
	}
}

// An outage of the coordinator does not fail the work of a handler that reports progress.
func TestProgressWithoutACoordinator(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	first := start(t, cfg)
	cfg.Listen = first.Addr()
	c := dial(t, first.url, client.WithRetry(patience))
	begun, stopped := make(chan struct{}), make(chan struct{})
	w := work(t, dial(t, first.url), client.WorkerOptions{ID: "w"}, func(ctx context.Context, _ *client.Task) (any, error) {
		close(begun)
		<-stopped
		return 1, client.Progress(ctx, client.ProgressParams{})
	})
	task := create(t, c, "x")
	within(t, begun, "the handler's begin")
	first.stop()
	close(stopped)
	start(t, cfg)
	if task = status(t, c, task.ID, "completed"); task.Attempt != 1 {
		t.Errorf("the task took %d attempts", task.Attempt)
	}
	if err := w.end(); err != nil {
		t.Error(err)
	}
}

// A task that is called off ends the context of its handler. What the handler then returns decides
// whether the task is cancelled or completed.
func TestACancelledTask(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	for name, tc := range map[string]struct {
		result any
		err    error
		want   string
	}{
		"error":        {nil, errors.New("interrupted"), "cancelled"},
		"no result":    {nil, nil, "cancelled"},
		"given back":   {nil, client.ErrGiveBack, "cancelled"},
		"all the same": {1, nil, "completed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun, ended := make(chan struct{}), make(chan error, 1)
			task := createWith(t, c, client.CreateTaskParams{
				Text: "x", Metadata: client.Object(fmt.Sprintf(`{"roles":[%q]}`, name)), Retry: &client.Retry{MaxAttempts: new(5)},
			})
			work(t, c, client.WorkerOptions{Roles: []string{name}, TTL: shortTTL}, func(ctx context.Context, _ *client.Task) (any, error) {
				close(begun)
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return tc.result, tc.err
			})
			within(t, begun, "the handler's begin")
			if got, err := c.CancelTask(t.Context(), client.CancelTaskParams{ID: task.ID, Reason: new("why not")}); err != nil || !got.CancelRequested {
				t.Fatalf("%+v, %v", got, err)
			}
			if why := within(t, ended, "the end of the handler's context"); !errors.Is(why, client.ErrCancelled) {
				t.Errorf("the context ended because of %v", why)
			}
			got := status(t, c, task.ID, tc.want)
			if got.Attempt != 1 || got.Failures != 0 || got.Cancellation == nil || *got.Cancellation.Reason != "why not" {
				t.Errorf("the task is %+v", got)
			}
		})
	}
}

// A handler that reports progress learns by its answer, before the next heartbeat, that its task was
// called off or lost.
func TestProgressEndsTheHandler(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	for name, tc := range map[string]struct {
		end  func(context.Context, *client.Task) error
		want error
	}{
		"cancelled": {func(ctx context.Context, task *client.Task) error {
			_, err := c.CancelTask(ctx, client.CancelTaskParams{ID: task.ID})
			return err
		}, client.ErrCancelled},
		"deleted": {func(ctx context.Context, task *client.Task) error {
			_, err := c.DeleteTask(ctx, task.ID)
			return err
		}, client.ErrLeaseLost},
		"unassigned": {func(ctx context.Context, task *client.Task) error {
			_, err := c.UnassignTask(ctx, task.ID)
			return err
		}, client.ErrLeaseLost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			createWith(t, c, client.CreateTaskParams{Text: "x", Metadata: client.Object(fmt.Sprintf(`{"roles":[%q]}`, name))})
			// It sends no heartbeat in the time of the test.
			work(t, c, client.WorkerOptions{Roles: []string{name}, Limit: 1}, func(ctx context.Context, task *client.Task) (any, error) {
				if err := tc.end(ctx, task); err != nil {
					return nil, err
				}
				began := time.Now()
				err := client.Progress(ctx, client.ProgressParams{})
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("progress took %s", took)
				}
				if why := context.Cause(ctx); !errors.Is(why, tc.want) {
					t.Errorf("the context ended because of %v", why)
				}
				ended <- err
				return nil, err
			})
			if err := within(t, ended, "the handler"); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

// What a handler returns after the grace of its cancellation is refused.
func TestAGraceThatIsOver(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	begun, finish, out := make(chan struct{}), make(chan struct{}), make(chan struct{})
	w := work(t, c, client.WorkerOptions{ID: "w"}, func(context.Context, *client.Task) (any, error) {
		close(begun)
		<-finish
		defer close(out)
		return "too late", nil
	})
	task := create(t, c, "x")
	within(t, begun, "the handler's begin")
	if _, err := c.CancelTask(t.Context(), client.CancelTaskParams{ID: task.ID, GraceMs: new(1)}); err != nil {
		t.Fatal(err)
	}
	status(t, c, task.ID, "cancelled")
	close(finish)
	<-out
	if err := w.end(); err != nil {
		t.Error(err)
	}
	if got := status(t, c, task.ID, "cancelled"); string(got.Result) != "null" {
		t.Errorf("the result is %s", got.Result)
	}
}

// A failed task is tried again as its retry policy says, unless the failure is final.
func TestAnotherTry(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	var tries atomic.Int64
	work(t, c, client.WorkerOptions{ID: "w"}, func(_ context.Context, task *client.Task) (any, error) {
		if task.Text == "final" {
			return nil, fmt.Errorf("wrapped: %w", &client.Failure{Data: "no such page", Final: true})
		}
		if tries.Add(1) < 3 {
			return nil, &client.Failure{Data: "not yet"}
		}
		return 1, nil
	})
	retry := &client.Retry{MaxAttempts: new(5), BackoffMs: new(1)}
	final := createWith(t, c, client.CreateTaskParams{Text: "final", Retry: retry})
	again := createWith(t, c, client.CreateTaskParams{Text: "again", Retry: retry})
	if got := status(t, c, final.ID, "failed"); got.Attempt != 1 || got.Failures != 1 || string(got.Error) != `"no such page"` {
		t.Errorf("the final failure: %+v", got)
	}
	got := status(t, c, again.ID, "completed")
	if got.Attempt != 3 || got.Failures != 2 || len(got.Errors) != 2 || string(got.Errors[0].Error) != `"not yet"` {
		t.Errorf("the other failure: %+v", got)
	}
}
