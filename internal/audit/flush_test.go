package audit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/projections"
)

const (
	flushAll   = "FLUSH_ALL_DATA"
	flushLease = 60_000 // ms
)

// flushing is a day and a flush that removes everything step by step. Its coordinator dies
// somewhere.
type flushing struct {
	*day
	views *projections.Tasks
}

func newFlushing(t *testing.T) *flushing {
	t.Helper()
	f := &flushing{day: newDay(t, true)}
	f.views = projections.NewTasks(projections.PostgresConfig{Pool: f.pool, Logger: quiet})
	f.again(t, func(o *commands.Options) { o.Rows = flushedRows{f.views} })
	return f
}

// run runs one of the flush's scripts.
func (f *flushing) run(t *testing.T, script string, args ...any) any {
	t.Helper()
	reply, err := lua.NewRunner(f.client).Run(t.Context(), lua.Named(script), []string{f.space.Log()}, args...)
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return reply
}

// upTo runs the flush up to a step. The last step is everything but the flush's end. A second call
// continues.
func (f *flushing) upTo(t *testing.T, step string, rows int) {
	t.Helper()
	f.run(t, "begin_flush", `"actor":"x","cause":null,"trace":null`, "", 0, "f", "dead", flushLease, rows)
	if step == "begun" {
		return
	}
	last := f.run(t, "fence_flush", "f", "dead", flushLease)
	if step == "fenced" {
		return
	}
	tasks := ""
	if rows == 1 {
		n, err := f.views.Flush(t.Context(), "f", num("t-"+last.(string)))
		if err != nil {
			t.Fatal(err)
		}
		tasks = fmt.Sprint(n)
	}
	if step == "rows" {
		return
	}
	for cursor := "0"; ; {
		cursor = fmt.Sprint(f.run(t, "delete_flushed_keys", "f", "dead", flushLease, tasks, cursor).([]any)[0])
		if cursor == "0" || step == "deleting" {
			return
		}
	}
}

// end lets another coordinator continue the flush that was left behind.
func (f *flushing) end(t *testing.T) {
	t.Helper()
	if err := f.client.HSet(t.Context(), f.space.Log(), "flushUntil", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := f.coordinator.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// While a flush removes the compared data, Verify reports no violation, wherever the flush was left
// behind. After it, Verify finds violations as before.
func TestVerifyWhileAFlushIsLeftBehind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		step     string
		rows     int
		compared bool // nothing is being removed yet
	}{
		{"begun", 1, true},
		{"fenced", 0, true},
		{"fenced", 1, false},
		{"rows", 1, false},
		{"deleting", 0, false},
		{"deleting", 1, false},
		{"deleted", 1, false},
	} {
		t.Run(fmt.Sprintf("%s/rows=%d", c.step, c.rows), func(t *testing.T) {
			t.Parallel()
			f := newFlushing(t)
			f.upTo(t, c.step, c.rows)
			report, err := audit.Verify(t.Context(), audit.Options{
				Redis: f.client, Keys: f.space, Postgres: f.pool, Wait: 50 * time.Millisecond,
			})
			switch {
			case c.compared && err == nil:
				clean(t, report)
			case c.compared || !errors.Is(err, audit.ErrFlushed):
				t.Errorf("%+v, %v", report, err)
			case !strings.Contains(err.Error(), "phase is fenced, and it has removed 0 keys") && !strings.Contains(err.Error(), "phase is deleting, "):
				t.Errorf("it does not say how far the flush is: %v", err)
			}
			f.end(t)
			f.project(t)
			clean(t, f.verify(t))
			id := f.create(t, 50, "")
			f.project(t)
			if err := f.client.HSet(t.Context(), f.space.Task(id), "text", "other").Err(); err != nil {
				t.Fatal(err)
			}
			names(t, f.verify(t), "task "+id, `text is "other"`)
		})
	}
}

// told calls a function when a text is written that contains a given one.
type told struct {
	text string
	then func()
	once sync.Once
}

func (w *told) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.text) {
		w.once.Do(w.then)
	}
	return len(p), nil
}

// Verify waits for a flush that makes progress. It notices a flush during the comparison, and
// compares the data after it.
func TestVerifyGoesOnBehindAFlush(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before string // the step at which it is left behind
		when   string // the output of Verify at which another coordinator continues
	}{
		"waited for":                 {"deleting", "waiting for a flush to end"},
		"interrupted the comparison": {"begun", "comparing instances"},
		"later":                      {"begun", "comparing the global state"},
		"at the very end":            {"begun", "checking the end of the log"},
		"at the beginning":           {"begun", "folding the log"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFlushing(t)
			f.follow(t)
			f.upTo(t, c.before, 1)
			goOn := &told{text: c.when, then: func() {
				f.upTo(t, "deleted", 1)
				f.end(t)
			}}
			report := f.verify(t, func(o *audit.Options) { o.Progress = goOn })
			clean(t, report)
			if report.Base < 20 || report.Tasks != 0 {
				t.Errorf("what was there before is compared: %+v", report)
			}
		})
	}
}

// While coordinators flush thousands of keys and die, and others continue, Verify never reports a
// violation.
func TestVerifyDuringFlushesIsNeverWrong(t *testing.T) {
	t.Parallel()
	b := newBundle(t, true)
	views := projections.NewTasks(projections.PostgresConfig{Pool: b.pool, Logger: quiet})
	if err := views.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	with := func(o *commands.Options) {
		o.Rows = flushedRows{views}
		o.RateLimits["system.batch.process"] = 0
	}
	b.again(t, with)
	b.follow(t)
	var compared, flushed int
	for round := range 4 {
		b.do(t, "system.register", object{"id": "w", "roles": []string{"worker"}})
		items := make([]int, 3000)
		b.do(t, "system.batch.process", object{"batchId": "b", "instanceId": "w", "items": items})
		over := make(chan error, 1)
		go func() { over <- flushAndDie(t.Context(), b, round%2 == 0) }()
		for going := true; going; {
			select {
			case err := <-over:
				if err != nil {
					t.Fatal(err)
				}
				going = false
			default:
			}
			report, err := audit.Verify(t.Context(), audit.Options{Redis: b.client, Keys: b.space, Postgres: b.pool})
			switch {
			case err == nil:
				clean(t, report)
				compared++
			case errors.Is(err, audit.ErrFlushed):
				flushed++
			default:
				t.Fatal(err)
			}
		}
		b.again(t, with)
	}
	id := b.create(t, 50, "")
	if err := b.client.HDel(t.Context(), b.space.Task(id), "text").Err(); err != nil {
		t.Fatal(err)
	}
	names(t, b.verify(t), "task "+id, "text is not set")
	t.Logf("compared %d times, kept from it %d times", compared, flushed)
}

// goOn sweeps as the monitor does until no flush is in progress. A lease that was not released must
// expire first.
func goOn(ctx context.Context, b *bundle) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := b.coordinator.Sweep(ctx); err != nil {
			return err
		}
		flushing, err := b.client.HExists(ctx, b.space.Log(), "flush").Result()
		if err != nil || !flushing {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// flushAndDie flushes. A coordinator that dies does so while it deletes keys, and another one
// continues.
func flushAndDie(ctx context.Context, b *bundle, dies bool) error {
	done := make(chan error, 1)
	go func() {
		_, err := b.try(ctx, "system.flush", object{"confirm": flushAll})
		done <- err
	}()
	for dies {
		phase, err := b.client.HGet(ctx, b.space.Log(), "flushPhase").Result()
		if err == nil && phase == "deleting" {
			b.coordinator.Stop()
			if err := <-done; err != nil && !strings.Contains(err.Error(), api.OutcomeUnknown) {
				return err // neither left behind nor finished
			}
			return goOn(ctx, b)
		}
		select {
		case err := <-done:
			return err
		default:
		}
	}
	return <-done
}

// During Verify, a server takes over that never got the last events. What was read of them is not
// held against it.
func TestVerifyGoesOnBehindAFailover(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"comparing tasks", "comparing queues", "checking the end of the log"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, false)
			kept := b.create(t, 50, "")
			b.project(t)
			had := dump(t, b)
			b.create(t, 60, "")
			b.project(t)
			var output strings.Builder
			takeOver := &told{text: when, then: func() {
				for key := range dump(t, b) {
					if err := b.client.Del(t.Context(), key).Err(); err != nil {
						t.Error(err)
					}
				}
				for key, value := range had {
					if err := b.client.Restore(t.Context(), key, 0, value).Err(); err != nil {
						t.Error(err)
					}
				}
			}}
			report := b.verify(t, func(o *audit.Options) { o.Progress = io.MultiWriter(takeOver, &output) })
			clean(t, report)
			if report.Tasks != 1 || !strings.Contains(output.String(), "lost the end of the log") {
				t.Errorf("%d tasks, and not only %s, are compared: %s", report.Tasks, kept, &output)
			}
		})
	}
}

// dump returns the data of a namespace in Redis by key.
func dump(t *testing.T, b *bundle) map[string]string {
	t.Helper()
	all := map[string]string{}
	for keys := b.client.Scan(t.Context(), 0, b.space.Log()[:strings.LastIndex(b.space.Log(), ":")+1]+"*", 1000).Iterator(); keys.Next(t.Context()); {
		value, err := b.client.Dump(t.Context(), keys.Val()).Result()
		if err != nil {
			t.Fatal(err)
		}
		all[keys.Val()] = value
	}
	return all
}
