package flush

import (
	"context"
	"errors"
	"fmt"

	"github.com/claudebench/claudebench/lua"
)

// Recover continues a flush whose holder is gone: it finishes the flush after the point of no
// return, and undoes it before. It reports whether commands are fenced off when it returns.
func (f *Flusher) Recover(ctx context.Context) (isFenced bool, err error) {
	return f.newRun("", "monitor:"+f.Name, f.Logger).recover(ctx)
}

func (f *run) recover(ctx context.Context) (isFenced bool, err error) {
	state, err := f.takeLease(ctx, f.Scripts)
	if err != nil || state.ID == "" {
		return false, err
	}
	if !state.Mine {
		return state.Phase != draining, nil
	}
	f.id, f.include, f.log = state.ID, state.Rows, f.log.With("flush", state.ID)
	f.log.WarnContext(ctx, "the coordinator that ran a flush is gone; continuing the flush", "phase", state.Phase)
	held, release := f.holdLease(ctx)
	defer release()
	err = f.goOn(held, state)
	if leaseLost(held, err) {
		return true, nil // another coordinator continues
	}
	if err != nil {
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
		defer cancel()
		// Another coordinator may reach the store that this one cannot.
		_ = f.releaseLease(leave) // if it fails, the lease expires
	}
	return err != nil && state.Phase != draining, err
}

// goOn finishes or undoes the flush.
func (f *run) goOn(ctx context.Context, state state) error {
	tasks, forward := state.Tasks, state.Phase == deleting
	if state.Phase == fenced && state.Rows {
		if f.Rows == nil {
			return errors.New("recover the interrupted flush: it also deletes rows in Postgres, and this coordinator has no Postgres; " +
				"commands are rejected until a coordinator with --database-url finishes the flush")
		}
		n, deleted, err := f.Rows.Decide(ctx, f.id)
		if err != nil {
			return fmt.Errorf("recover the interrupted flush: read its outcome in Postgres: %w; commands are rejected until this succeeds", err)
		}
		if forward = deleted; deleted {
			tasks = &n
		}
	}
	if forward {
		_, err := f.complete(ctx, tasks)
		return err
	}
	f.log.WarnContext(ctx, "the flush is undone; nothing was deleted")
	return f.undo(ctx)
}

// UnderWay reports whether err means that a flush's fence rejected a script.
func UnderWay(err error) bool {
	var refused *lua.Error
	return errors.As(err, &refused) && refused.Code == "CONFLICT" && refused.Detail == `{"reason":"FLUSH_IN_PROGRESS"}`
}
