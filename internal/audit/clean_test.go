package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/projections"
)

func TestARandomWorkloadIsClean(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, true)
			w := newWorkload(b).with(seed)
			for range 1500 {
				if err := w.step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			b.project(t)
			report := b.verify(t)
			clean(t, report)
			if report.Events < 500 || report.Tasks < 100 || report.Instances < 5 || report.Rows < 100 || report.Places < 20 {
				t.Errorf("too little was compared: %+v", report)
			}
		})
	}
}

// With options, cancellations, revivals and limits, and with the timers of several coordinators.
func TestARandomWorkloadOfTimedTasksIsClean(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, seed%2 == 1, func(o *commands.Options) { o.MaxLosses = 3 })
			b.follow(t)
			w := newWorkload(b)
			w.timed = true
			w = w.with(100 + seed)
			for n := range 2000 {
				if err := w.step(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n%100 == 0 { // also where a step has left the rest to the next one
					clean(t, b.verify(t))
				}
			}
			report := b.verify(t)
			clean(t, report)
			if report.Events < 500 || report.Tasks < 100 || report.Places < 20 || report.Postgres != (b.pool != nil) {
				t.Errorf("too little was compared: %+v", report)
			}
			types := map[string]bool{}
			entries, err := b.client.XRange(t.Context(), b.space.Events(), "-", "+").Result()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				var envelope struct{ Type string }
				if err := json.Unmarshal([]byte(e.Values["data"].(string)), &envelope); err != nil {
					t.Fatal(err)
				}
				types[envelope.Type] = true
			}
			for _, name := range []string{
				"task.due", "task.progressed", "task.cancel_requested", "task.cancelled", "task.revived", "task.unblocked",
				"task.blocked", "limit.changed", "limit.deleted",
			} {
				if !types[name] {
					t.Errorf("there is no %s", name)
				}
			}
		})
	}
}

// Projections that are rebuilt under load equal the log, and so do those that follow it.
func TestVerifyFollowsWhileCommandsGoOn(t *testing.T) {
	t.Parallel()
	b := newBundle(t, true)
	b.follow(t)
	w := newWorkload(b)
	var running sync.WaitGroup
	var done atomic.Int64
	const callers, steps = 4, 700
	for seed := range uint64(callers) {
		running.Go(func() {
			w := w.with(seed)
			for range steps {
				if err := w.step(t.Context()); err != nil {
					t.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	defer running.Wait()
	testenv.Eventually(t, time.Minute, func() (bool, string) { return done.Load() >= 200, "too few commands" })
	verified, rebuilt := 0, 0
	for round := 0; !t.Failed() && done.Load() < callers*steps; round++ {
		before := done.Load()
		if name := []string{"", "tasks", "state"}[round%3]; name != "" {
			if err := b.runner.Rebuild(t.Context(), name); err != nil {
				t.Fatalf("rebuild %s: %v", name, err)
			}
			if done.Load() > before {
				rebuilt++
			}
			before = done.Load()
		}
		clean(t, b.verify(t))
		if done.Load() > before {
			verified++
		}
	}
	if verified == 0 || rebuilt == 0 {
		t.Errorf("commands went on during %d verifications and %d rebuilds", verified, rebuilt)
	}
}

// flushedRows are the task views as a flush uses them.
type flushedRows struct{ *projections.Tasks }

func (r flushedRows) Position(ctx context.Context) (seq, at int64, err error) {
	id, err := r.Checkpoint(ctx)
	return id.Seq, id.MS, err
}

// The data after a flush is compared with the log that begins with it. Its rows stay or go, as the
// call asked.
func TestAFlushIsNoViolation(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string]bool{"rows kept": false, "rows deleted": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, true)
			views := projections.NewTasks(projections.PostgresConfig{Pool: b.pool, Logger: quiet})
			b.again(t, func(o *commands.Options) { o.Rows = flushedRows{views} })
			b.follow(t)
			w := newWorkload(b).with(5)
			for range 2 {
				for range 300 {
					if err := w.step(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				clean(t, b.verify(t))
				b.do(t, "system.flush", object{"confirm": "FLUSH_ALL_DATA", "includePostgres": rows})
				clean(t, b.verify(t))
			}
			for range 300 {
				if err := w.step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			report := b.verify(t)
			clean(t, report)
			if report.Tasks < 10 || !report.Postgres {
				t.Errorf("too little was compared: %+v", report)
			}
		})
	}
}

func TestHashesThatExpireAreNoViolation(t *testing.T) {
	t.Parallel()
	b := newBundle(t, false, func(o *commands.Options) {
		o.InstanceTTL, o.TaskRetention = 30*time.Millisecond, 30*time.Millisecond
	})
	w := newWorkload(b).with(99)
	for range 1500 {
		if err := w.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.project(t)
	report := b.verify(t)
	clean(t, report)
}

// JSON does not define which of two members with the same name counts, or how an integer is
// written. verify reads both as the commands do.
func TestOddMetadataIsNoViolation(t *testing.T) {
	t.Parallel()
	b := newBundle(t, true)
	for _, metadata := range []string{
		`{"roles":["a"],"roles":["b","b"]}`, `{"roles":["a"],"roles":null}`, `{"roles":["a"],"r\u006fles":[]}`, `{"ROLES":["a"],"a":{"roles":["c"]}}`, `{"roles":["\ud83d\ude00"],"n":1.10}`,
	} {
		b.create(t, 50, metadata)
	}
	for i, metadata := range []string{`{"maxTasks":3.0}`, `{"maxTasks":1e1}`, `{"maxTasks":1,"maxTasks":2}`, `{"maxTasks":-0,"sessionId":"\uffff"}`} {
		b.do(t, "system.register", object{"id": fmt.Sprint("w", i), "roles": []string{"worker", "b"}, "metadata": json.RawMessage(metadata)})
	}
	b.project(t)
	clean(t, b.verify(t))
}

// An older version accepted text that SQL cannot store. The rows have U+FFFD in its place, and
// Redis has what the log has.
func TestWhatSQLCannotReadIsNoViolation(t *testing.T) {
	t.Parallel()
	b := newBundle(t, true)
	_, err := lua.NewRunner(b.client).On(b.space.Log()).Run(t.Context(), lua.Named("create_task"), lua.EventContext("anonymous", "test", ""),
		"task.create:test", 0, "", "", "x", 50, `{"k":"a\u0000b","\u0000":"\ud800"}`, "", "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	b.project(t)
	report := b.verify(t)
	clean(t, report)
	if report.Rows != 1 {
		t.Errorf("%d rows were compared", report.Rows)
	}
	if _, err := b.db.Exec(t.Context(), `UPDATE tasks SET metadata = '{"k":"a\u0000b","\u0000":"\ud800"}'`); err != nil {
		t.Fatal(err)
	}
	if report := b.verify(t); report.OK() {
		t.Error("a row that SQL cannot read is taken for right")
	}
}

func TestAnEmptyNamespaceIsClean(t *testing.T) {
	t.Parallel()
	b := newBundle(t, true)
	b.project(t)
	report := b.verify(t)
	clean(t, report)
	if report.Events != 0 || !report.Postgres {
		t.Errorf("%+v", report)
	}
}

func TestWithoutPostgresItSaysSo(t *testing.T) {
	t.Parallel()
	b := newBundle(t, false)
	report := b.verify(t, func(o *audit.Options) { o.Postgres = nil })
	if len(report.Notes) != 1 || report.Postgres {
		t.Errorf("notes %q, postgres %v", report.Notes, report.Postgres)
	}
}
