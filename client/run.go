package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// run is one run of a Worker.
type run struct {
	WorkerOptions
	client *Client // without retries
	handle Handler
	alive  context.Context // ends when the worker is stopped
	free   chan struct{}   // has an element for each handler that may start
	look   chan struct{}   // asks for a heartbeat now

	working sync.WaitGroup // handlers and reports

	mu    sync.Mutex
	held  map[*lease]struct{} // the tasks whose handlers run, and those whose handlers were stopped
	ended chan struct{}       // closed and replaced when a handler has ended

	registering chan struct{} // has an element while nobody registers the instance
	times       atomic.Int64  // how often the instance registered

	closing context.Context // ends with the grace
	close   context.CancelFunc
}

// lease is a task that the worker has claimed and whose handler runs.
type lease struct {
	*Task
	run    *run
	cancel context.CancelCauseFunc // of the handler's context
}

// register registers the instance with its session.
func (r *run) register(ctx context.Context, c *Client) error {
	if err := r.registerOnce(ctx, c); err != nil {
		return fmt.Errorf("register the worker %s: %w", r.ID, err)
	}
	return nil
}

func (r *run) registerOnce(ctx context.Context, c *Client) error {
	metadata := maps.Clone(r.Metadata)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["sessionId"], metadata["maxTasks"] = r.SessionID, r.Concurrency
	text, err := jsontext.Marshal(metadata)
	if err != nil {
		return fmt.Errorf("encode its metadata: %w", err)
	}
	roles := make([]Role, len(r.Roles))
	for i, role := range r.Roles {
		roles[i] = Role(role)
	}
	result, err := c.Register(ctx, RegisterParams{ID: ID(r.ID), Roles: roles, Metadata: text, TTL: new(int(r.TTL.Milliseconds()))})
	if err == nil && !result.Registered {
		err = errors.New("the id belongs to a live instance of another token; choose another id")
	}
	if err == nil {
		r.times.Add(1)
	}
	return err
}

// registerAgain registers the instance again, unless that was done since the caller read times.
func (r *run) registerAgain(ctx context.Context, times int64) error {
	select {
	case <-r.registering:
		defer func() { r.registering <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.times.Load() != times {
		return nil
	}
	err := r.persist(ctx, "register again", func() error { return r.registerOnce(ctx, r.client) })
	if err == nil {
		r.Logger.WarnContext(ctx, "the worker was not registered any more, and has registered again", "instance", r.ID)
		r.lookNow()
	}
	return err
}

// registered makes a call in the name of the instance, and repeats it after the instance has
// registered again if it must.
func (r *run) registered(ctx context.Context, call func() error) error {
	times := r.times.Load()
	err := call()
	if !IsNotRegistered(err) {
		return err
	}
	if err := r.registerAgain(ctx, times); err != nil {
		return err
	}
	return call()
}

// persist repeats f until it succeeds, fails for good, or ctx ends.
func (r *run) persist(ctx context.Context, what string, f func() error) error {
	said := false
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		err := f()
		if err == nil || !transient(err) || ctx.Err() != nil {
			return err
		}
		if !said {
			r.Logger.WarnContext(ctx, "a call failed; the worker repeats it", "instance", r.ID, "what", what, "error", err)
			said = true
		}
		if !sleep(ctx, max(RetryAfter(err), jitter(pause))) {
			return err
		}
	}
}

// transient reports whether a call may succeed later, and may be repeated by a worker, whose calls
// have keys.
func transient(err error) bool {
	return IsRateLimited(err) || IsUnavailable(err) || OutcomeUnknown(err) || IsConflict(err, "FLUSH_IN_PROGRESS") ||
		IsNotRegistered(err) || errors.Is(err, ErrNotCoordinator)
}

// finish waits for the handlers: for the grace, then until their contexts have ended them.
func (r *run) finish() {
	done := make(chan struct{})
	go func() { defer close(done); r.working.Wait() }()
	grace := time.NewTimer(max(r.Grace, 0))
	defer grace.Stop()
	select {
	case <-done:
		return
	case <-grace.C:
		r.endAll(ErrShutdown)
		r.close()
	case <-r.alive.Done():
	}
	select {
	case <-done:
		return
	case <-r.alive.Done():
	}
	last := time.NewTimer(stopPatience)
	defer last.Stop()
	select {
	case <-done:
	case <-last.C:
		r.Logger.Warn("handlers still run after the worker was stopped", "instance", r.ID)
	}
}

// endAll ends the contexts of all handlers.
func (r *run) endAll(why error) {
	for _, l := range r.leases() {
		l.cancel(why)
	}
}

// leases returns the tasks that the worker holds.
func (r *run) leases() []*lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.held))
}

// leave gives back what the instance still holds, and unregisters it. To unregister alone would also
// give the tasks back, but as tasks that were lost with their worker.
func (r *run) leave(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	r.giveBack(ctx, r.leases()...)
	ctx, cancel := context.WithTimeout(ctx, leavePatience)
	defer cancel()
	err := r.persist(ctx, "unregister", func() error {
		result, err := r.client.Unregister(ctx, UnregisterParams{InstanceID: ID(r.ID), SessionID: r.SessionID})
		switch {
		case IsNotRegistered(err):
			return nil
		case err == nil && result.TasksReassigned > 0:
			r.Logger.InfoContext(ctx, "tasks were given back", "instance", r.ID, "tasks", result.TasksReassigned)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("unregister the worker %s, whose tasks return when its registration expires, after %s: %w", r.ID, r.TTL, err)
	}
	r.Logger.InfoContext(ctx, "the worker is unregistered", "instance", r.ID)
	return nil
}
