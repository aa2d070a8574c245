package seal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/lease"
	"github.com/claudebench/claudebench/internal/sealtree"
)

// session is one time of holding the lease.
type session struct {
	*Sealer
	identity string
	tree     *sealtree.Tree
	head     tlog.Tree // published

	mu      sync.Mutex
	pending [][]byte      // leaves that are read and not in the tree yet
	last    events.ID     // of the last of them
	grown   chan struct{} // pending has reached commitAt
	taken   chan struct{} // pending was taken
}

// session reads the log and commits until ctx ends, or something fails that a new start must solve.
func (s *Sealer) session(ctx context.Context, o opened) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	w := &session{
		Sealer: s, identity: o.identity, tree: o.tree, head: o.head, last: o.last,
		grown: make(chan struct{}, 1), taken: make(chan struct{}, 1),
	}
	var working sync.WaitGroup
	for _, work := range []func(context.Context) error{w.read, w.commits, w.renew} {
		working.Go(func() {
			if err := work(ctx); err != nil {
				end(err)
			}
		})
	}
	working.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// renew keeps the lease.
func (w *session) renew(ctx context.Context) error {
	last := time.Now()
	for {
		pause(ctx, lease.RenewEvery)
		if stopped(ctx) {
			return nil
		}
		held, err := w.lease.Acquire(ctx)
		switch {
		case err == nil && held:
			last = time.Now()
		case err == nil:
			return fmt.Errorf("lost the lease: %w, or a flush is deleting keys", errNotMine)
		case time.Since(last) > lease.TTL:
			return fmt.Errorf("renew the lease: %w", err)
		}
	}
}

// read reads the log after the last sealed event.
func (w *session) read(ctx context.Context) error {
	after := w.last
	for ctx.Err() == nil {
		batch, err := w.cfg.Batches.Read(ctx, after)
		var rolledBack *events.RolledBackError
		var gap *events.GapError
		switch {
		case stopped(ctx):
			return nil
		case errors.As(err, &rolledBack):
			// If the event was not signed yet, nothing is lost: the next start reads from the checkpoint
			// again, and finds out whether that is still in the log.
			return err
		case errors.As(err, &gap):
			return w.stop(ctx, fmt.Sprintf("seqs %d to %d are missing from the log and were not sealed: %v. %s", gap.Expected, gap.Got-1, gap, goOn))
		case err != nil:
			_ = w.problem("redis", err)
			pause(ctx, retryEvery)
			continue
		}
		leaves, err := leavesOf(batch)
		if err != nil {
			return w.stop(ctx, err.Error()+". "+goOn)
		}
		if after = batch.Last(); !w.add(ctx, leaves, after) {
			return nil
		}
	}
	return nil
}

// leavesOf returns the leaves of a batch. An event that a flush has removed before it was sealed has
// a leaf that says so, so that the index of a leaf follows from its seq.
func leavesOf(batch events.Batch) ([][]byte, error) {
	leaves := make([][]byte, 0, len(batch.Entries))
	for _, gap := range batch.Gaps() {
		if gap.Reason != events.GapFlushed {
			return nil, fmt.Errorf("seqs %d to %d are gone from the log and were not sealed: %s", gap.From, gap.To, gap.Reason)
		}
		for seq := gap.From; seq <= gap.To; seq++ {
			leaves = append(leaves, sealtree.GoneLeaf(seq, string(gap.Reason)))
		}
	}
	for _, e := range batch.Entries {
		leaves = append(leaves, sealtree.EventLeaf(e.ID.String(), e.Raw))
	}
	return leaves, nil
}

// add adds leaves to those that wait to be committed. It waits while there are too many, and returns
// false if ctx ended.
func (w *session) add(ctx context.Context, leaves [][]byte, last events.ID) bool {
	for {
		w.mu.Lock()
		if len(w.pending) < maxPending {
			break
		}
		w.mu.Unlock()
		select {
		case <-w.taken:
		case <-ctx.Done():
			return false
		}
	}
	defer w.mu.Unlock()
	w.pending, w.last = append(w.pending, leaves...), last
	if len(w.pending) >= commitAt {
		signal(w.grown)
	}
	return true
}

// take returns the leaves that wait.
func (w *session) take() ([][]byte, events.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	leaves := w.pending
	w.pending = nil
	signal(w.taken)
	return leaves, w.last
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// commits publishes what was read.
func (w *session) commits(ctx context.Context) error {
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.grown:
		case <-tick.C:
		}
		leaves, last := w.take()
		if len(leaves) == 0 {
			w.worked()
			continue
		}
		for _, leaf := range leaves {
			if err := w.tree.Append(leaf); err != nil {
				return err
			}
		}
		if err := w.commit(ctx, last); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// Steps of a commit, for Config.At.
const (
	StepWrite   = "write"
	StepRecord  = "record"
	StepPublish = "publish"
	StepTidy    = "tidy"
)

// commit writes the tiles, records the checkpoint in Redis, and then publishes it. A step that fails
// is repeated until it works or ctx ends; the leaves stay in the tree.
func (w *session) commit(ctx context.Context, last events.ID) error {
	began := time.Now()
	head, files := w.tree.Head(), w.tree.Files(w.head.N)
	var signed []byte
	steps := []struct {
		name, at string
		do       func() error
	}{
		{StepWrite, "disk", func() error { return w.dir.Write(files) }},
		{"sign", "sign", func() (err error) {
			signed, err = sealtree.Sign(w.cfg.Signer, head)
			return err
		}},
		{StepRecord, "redis", func() error { return w.record(ctx, w.identity, w.head, false, head, last, signed) }},
		{StepPublish, "disk", func() error { return w.dir.Publish(signed) }},
	}
	for _, step := range steps {
		for {
			err := w.at(step.name)
			if err == nil {
				err = step.do()
			}
			if err == nil {
				break
			}
			var lost *lostError
			if hasCode(err, "LEASE_LOST") {
				return fmt.Errorf("lost the lease: %w", errNotMine)
			}
			if ctx.Err() != nil || errors.As(err, &lost) || hasCode(err, "SEAL_MOVED") || hasCode(err, "SEAL_STOPPED") {
				return err
			}
			_ = w.problem(step.at, err)
			pause(ctx, retryEvery)
			if stopped(ctx) {
				return nil
			}
		}
	}
	w.worked()
	w.head = head
	w.tree.Forget()
	w.Sealer.mu.Lock()
	w.status.Size, w.status.Last, w.status.CommitTook = head.N, last, time.Since(began)
	w.Sealer.mu.Unlock()
	if err := w.at(StepTidy); err != nil {
		return err
	}
	w.dir.Tidy(files)
	return nil
}

func (w *session) at(step string) error {
	if w.cfg.At == nil {
		return nil
	}
	return w.cfg.At(step)
}

// stopped reports whether the sealer is to stop, which is not a failure.
func stopped(ctx context.Context) bool { return ctx.Err() != nil }
