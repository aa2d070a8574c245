package flush

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// run is one run of a flush, by the coordinator that got the call or by one that found the flush
// left behind. Its state is in the log's hash in Redis (lua/lib/flush.lua), so that any coordinator
// can continue it:
//
//	draining   commands continue until the task view is nearly up to date; undone if left behind
//	fenced     commands are rejected while the view catches up and its rows are deleted. If left
//	           behind, it is finished if the rows are deleted, or else undone
//	deleting   keys are deleted; finished if left behind
//
// Every step can be repeated. A run holds a lease, and each script checks it, so that a run that
// was declared dead changes nothing more in Redis. In Postgres, the flush's id is decided only
// once.
type run struct {
	Options
	id, holder string
	include    bool // the rows are deleted too
	log        *slog.Logger
}

var (
	errFlushLost       = errors.New("another coordinator has taken over the flush")
	errOutcomeOfFlush  = errors.New("it is not known whether the task view's rows were deleted")
	errViewBehindFence = errors.New("the task view did not reach the end of the log in time")
)

const (
	// leaseTTL is how long a run may be silent before another coordinator continues its flush.
	leaseTTL = 5 * time.Second
	// drainPatience bounds how long a flush waits for a task view that is far behind.
	drainPatience = 5 * time.Minute
	// viewLag is how far behind the view may be when the fence goes up.
	viewLag = 1000 // ms
	// fencePatience is how long commands wait for the view to catch up.
	fencePatience = 5 * time.Second
	// foldPatience is how long commands wait for the projections into Redis, which a flush resets
	// anyway.
	foldPatience = 500 * time.Millisecond
	// archivePatience is how long commands wait for the archive. What it does not have then is lost.
	archivePatience = 2 * time.Second
	// stepPatience bounds a step before the point of no return while a store does not reply.
	stepPatience = 10 * time.Second
	// leavePatience bounds undoing the flush or releasing the lease when a run ends early.
	leavePatience = 5 * time.Second
)

// Phases of a flush.
const (
	draining = "draining"
	fenced   = "fenced"
	deleting = "deleting"
)

// run runs the flush. Its error is the caller's.
func (f *run) run(ctx context.Context, envelope string, limit int) (*api.FlushResult, error) {
	if f.Rows != nil {
		check, cancel := context.WithTimeout(ctx, stepPatience)
		defer cancel()
		if _, _, err := f.Rows.Position(check); err != nil {
			return nil, taskview.APIError(err)
		}
	}
	if err := f.begin(ctx, envelope, limit); err != nil {
		return nil, err
	}
	f.log.WarnContext(ctx, "a flush has begun; all data will be deleted", "postgres", f.include)
	held, release := f.holdLease(ctx)
	defer release()
	tasks, err := f.prepare(held)
	if err == nil {
		var result *api.FlushResult
		if result, err = f.complete(held, tasks); err == nil {
			return result, nil
		}
		return f.leave(ctx, held, err)
	}
	if errors.Is(err, errOutcomeOfFlush) || leaseLost(held, err) {
		return f.leave(ctx, held, err)
	}
	return nil, f.giveUp(ctx, err)
}

// begin records in Redis that the flush is in progress.
func (f *run) begin(ctx context.Context, envelope string, limit int) error {
	args := beginFlushArgs{
		Context: envelope, Calls: limit, ID: f.id, Holder: f.holder, Lease: leaseTTL.Milliseconds(), Postgres: f.include,
	}
	_, err := beginFlush.Run(ctx, f.Scripts, args)
	if errors.Is(err, lua.ErrOutcomeUnknown) {
		ask, cancel := context.WithTimeout(ctx, leaseTTL)
		defer cancel()
		// With the same id it is the same flush. If the outcome stays unknown, the flush is undone
		// when its lease expires.
		if _, again := beginFlush.Run(ask, f.untilAnswered(), args); !errors.Is(again, lua.ErrUnavailable) {
			err = again
		}
	}
	return err
}

// prepare brings the flush to the point of no return. It returns how many rows were deleted, or nil
// if they are kept. errOutcomeOfFlush means that the flush may be past that point.
func (f *run) prepare(ctx context.Context) (tasks *int64, err error) {
	if err := f.crash(ctx, "begun"); err != nil {
		return nil, err
	}
	if err := f.drain(ctx); err != nil {
		return nil, err
	}
	last, err := f.fence(ctx)
	if err != nil {
		return nil, err
	}
	if err := f.crash(ctx, "fenced"); err != nil {
		return nil, err
	}
	if err := f.settleViews(ctx, last); err != nil {
		return nil, err
	}
	if err := f.crash(ctx, "settled"); err != nil {
		return nil, err
	}
	if !f.include {
		return nil, nil
	}
	n, err := f.Rows.Flush(ctx, f.id, last)
	if err == nil {
		return &n, f.crash(ctx, "rows")
	}
	if errors.Is(err, taskview.ErrRowsKept) {
		return nil, err
	}
	f.log.ErrorContext(ctx, "Postgres did not confirm that the rows were deleted; asking until it replies", "error", err)
	return f.decide(ctx)
}

// decide asks Postgres for the outcome until it replies.
func (f *run) decide(ctx context.Context) (*int64, error) {
	for {
		tasks, deleted, err := f.Rows.Decide(ctx, f.id)
		switch {
		case err == nil && deleted:
			return &tasks, nil
		case err == nil:
			return nil, fmt.Errorf("delete the rows: %w", taskview.ErrRowsKept)
		}
		if !sleep(ctx, time.Second) {
			return nil, fmt.Errorf("%w: %w", errOutcomeOfFlush, err)
		}
	}
}

// drain waits until the view is less than a second behind, while commands continue.
func (f *run) drain(ctx context.Context) error {
	if f.Rows == nil {
		return nil
	}
	deadline := time.Now().Add(drainPatience)
	for time.Now().Before(deadline) {
		state, err := f.readState(ctx)
		if err != nil {
			return err
		}
		seq, at, err := f.Rows.Position(ctx)
		if err != nil {
			return err
		}
		if seq >= state.Seq || state.MS-at < viewLag {
			return nil
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
	return fmt.Errorf("%w: it is too far behind", errViewBehindFence)
}

// fence rejects commands from now on, and returns the seq of the last event.
func (f *run) fence(ctx context.Context) (last int64, err error) {
	step, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	reply, err := fenceFlush.Run(step, f.untilAnswered(), fenceFlushArgs{ID: f.id, Holder: f.holder, Lease: leaseTTL.Milliseconds()})
	if err != nil {
		return 0, err
	}
	if last, err = strconv.ParseInt(fmt.Sprint(reply), 10, 64); err != nil {
		return 0, fmt.Errorf("fence_flush: %w", err)
	}
	return last, f.spare(step, 0)
}

// settleViews waits during the fence until the projections and the archive have caught up.
func (f *run) settleViews(ctx context.Context, last int64) error {
	for began := time.Now(); ; {
		state, err := f.readState(ctx)
		if err != nil {
			return err
		}
		waited := time.Since(began)
		if !state.Archived && waited >= archivePatience {
			f.log.WarnContext(ctx, "the archive lacks events that the flush deletes", "last", state.Seq)
			break
		}
		folded, archived := state.Folded || waited >= foldPatience, state.Archived
		if folded && archived || !sleep(ctx, 10*time.Millisecond) {
			break
		}
	}
	if f.Rows == nil {
		return nil
	}
	step, cancel := context.WithTimeoutCause(ctx, fencePatience, errViewBehindFence)
	defer cancel()
	for {
		seq, _, err := f.Rows.Position(step)
		switch {
		case err != nil:
			return err
		case seq >= last:
			return nil
		case !sleep(step, 10*time.Millisecond):
			return context.Cause(step)
		}
	}
}

// spare keeps registrations from expiring, or lets them expire again after ttl ms.
func (f *run) spare(ctx context.Context, ttl int64) error {
	const each = 1000 // the script's page size
	for offset := 0; ; offset += each {
		more, err := spareInstances.Run(ctx, f.untilAnswered(), spareInstancesArgs{ID: f.id, Holder: f.holder, Offset: offset, TTL: ttl})
		if err != nil || more != int64(1) {
			return err
		}
	}
}

// sleep waits for d, and reports whether ctx did not end first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
