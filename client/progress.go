package client

import (
	"context"
	"errors"
	"fmt"
)

// ErrCancelled means that the task was called off, by task.cancel. If the handler then returns an
// error or no result, its task is cancelled. If it returns a result and no error, because it was about
// to finish, the task is completed all the same.
var ErrCancelled = errors.New("the task was called off")

type leaseKey struct{}

// Progress says how far a handler is with its task. ctx is the context that the handler got, or one
// made of it. The ID, WorkerID and Attempt of the params are filled in:
//
//	for i, page := range pages {
//		percent := 100 * float64(i) / float64(len(pages))
//		if err := client.Progress(ctx, client.ProgressParams{Percent: &percent}); err != nil {
//			return nil, err
//		}
//		…
//	}
//
// The call is also a sign of life: it begins the task's time limit (timeoutMs of task.create) anew.
//
// The error is the cause for which the context of the handler has ended, such as [ErrCancelled] if the
// coordinator says that the task was called off. It is that of the call if the params are invalid. A
// call that fails because a limit or an outage was in its way is only logged: the next one may
// succeed, and the work need not wait for it.
func Progress(ctx context.Context, p ProgressParams) error {
	l, ok := ctx.Value(leaseKey{}).(*lease)
	if !ok {
		return errors.New("task.progress: the context is not that of a worker's handler; call Client.Progress")
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.ID, p.WorkerID, p.Attempt = l.ID, ID(l.run.ID), l.Attempt
	result, err := l.run.client.Progress(ctx, p)
	switch {
	case err == nil && result.CancelRequested:
		return l.end(ErrCancelled)
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case IsLeaseLost(err):
		return l.end(fmt.Errorf("%w: %w", ErrLeaseLost, err))
	case IsNotRegistered(err):
		l.run.lookNow() // registers again
	case !transient(err):
		return err
	}
	l.run.Logger.WarnContext(ctx, "the progress of a task could not be reported", "task", l.ID, "attempt", l.Attempt, "error", err)
	return nil
}

// end ends the context of the handler, and returns why.
func (l *lease) end(why error) error {
	l.cancel(why)
	return why
}
