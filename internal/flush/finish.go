package flush

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// maxPasses bounds the passes over the keys. The second pass finds nothing, unless a program that
// ignores the fence writes such keys all the time.
const maxPasses = 20

// complete does the rest after the point of no return: it deletes the keys and ends the flush.
// Steps that fail are retried. The error is ctx's, or means that another coordinator took over the
// flush.
func (f *run) complete(ctx context.Context, tasks *int64) (*api.FlushResult, error) {
	rows := ""
	if tasks != nil {
		rows = strconv.FormatInt(*tasks, 10)
	}
	deleted := map[string]int64{}
	for pass := 1; ; {
		n, err := f.deleteKeys(ctx, rows, deleted)
		if err == nil && (n == 0 || pass == maxPasses) {
			var result *api.FlushResult
			if result, err = f.finish(ctx); err == nil {
				for _, family := range Families {
					f.log.InfoContext(ctx, "flushed a pattern", "pattern", f.Prefix+family+":*", "keys", deleted[family])
				}
				f.log.WarnContext(ctx, "the flush is complete", "keys", result.Redis.KeysDeleted, "tasks", rows)
				return result, nil
			}
		}
		if err == nil {
			pass++
			continue
		}
		if leaseLost(ctx, err) || errors.Is(err, errCrash) {
			return nil, err
		}
		f.log.ErrorContext(ctx, "cannot delete the flushed keys; retrying", "error", err)
		if !sleep(ctx, time.Second) {
			return nil, err
		}
	}
}

// deleteKeys scans all keys once, deletes those that a flush removes, and counts them by family.
func (f *run) deleteKeys(ctx context.Context, rows string, deleted map[string]int64) (all int64, err error) {
	const tellEvery = 100_000
	for cursor, told := "0", int64(0); ; {
		reply, err := deleteFlushedKeys.Run(ctx, f.untilAnswered(), deleteFlushedKeysArgs{
			ID: f.id, Holder: f.holder, Lease: leaseTTL.Milliseconds(), Tasks: rows, Cursor: cursor,
		})
		if err != nil {
			return all, err
		}
		values, ok := reply.([]any)
		if !ok || len(values)%2 != 1 {
			return all, fmt.Errorf("delete_flushed_keys returned %v", reply)
		}
		for i := 1; i < len(values); i += 2 {
			n, _ := values[i+1].(int64)
			deleted[fmt.Sprint(values[i])] += n
			all += n
		}
		if err := f.crash(ctx, "deleting"); err != nil {
			return all, err
		}
		if all-told >= tellEvery {
			told = all
			f.log.InfoContext(ctx, "deleting keys", "deleted", all)
		}
		if cursor = fmt.Sprint(values[0]); cursor == "0" {
			return all, nil
		}
	}
}

// finish emits system.flushed and lifts the fence.
func (f *run) finish(ctx context.Context) (*api.FlushResult, error) {
	if err := f.crash(ctx, "deleted"); err != nil {
		return nil, err
	}
	reply, err := finishFlush.Run(ctx, f.untilAnswered(), finishFlushArgs{ID: f.id, Holder: f.holder})
	if err != nil {
		return nil, err
	}
	values, ok := reply.([]any)
	if !ok || len(values) != 3 {
		return nil, fmt.Errorf("finish_flush returned %v", reply)
	}
	return f.result(fmt.Sprint(values[0]), fmt.Sprint(values[1]), fmt.Sprint(values[2]))
}

// result builds the method's result from what Redis stores of it.
func (o Options) result(deleted, tasks, timestamp string) (*api.FlushResult, error) {
	n, err := strconv.ParseInt(deleted, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("keys deleted by a flush: %w", err)
	}
	result := &api.FlushResult{Redis: api.FlushedRedis{KeysDeleted: n, Patterns: o.patterns()}, Timestamp: timestamp}
	if tasks != "" {
		n, err := strconv.ParseInt(tasks, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("rows deleted by a flush: %w", err)
		}
		result.Postgres = &api.FlushedPostgres{TasksDeleted: n}
	}
	return result, nil
}

// leave ends a run that can neither undo nor finish its flush, so that another coordinator finishes
// it. If that has happened, or happens while the caller waits, leave returns the flush's result.
func (f *run) leave(ctx, held context.Context, why error) (*api.FlushResult, error) {
	if errors.Is(why, errCrash) {
		return nil, why
	}
	if !leaseLost(held, why) {
		f.log.WarnContext(ctx, "cannot finish the flush; another coordinator will finish it", "error", why)
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
		defer cancel()
		if err := f.releaseLease(leave); err != nil {
			f.log.WarnContext(ctx, "cannot release the flush's lease; it expires by itself", "error", err)
		}
		return nil, api.Internal(api.OutcomeUnknown)
	}
	f.log.WarnContext(ctx, "another coordinator continues the flush")
	for {
		state, err := f.readState(ctx)
		switch {
		case err != nil:
		case state.Ended.ID == f.id:
			return f.result(state.Ended.Keys, state.Ended.Tasks, state.Ended.At)
		case state.ID != f.id:
			return nil, flushUndone("another coordinator undid it, because this one was silent for too long")
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return nil, api.Internal(api.OutcomeUnknown)
		}
	}
}

// giveUp undoes a flush that has deleted nothing, and returns the caller's error.
func (f *run) giveUp(ctx context.Context, why error) error {
	if errors.Is(why, errCrash) {
		return why
	}
	f.log.WarnContext(ctx, "the flush is undone; nothing was deleted", "reason", why)
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
	defer cancel()
	if err := f.undo(leave); err != nil {
		f.log.ErrorContext(ctx, "cannot undo the flush; the monitor undoes it after its lease expires", "error", err)
	}
	switch {
	case errors.Is(why, taskview.ErrUnavailable):
		return api.Internal(api.PostgresUnavailable)
	case errors.Is(why, lua.ErrUnavailable), errors.Is(why, lua.ErrOutcomeUnknown):
		// Nothing was deleted, even if the reply was lost.
		return api.InternalBecause(api.RedisUnavailable, lua.Cause(why))
	case errors.Is(why, taskview.ErrRowsKept):
		return flushUndone("Postgres did not delete the rows")
	case errors.Is(why, errViewBehindFence):
		return flushUndone(errViewBehindFence.Error())
	case ctx.Err() != nil:
		return flushUndone("it took too long, or the coordinator is stopping")
	}
	return why
}

func (f *run) undo(ctx context.Context) error {
	state, err := f.takeLease(ctx, f.untilAnswered())
	if err != nil || state.ID != f.id {
		return err
	}
	if state.Phase == fenced {
		if err := f.spare(ctx, f.InstanceTTL.Milliseconds()); err != nil {
			return err
		}
	}
	_, err = undoFlush.Run(ctx, f.untilAnswered(), undoFlushArgs{
		ID: f.id, Holder: f.holder, Phase: state.Phase, TTL: f.InstanceTTL.Milliseconds(),
	})
	return err
}

// flushUndone returns the error of a flush that had begun and has deleted nothing.
func flushUndone(why string) *api.Error {
	data, _ := json.Marshal(struct { // strings always encode
		Reason string `json:"reason"`
		Why    string `json:"why"`
	}{"FLUSH_UNDONE", why})
	return &api.Error{Code: api.CodeConflict, Message: "Conflict", Data: json.RawMessage(data)}
}
