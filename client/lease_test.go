package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// shortTTL makes a worker look at its tasks often.
const shortTTL = 5 * time.Second

// until returns a handler that waits for the end of its context, and tells when it has begun and why
// its context has ended.
func until() (handle client.Handler, begun chan *client.Task, ended chan error) {
	begun, ended = make(chan *client.Task, 10), make(chan error, 10)
	return func(ctx context.Context, t *client.Task) (any, error) {
		begun <- t
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return "finished although its context has ended", nil
	}, begun, ended
}

// within receives from a channel.
func within[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(patience):
		t.Fatalf("%s: nothing within %s", what, patience)
		panic("unreachable")
	}
}

// The context of a handler ends when its task is no longer the worker's, and nothing is reported.
func TestALostLeaseEndsTheHandler(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(context.Context, *client.Client, *client.Task) error{
		"unassigned": func(ctx context.Context, c *client.Client, task *client.Task) error {
			_, err := c.UnassignTask(ctx, task.ID)
			return err
		},
		"deleted": func(ctx context.Context, c *client.Client, task *client.Task) error {
			_, err := c.DeleteTask(ctx, task.ID)
			return err
		},
		"completed by somebody": func(ctx context.Context, c *client.Client, task *client.Task) error {
			_, err := c.CompleteTask(ctx, client.CompleteTaskParams{ID: task.ID, Result: client.Value(`"other"`)})
			return err
		},
		"declared dead": func(ctx context.Context, c *client.Client, _ *client.Task) error {
			_, err := c.CheckHealth(ctx, client.CheckHealthParams{Timeout: new(0)})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, start(t, settings(t, nil)).url)
			proxy := cross(t, c.URL())
			handle, begun, ended := until()
			w := work(t, dial(t, proxy.url), client.WorkerOptions{ID: "w", TTL: shortTTL, Limit: 1}, handle)
			task := create(t, c, "x")
			within(t, begun, "the handler's begin")
			if err := lose(t.Context(), c, task); err != nil {
				t.Fatal(err)
			}
			if why := within(t, ended, "the end of the handler's context"); !errors.Is(why, client.ErrLeaseLost) {
				t.Errorf("the context ended because of %v", why)
			}
			if err := within(t, w.done, "the worker's end"); err != nil {
				t.Error(err)
			}
			w.done <- nil
			if n := proxy.reported.Load(); n != 0 {
				t.Errorf("the worker has reported something %d times", n)
			}
			got, err := c.GetTask(t.Context(), task.ID)
			if name == "deleted" {
				if !client.IsNotFound(err) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if want := map[bool]string{true: `"other"`, false: "null"}[name == "completed by somebody"]; err != nil || string(got.Result) != want {
				t.Errorf("the lost task is %+v, %v", got, err)
			}
		})
	}
}

// A worker that is not registered any more registers again with its session, and works on.
func TestAFlushInTheMiddle(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	handle, begun, ended := until()
	first := true
	work(t, c, client.WorkerOptions{ID: "w", TTL: shortTTL}, func(ctx context.Context, task *client.Task) (any, error) {
		if first {
			first = false
			return handle(ctx, task)
		}
		return 1, nil
	})
	create(t, c, "x")
	within(t, begun, "the handler's begin")
	if _, err := c.Flush(t.Context(), client.FlushParams{Confirm: "FLUSH_ALL_DATA"}); err != nil {
		t.Fatal(err)
	}
	if why := within(t, ended, "the end of the handler's context"); !errors.Is(why, client.ErrLeaseLost) {
		t.Errorf("the context ended because of %v", why)
	}
	status(t, c, create(t, c, "after the flush").ID, "completed")
	state, err := c.GetState(t.Context(), client.GetStateParams{})
	if err != nil || len(state.Instances) != 1 || state.Instances[0].ID != "w" {
		t.Errorf("the instances are %+v, %v", state, err)
	}
}

// When its context ends, a worker lets handlers finish for the grace and gives back the others.
func TestShutdown(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	begun, finish := make(chan struct{}, 2), make(chan struct{})
	w := work(t, c, client.WorkerOptions{ID: "w", Concurrency: 2, Grace: 500 * time.Millisecond},
		func(ctx context.Context, task *client.Task) (any, error) {
			begun <- struct{}{}
			if task.Text == "fast" {
				<-finish
				return 1, nil
			}
			<-ctx.Done()
			if why := context.Cause(ctx); !errors.Is(why, client.ErrShutdown) {
				t.Errorf("the context ended because of %v", why)
			}
			return nil, ctx.Err()
		})
	fast, slow := create(t, c, "fast"), create(t, c, "slow")
	within(t, begun, "the first handler")
	within(t, begun, "the second handler")
	w.cancel()
	late := create(t, c, "late")
	close(finish)
	if err := w.end(); err != nil {
		t.Fatal(err)
	}
	status(t, c, fast.ID, "completed")
	status(t, c, late.ID, "pending")
	if back := status(t, c, slow.ID, "pending"); back.AssignedTo != nil || back.Losses != 0 {
		t.Errorf("the slow task has an owner, or was lost: %+v", back)
	}
	if _, err := c.ClaimTask(t.Context(), client.ClaimTaskParams{WorkerID: "w"}); !client.IsNotRegistered(err) {
		t.Errorf("the worker is still registered: %v", err)
	}
}

// Stop ends a worker at once, also in its grace, and while a handler does not return.
func TestStop(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	stop, stopNow := context.WithCancel(t.Context())
	begun, free, out := make(chan struct{}), make(chan struct{}), make(chan struct{})
	w := work(t, c, client.WorkerOptions{ID: "w", Grace: time.Hour, Stop: stop}, func(context.Context, *client.Task) (any, error) {
		defer close(out)
		close(begun)
		<-free
		return "too late", nil
	})
	task := create(t, c, "x")
	within(t, begun, "the handler's begin")
	w.cancel()
	stopNow()
	if err := within(t, w.done, "the worker's end"); err != nil {
		t.Error(err)
	}
	w.done <- nil
	close(free)
	<-out
	if back := status(t, c, task.ID, "pending"); back.AssignedTo != nil || back.Losses != 0 {
		t.Errorf("the task has an owner, or was lost: %+v", back)
	}
}

// crossing is a proxy in front of a coordinator that loses answers.
type crossing struct {
	url      string
	lose     atomic.Pointer[string] // the method whose next answer is lost
	lost     atomic.Int64
	reported atomic.Int64 // calls of task.complete
}

// cross starts a proxy.
func cross(t *testing.T, to string) *crossing {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	c := &crossing{}
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte(`"task.complete"`)) {
			c.reported.Add(1)
		}
		if method := c.lose.Load(); method != nil && bytes.Contains(body, []byte(`"`+*method+`"`)) {
			decided := httptest.NewRecorder()
			proxy.ServeHTTP(decided, r)
			nothing := bytes.Contains(decided.Body.Bytes(), []byte(`"claimed":false`)) || bytes.Contains(decided.Body.Bytes(), []byte(`"error":{"code"`))
			if nothing || !c.lose.CompareAndSwap(method, nil) {
				_, _ = w.Write(decided.Body.Bytes())
				return
			}
			c.lost.Add(1)
			panic(http.ErrAbortHandler) // the coordinator has decided, and nobody learns what
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close(); transport.CloseIdleConnections() })
	c.url = s.URL
	return c
}

// The answer to a claim or to a result is lost after the coordinator has decided. The task is
// neither lost nor done twice.
func TestALostAnswer(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"task.claim", "task.complete"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			direct := dial(t, start(t, settings(t, nil)).url)
			proxy := cross(t, direct.URL())
			proxy.lose.Store(&method)
			var done atomic.Int64
			w := work(t, dial(t, proxy.url), client.WorkerOptions{ID: "w"}, func(context.Context, *client.Task) (any, error) {
				return done.Add(1), nil
			})
			task := status(t, direct, create(t, direct, "x").ID, "completed")
			if err := w.end(); err != nil {
				t.Error(err)
			}
			if task.Attempt != 1 || string(task.Result) != "1" || done.Load() != 1 || proxy.lost.Load() != 1 {
				t.Errorf("attempt %d, result %s, handled %d times, %d answers lost", task.Attempt, task.Result, done.Load(), proxy.lost.Load())
			}
		})
	}
}

// The coordinator, and then Redis, restart under a worker: while a handler runs, while the worker
// waits for a task, and while it reports a result.
func TestRestartsUnderAWorker(t *testing.T) {
	t.Parallel()
	redis := testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
	cfg := settings(t, func(cfg *config.Config) { cfg.RedisURL = redis.URL() })
	first := start(t, cfg)
	cfg.Listen = first.Addr()
	c := dial(t, first.url, client.WithRetry(patience))
	begun, finish := make(chan *client.Task), make(chan struct{})
	w := work(t, dial(t, first.url), client.WorkerOptions{ID: "w", TTL: shortTTL, Concurrency: 2}, func(ctx context.Context, task *client.Task) (any, error) {
		if task.Text == "long" {
			begun <- task
			<-finish
		}
		return 1, ctx.Err()
	})
	restarts := map[string]func(){
		"coordinator": func() { first.stop(); finish <- struct{}{}; first = start(t, cfg) },
		"Redis": func() {
			if err := redis.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Fatal(err)
			}
			finish <- struct{}{}
			if err := redis.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	}
	for _, what := range []string{"coordinator", "Redis"} {
		task := create(t, c, "long")
		within(t, begun, "the handler's begin")
		restarts[what]()
		if got := status(t, c, task.ID, "completed"); got.Attempt != 1 {
			t.Errorf("%s: the task that ran over the restart took %d attempts", what, got.Attempt)
		}
		status(t, c, create(t, c, "after the restart").ID, "completed")
	}
	if err := w.end(); err != nil {
		t.Error(err)
	}
}
