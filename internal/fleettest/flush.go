package fleettest

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

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/flush"
	"github.com/claudebench/claudebench/internal/taskview"
)

// Rows replaces the task view in Postgres. It has always applied the whole log.
type Rows struct {
	mu      sync.Mutex
	fleet   *Fleet
	Tasks   int64
	decided map[string]bool // by flush: the rows were deleted
	counts  map[string]int64

	Away   atomic.Bool                      // Postgres does not reply
	Behind atomic.Bool                      // the view does not advance
	Before func(id string)                  // runs in a flush's transaction
	After  func(id string, err error) error // decides the error of a flush
}

func (r *Rows) reach() error {
	if r.Away.Load() {
		return fmt.Errorf("%w: it is away", taskview.ErrUnavailable)
	}
	return nil
}

// Position returns the log's end, unless the view is away or behind.
func (r *Rows) Position(context.Context) (seq, at int64, err error) {
	if err := r.reach(); err != nil {
		return 0, 0, err
	}
	log := r.fleet.Hash(r.fleet.Keys.Log())
	_, _ = fmt.Sscan(log["seq"], &seq) // 0 if there is none
	_, _ = fmt.Sscan(log["ms"], &at)
	if r.Behind.Load() {
		seq--
	}
	return seq, at, nil
}

// Flush deletes the rows under a flush's id.
func (r *Rows) Flush(_ context.Context, id string, _ int64) (tasks int64, err error) {
	if r.Before != nil {
		r.Before(id)
	}
	if err := r.reach(); err != nil {
		return 0, fmt.Errorf("%w: %w", taskview.ErrRowsKept, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if deleted, known := r.decided[id]; known && !deleted {
		return 0, fmt.Errorf("%w: undone", taskview.ErrRowsKept)
	}
	r.decided[id], r.counts[id] = true, r.Tasks
	r.Tasks = 0
	if r.After != nil {
		err = r.After(id, nil)
	}
	return r.counts[id], err
}

// Decide reports whether the rows were deleted under a flush's id.
func (r *Rows) Decide(_ context.Context, id string) (tasks int64, deleted bool, err error) {
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

// WithRows gives the fleet a view with that many rows.
func (f *Fleet) WithRows(tasks int64) *Rows {
	r := &Rows{fleet: f, Tasks: tasks, decided: map[string]bool{}, counts: map[string]int64{}}
	f.With(func(o *commands.Options) { o.Rows = r })
	return r
}

// Flushable returns the keys of the namespace that a flush deletes.
func (f *Fleet) Flushable() []string {
	f.T.Helper()
	return slices.DeleteFunc(f.Scan(f.Keys.Prefix()+"*"), func(key string) bool {
		family, _, _ := strings.Cut(strings.TrimPrefix(key, f.Keys.Prefix()), ":")
		return !slices.Contains(flush.Families, family)
	})
}

// Populate creates instances, tasks in every state and a leader.
func (f *Fleet) Populate() {
	f.T.Helper()
	f.Register("w", `["worker"]`, `,"metadata":{"sessionId":"s"}`)
	f.Register("v", `[]`, "")
	for n := range 7 {
		f.Create(fmt.Sprint("task ", n), `,"metadata":{"roles":["special"]}`)
		f.Create(fmt.Sprint("task ", n), fmt.Sprintf(`,"idempotencyKey":"k%d"`, n))
	}
	f.Claim("w")
	f.OK("task.complete", `{"id":%q,"workerId":"w"}`, f.Claim("w"))
	f.OK("system.heartbeat", `{"instanceId":"w"}`)
}

// Confirmed are params of system.flush.
const Confirmed = `{"confirm":"FLUSH_ALL_DATA"}`

// Flush calls system.flush.
func (f *Fleet) Flush(params string) api.FlushResult {
	f.T.Helper()
	return Decoded[api.FlushResult](f.T, f.OK("system.flush", "%s", params))
}

// Snapshotted checks that what changes nothing in the namespace.
func (f *Fleet) Snapshotted(t *testing.T, what func()) {
	t.Helper()
	before := f.Snapshot()
	what()
	if diff := cmp.Diff(before, f.Snapshot()); diff != "" {
		t.Errorf("changed: %s", diff)
	}
}

// Crashed runs a flush whose coordinator dies at a step.
func (f *Fleet) Crashed(step, params string) {
	f.T.Helper()
	f.Dies = func(_ context.Context, at string) bool { return at == step }
	_, err := f.Do("system.flush", params)
	f.Dies = nil
	var known *api.Error
	if !errors.As(err, &known) || known.Code != api.CodeInternal {
		f.T.Fatalf("left at %s: %v", step, err)
	}
}

// Expire ends the lease of the run that was left behind.
func (f *Fleet) Expire() { f.Put([]any{"HSET", f.Keys.Log(), "flushUntil", 1}) }

// SweepOnce runs a sweep of another coordinator's monitor.
func (f *Fleet) SweepOnce() {
	f.T.Helper()
	other := f.Beside()
	if err := other.Sweep(f.T.(*testing.T).Context()); err != nil { //nolint:forcetypeassert // not used in model tests
		f.T.Fatalf("sweep: %v", err)
	}
}
