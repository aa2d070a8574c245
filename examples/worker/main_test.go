package main

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/server"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var quiet = slog.New(slog.DiscardHandler)

// working starts a coordinator, and a worker whose tasks take at least so long. stop ends the worker.
func working(t *testing.T, atLeast time.Duration) (c *client.Client, stop func()) {
	t.Helper()
	s, err := server.Start(t.Context(), &config.Config{
		Listen: "127.0.0.1:0", Namespace: testenv.Namespace(t), RedisURL: testenv.Redis(t).URL(),
		InstanceTTL: 30 * time.Second, MonitorInterval: time.Second, TaskRetention: time.Hour, MaxLosses: 10,
		RateLimits: config.RateLimits{Off: true},
	}, server.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	c, err = client.New("http://"+s.Addr(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := client.NewWorker(c, client.WorkerOptions{ID: "w", Logger: quiet}).Run(ctx, count(atLeast)); err != nil {
			t.Errorf("the worker has ended: %v", err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return c, stop
}

// becomes waits until a task is as wanted.
func becomes(t *testing.T, c *client.Client, id client.TaskID, what string, wanted func(*client.Task) bool) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		got, err := c.GetTask(t.Context(), id)
		return err == nil && wanted(got), what
	})
}

func TestWorkerCountsWords(t *testing.T) {
	t.Parallel()
	c, stop := working(t, 0)
	task, err := c.CreateTask(t.Context(), client.CreateTaskParams{Text: "count these words"})
	if err != nil {
		t.Fatal(err)
	}
	becomes(t, c, task.ID, "the task is not done", func(got *client.Task) bool {
		return got.Status == "completed" && string(got.Result) == `{"words":3}`
	})
	stop()
	if state, err := c.GetState(t.Context(), client.GetStateParams{}); err != nil || len(state.Instances) != 0 {
		t.Errorf("the worker is still registered: %+v, %v", state, err)
	}
}

// The worker says how far it is, and ends a task that is called off. The grace is longer than the
// test, so only the worker can end it.
func TestWorkerIsToldThatATaskIsCalledOff(t *testing.T) {
	t.Parallel()
	c, _ := working(t, time.Hour)
	task, err := c.CreateTask(t.Context(), client.CreateTaskParams{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	becomes(t, c, task.ID, "the task has no progress", func(got *client.Task) bool {
		return got.Progress != nil && got.Progress.Percent != nil && *got.Progress.Percent > 0
	})
	if _, err := c.CancelTask(t.Context(), client.CancelTaskParams{ID: task.ID, GraceMs: new(3_600_000)}); err != nil {
		t.Fatal(err)
	}
	becomes(t, c, task.ID, "the task is not cancelled", func(got *client.Task) bool { return got.Status == "cancelled" })
}
