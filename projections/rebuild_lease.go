package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/internal/lease"
)

// logMark is what must not change in the log's hash while a rebuild runs.
type logMark struct {
	flushing bool
	flushed  string // id of the last flush
	identity string
}

func (r *Runner) mark(ctx context.Context) (logMark, error) {
	fields, err := r.cfg.Client.HMGet(ctx, r.log, "flush", "flushed", "identity").Result()
	if err != nil {
		return logMark{}, fmt.Errorf("check for a flush: %w", err)
	}
	var m logMark
	m.flushing = fields[0] != nil
	m.flushed, _ = fields[1].(string) // nil if there was none
	m.identity, _ = fields[2].(string)
	return m, nil
}

// unchanged returns an error if a flush has begun since the rebuild began, or if Redis has another log.
func (b *rebuilding) unchanged(ctx context.Context) error {
	now, err := b.runner.mark(ctx)
	switch {
	case err != nil:
		return err
	case now.flushing || now.flushed != b.before.flushed:
		return errFlushed
	case now.identity != b.before.identity:
		return errReplaced
	}
	return nil
}

var (
	errFlushed  = fmt.Errorf("a flush has begun meanwhile; try again when it has ended: %w", ErrRebuildLost)
	errReplaced = fmt.Errorf("this Redis holds another log than before: %w", ErrRebuildLost)
	errLease    = fmt.Errorf("another rebuild has taken the lease, or a flush has deleted it: %w", ErrRebuildLost)
)

// hold takes the lease of the projection's rebuilds and renews it until release is called. The context
// ends when the lease is lost. The lease only avoids duplicate work: two rebuilds that both believe to
// have it find that the second place has changed.
func (b *rebuilding) hold(ctx context.Context) (_ context.Context, release func(), err error) {
	l := lease.Lease{Scripts: b.runner.cfg.Scripts, Name: "rebuild:" + b.found.Name, Holder: b.holder, Reader: b.runner.reader}
	for began := time.Now(); ; pause(ctx, lease.AskEvery) {
		held, err := l.Acquire(ctx)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("take the lease: %w", err)
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case !held && time.Since(began) > leaseWait:
			return nil, nil, errors.New("another rebuild of it is running; try again when it has ended")
		}
		if held {
			break
		}
	}
	ctx, end := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		renewed := time.Now()
		for {
			pause(ctx, lease.RenewEvery)
			if ctx.Err() != nil {
				return
			}
			held, err := l.Acquire(ctx)
			if err == nil {
				renewed = time.Now()
			}
			if err == nil && !held || time.Since(renewed) > lease.TTL {
				end(errLease)
				return
			}
		}
	}()
	return ctx, func() {
		end(nil)
		<-kept
		if err := l.Release(ctx); err != nil {
			b.runner.cfg.Logger.Debug("cannot release the lease; it expires by itself", "error", err)
		}
	}, nil
}
