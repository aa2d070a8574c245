package flush

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// flush is one run of a flush, by the coordinator that was asked for it or by one that found it
// left behind. Its state is in Redis, in the log's hash (lua/lib/flush.lua), so that anybody can go
// on with it:
//
//	draining   commands go on until the task view is nearly up to date; undone when it is left behind
//	fenced     commands are refused while the view comes to the log's end and its rows are deleted. Left
//	           behind it is finished when the rows are deleted, else undone
//	deleting   keys are deleted; left behind it is finished
//
// Every step can be repeated. A run holds a lease; each script checks it, so that one that was
// taken for dead changes nothing in Redis any more, and in Postgres the flush's id is decided on
// once.
type run struct {
	Options
	id, holder string
	include    bool // the rows are deleted as well
	log        *slog.Logger
}

var (
	errFlushLost       = errors.New("another coordinator has taken the flush over")
	errOutcomeOfFlush  = errors.New("it is not known whether the task view's rows were deleted")
	errViewBehindFence = errors.New("the task view did not come to the log's end in time")
)

const (
	// leaseTTL is how long a run may be silent before another coordinator goes on with its flush.
	leaseTTL = 5 * time.Second
	// drainPatience bounds how long a flush waits for a task view that is far behind.
	drainPatience = 5 * time.Minute
	// viewLag is how far behind the view may be when the fence goes up.
	viewLag = 1000 // ms
	// fencePatience is how long commands are held up for the view to come to the log's end.
	fencePatience = 5 * time.Second
	// foldPatience is how long they are held up for the projections into Redis, which start anew
	// anyway.
	foldPatience = 500 * time.Millisecond
	// stepPatience bounds a step before the point of no return while a store does not answer.
	stepPatience = 10 * time.Second
	// leavePatience bounds undoing, or giving the lease back, when a run ends for another reason.
	leavePatience = 5 * time.Second
)

// Phases of a flush.
const (
	draining = "draining"
	fenced   = "fenced"
	deleting = "deleting"
)

// run carries a flush out. Its error is what the caller is told.
func (f *run) run(ctx context.Context, envelope string, limit int) (*Result, error) {
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
	f.log.WarnContext(ctx, "a flush begins: all data will be deleted", "postgres", f.include)
	held, release := f.holdLease(ctx)
	defer release()
	tasks, err := f.prepare(held)
	if err == nil {
		var result *Result
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

// begin notes in Redis that the flush is under way.
func (f *run) begin(ctx context.Context, envelope string, limit int) error {
	args := beginFlushArgs{
		Context: envelope, Calls: limit, ID: f.id, Holder: f.holder, Lease: leaseTTL.Milliseconds(), Postgres: f.include,
	}
	_, err := beginFlush.Run(ctx, f.Scripts, args)
	if errors.Is(err, lua.ErrOutcomeUnknown) {
		ask, cancel := context.WithTimeout(ctx, leaseTTL)
		defer cancel()
		// With the same id it is the same flush. If nobody can tell, it is undone once its lease
		// has ended.
		if _, again := beginFlush.Run(ask, f.untilAnswered(), args); !errors.Is(again, lua.ErrUnavailable) {
			err = again
		}
	}
	return err
}

// prepare brings the flush to the point of no return, and returns how many rows were deleted: nil
// when they are kept. errOutcomeOfFlush says that it may be past that point.
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
	f.log.ErrorContext(ctx, "Postgres did not confirm that rows were deleted; asking until it tells", "error", err)
	return f.decide(ctx)
}

// decide asks Postgres until it tells what became of the rows.
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

// drain waits, while commands go on, until the view is less than a second behind.
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

// fence refuses commands from here on, and gives the seq of the last event.
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

// settleViews waits behind the fence until the projections have come to the log's end.
func (f *run) settleViews(ctx context.Context, last int64) error {
	deadline := time.Now().Add(foldPatience)
	for time.Now().Before(deadline) {
		state, err := f.readState(ctx)
		if err != nil {
			return err
		}
		if state.Folded || !sleep(ctx, 10*time.Millisecond) {
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

// spare lets no registration run out, or with a ttl in ms lets them run again.
func (f *run) spare(ctx context.Context, ttl int64) error {
	const each = 1000 // as the script has it
	for offset := 0; ; offset += each {
		more, err := spareInstances.Run(ctx, f.untilAnswered(), spareInstancesArgs{ID: f.id, Holder: f.holder, Offset: offset, TTL: ttl})
		if err != nil || more != int64(1) {
			return err
		}
	}
}

// sleep waits for d, and reports whether ctx has not ended.
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
