package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/internal/api"
)

// rowsOfATest stands in for the task view in Postgres, which has always applied the whole log.
type rowsOfATest struct {
	mu      sync.Mutex
	fleet   *fleet
	tasks   int64
	decided map[string]bool // by flush: the rows were deleted
	counts  map[string]int64

	away   atomic.Bool                      // Postgres does not answer
	behind atomic.Bool                      // the view stands still
	before func(id string)                  // a flush's transaction
	after  func(id string, err error) error // what becomes of its answer
}

func (r *rowsOfATest) reach() error {
	if r.away.Load() {
		return fmt.Errorf("%w: it is away", ErrViewUnavailable)
	}
	return nil
}

func (r *rowsOfATest) Position(context.Context) (seq, at int64, err error) {
	if err := r.reach(); err != nil {
		return 0, 0, err
	}
	log := r.fleet.hash(r.fleet.keys.Log())
	_, _ = fmt.Sscan(log["seq"], &seq) // 0 when there is none
	_, _ = fmt.Sscan(log["ms"], &at)
	if r.behind.Load() {
		seq--
	}
	return seq, at, nil
}

func (r *rowsOfATest) Flush(_ context.Context, id string, _ int64) (tasks int64, err error) {
	if r.before != nil {
		r.before(id)
	}
	if err := r.reach(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrRowsKept, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if deleted, known := r.decided[id]; known && !deleted {
		return 0, fmt.Errorf("%w: undone", ErrRowsKept)
	}
	r.decided[id], r.counts[id] = true, r.tasks
	r.tasks = 0
	if r.after != nil {
		err = r.after(id, nil)
	}
	return r.counts[id], err
}

func (r *rowsOfATest) Decide(_ context.Context, id string) (tasks int64, deleted bool, err error) {
	if err := r.reach(); err != nil {
		return 0, false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.decided[id]; !known {
		r.decided[id] = false
	}
	return r.counts[id], r.decided[id], nil
}

// withRows gives the fleet a view of so many rows.
func (f *fleet) withRows(tasks int64) *rowsOfATest {
	r := &rowsOfATest{fleet: f, tasks: tasks, decided: map[string]bool{}, counts: map[string]int64{}}
	f.with(func(o *Options) { o.Rows = r })
	return r
}

// flushed are the keys of the namespace that a flush deletes.
func (f *fleet) flushable() []string {
	f.t.Helper()
	return slices.DeleteFunc(f.scan(f.keys.Prefix()+"*"), func(key string) bool {
		family, _, _ := strings.Cut(strings.TrimPrefix(key, f.keys.Prefix()), ":")
		return !slices.Contains(flushFamilies, family)
	})
}

// populate makes instances, tasks in every state and a leader.
func (f *fleet) populate() {
	f.t.Helper()
	f.register("w", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
	f.register("v", `[]`, "")
	for n := range 7 {
		f.create(fmt.Sprint("task ", n), `,"metadata":{"roles":["special"]}`)
		f.create(fmt.Sprint("task ", n), fmt.Sprintf(`,"idempotencyKey":"k%d"`, n))
	}
	f.claim("w")
	f.ok("task.complete", `{"id":%q,"workerId":"w"}`, f.claim("w"))
	f.ok("system.heartbeat", `{"instanceId":"w"}`)
}

const confirmed = `{"confirm":"FLUSH_ALL_DATA"}`

func (f *fleet) flush(params string) FlushResult {
	f.t.Helper()
	return decoded[FlushResult](f.t, f.ok("system.flush", "%s", params))
}

// snapshotted holds that something changes nothing.
func (f *fleet) snapshotted(t *testing.T, what func()) {
	t.Helper()
	before := f.snapshot()
	what()
	if diff := cmp.Diff(before, f.snapshot()); diff != "" {
		t.Errorf("changed: %s", diff)
	}
}

// crashed runs a flush that its coordinator leaves behind at a step.
func (f *fleet) crashed(step, params string) {
	f.t.Helper()
	f.dies = func(_ context.Context, at string) bool { return at == step }
	_, err := f.do("system.flush", params)
	f.dies = nil
	var known *api.Error
	if !errors.As(err, &known) || known.Code != api.CodeInternal {
		f.t.Fatalf("left at %s: %v", step, err)
	}
}

// expire ends the lease of the run that was left behind.
func (f *fleet) expire() { f.put([]any{"HSET", f.keys.Log(), "flushUntil", 1}) }

// sweep is a tick of another coordinator's monitor.
func (f *fleet) sweep() {
	f.t.Helper()
	other := f.beside()
	if err := other.Sweep(f.t.(*testing.T).Context()); err != nil { //nolint:forcetypeassert // no model test
		f.t.Fatalf("sweep: %v", err)
	}
}
