package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/internal/testenv"
)

// running is a worker that runs in the background.
type running struct {
	cancel context.CancelFunc
	done   chan error
}

// work runs a worker until the test ends.
func work(t *testing.T, c *client.Client, o client.WorkerOptions, handle client.Handler) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- client.NewWorker(c, o).Run(ctx, handle) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		close(r.done)
	})
	return r
}

// end ends the worker and returns what Run returned.
func (r *running) end() error {
	r.cancel()
	err := <-r.done
	r.done <- err // for the cleanup
	return err
}

// status waits until a task has a status, and returns the task.
func status(t *testing.T, c *client.Client, id client.TaskID, want string) *client.Task {
	t.Helper()
	var task *client.Task
	testenv.Eventually(t, patience, func() (bool, string) {
		var err error
		task, err = c.GetTask(t.Context(), id)
		return err == nil && task.Status == want, fmt.Sprintf("%s is %+v (%v), want %s", id, task, err, want)
	})
	return task
}

func TestWorkerReportsWhatItsHandlerReturns(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	work(t, c, client.WorkerOptions{ID: "w", Concurrency: 3}, func(_ context.Context, task *client.Task) (any, error) {
		switch task.Text {
		case "text":
			return nil, errors.New("no \x00 way")
		case "data":
			return nil, fmt.Errorf("wrapped: %w", &client.Failure{Data: map[string]int{"exit": 3}})
		case "panic":
			panic("oh")
		case "long":
			return strings.Repeat("x", 2<<20), nil
		case "unencodable":
			return func() {}, nil
		}
		return map[string]int{"words": len(strings.Fields(task.Text))}, nil
	})
	for text, want := range map[string]struct{ status, result, failure string }{
		"two words":   {"completed", `{"words":2}`, "null"},
		"text":        {"failed", "null", "\"no \uFFFD way\""},
		"data":        {"failed", "null", `{"exit":3}`},
		"panic":       {"failed", "null", `"panic: oh"`},
		"long":        {"failed", "null", "rejected"},
		"unencodable": {"failed", "null", "encode"},
	} {
		task := status(t, c, create(t, c, text).ID, want.status)
		if string(task.Result) != want.result || !strings.Contains(string(task.Error), want.failure) {
			t.Errorf("%s: result %s, error %s; want %+v", text, task.Result, task.Error, want)
		}
	}
}

// A handler may give its task back.
func TestWorkerGivesATaskBack(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	var tries atomic.Int64
	work(t, c, client.WorkerOptions{ID: "w"}, func(context.Context, *client.Task) (any, error) {
		if tries.Add(1) == 1 {
			return nil, fmt.Errorf("not now: %w", client.ErrGiveBack)
		}
		return 1, nil
	})
	if task := status(t, c, create(t, c, "x").ID, "completed"); task.Attempt != 2 {
		t.Errorf("the task took %d attempts", task.Attempt)
	}
}

func TestWorkerEndsWhenTheQueueIsEmptyOrTheLimitReached(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	first := create(t, c, "0")
	for range 5 {
		create(t, c, "x")
	}
	var done atomic.Int64
	// The first task makes another one, which must be done too.
	handle := func(ctx context.Context, task *client.Task) (any, error) {
		done.Add(1)
		if task.ID == first.ID {
			_, err := c.CreateTask(ctx, client.CreateTaskParams{Text: "made by a task"})
			return nil, err
		}
		return nil, nil
	}
	if err := client.NewWorker(c, client.WorkerOptions{Limit: 2, Concurrency: 2}).Run(t.Context(), handle); err != nil || done.Load() != 2 {
		t.Fatalf("%d tasks done with a limit of 2, %v", done.Load(), err)
	}
	if err := client.NewWorker(c, client.WorkerOptions{UntilEmpty: true, Concurrency: 2}).Run(t.Context(), handle); err != nil || done.Load() != 7 {
		t.Fatalf("%d of 7 tasks done, %v", done.Load(), err)
	}
}

func TestWorkerRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	none := func(context.Context, *client.Task) (any, error) { return nil, nil }
	for want, o := range map[string]client.WorkerOptions{
		"concurrency": {Concurrency: 1000}, "TTL": {TTL: 1}, "wait": {Wait: patience * 100}, "limit": {Limit: -1}, "roles": {Roles: []string{""}},
	} {
		if err := client.NewWorker(c, o).Run(t.Context(), none); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if err := client.NewWorker(dial(t, "http://"+unused(t)), client.WorkerOptions{}).Run(t.Context(), none); !client.IsUnavailable(err) {
		t.Errorf("without a coordinator: %v", err)
	}
}
