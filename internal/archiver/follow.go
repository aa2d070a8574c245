package archiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/events/archive"
)

// follow archives from where the archive ends. With once, it ends with errDone.
func (a *Archiver) follow(ctx context.Context, w *archive.Writer, once bool) error {
	if err := a.prove(ctx, w); err != nil {
		return err
	}
	if err := a.fit(ctx, w); err != nil {
		return err
	}
	bounds, err := a.reader.Bounds(ctx)
	if err != nil {
		return err
	}
	// Also that nothing is archived yet.
	if err := a.note(ctx, w, w.Last().Seq >= bounds.Last.Seq); err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	after := w.Last()
	reads := make(chan read, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.readAhead(reading, after, reads)
	}()
	defer func() { stop(); <-done }()
	if w.Last().IsZero() && bounds.Base > 1 {
		if err := w.Skip(bounds.Base, archive.GapTrimmed); err != nil {
			return err
		}
	}
	committed := time.Now()
	for {
		if once && w.Last().Seq >= bounds.Last.Seq {
			err := errors.Join(w.Commit(), a.note(ctx, w, true))
			if err == nil && a.hinders(w) {
				err = errors.Join(w.CloseSegment(), a.note(ctx, w, true))
			}
			if err != nil {
				return err
			}
			return errDone
		}
		var commit, ripe, look <-chan time.Time
		if w.Last() != w.Committed() {
			commit = time.After(time.Until(committed.Add(commitEvery)))
		}
		if since := w.OpenSince(); !since.IsZero() {
			ripe = time.After(time.Until(since.Add(closeAfter)))
			look = time.After(closeForTrim)
			if a.hinders(w) {
				ripe = time.After(time.Until(since.Add(closeForTrim)))
			}
		}
		select {
		case r := <-reads:
			if r.err != nil {
				return a.explain(ctx, w, r.err)
			}
			if err := a.add(w, r); err != nil {
				return err
			}
			if time.Since(committed) < commitEvery {
				continue
			}
		case <-commit:
		case <-look: // the retention may have moved
		case <-ripe:
			if err := w.CloseSegment(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := w.Commit(); err != nil {
			return err
		}
		committed = time.Now()
		if err := a.note(ctx, w, true); err != nil {
			return err
		}
	}
}

// read is a batch of the log.
type read struct {
	batch events.Batch
	end   bool // the log ended with it when it was read
	err   error
}

// errAgain means that the log can be followed from where the archive ends now.
var errAgain = errors.New("continue")

// readAhead reads the log while the batch before is compressed.
func (a *Archiver) readAhead(ctx context.Context, at events.ID, to chan<- read) {
	for {
		batch, err := a.reader.Read(ctx, at)
		a.mu.Lock()
		foreign := a.foreign
		a.mu.Unlock()
		// A script's events are in the log together, so the log never ends between them. A page that
		// other programs' entries fill up does not show where the log ends.
		r := read{batch: batch, end: len(batch.Entries) < batchSize && !foreign, err: err}
		select {
		case to <- r:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		at = batch.Last()
	}
}

// add appends a batch.
func (a *Archiver) add(w *archive.Writer, r read) error {
	first := r.batch.Entries[0]
	if first.ID.Seq > w.Next() {
		reason := archive.GapTrimmed
		if first.Envelope.Type == events.TypeSystemFlushed {
			reason = archive.GapFlushed
		}
		a.cfg.Logger.Warn("events were removed from the log before they were archived", "from", w.Next(), "to", first.ID.Seq-1, "reason", reason)
		if err := w.Skip(first.ID.Seq, reason); err != nil {
			return err
		}
	}
	for _, e := range r.batch.Entries {
		if err := w.Append(e); err != nil {
			return err
		}
	}
	if r.end {
		w.Bound(w.Last().Seq)
	}
	return nil
}

// prove refuses an archive that is not the log's before anything is appended to it, and one that was
// restored from a backup if the log no longer has the events since.
func (a *Archiver) prove(ctx context.Context, w *archive.Writer) error {
	fields, err := a.cfg.Client.HMGet(ctx, a.cfg.Keys.Log(), "archive", "archivePlace", "archived").Result()
	if err != nil {
		return fmt.Errorf("read the archive's position: %w", err)
	}
	id, _ := fields[0].(string) // "" if it is not set, as the others
	place, _ := fields[1].(string)
	if id != "" && id != w.Manifest().ID {
		if !a.cfg.Adopt {
			return fmt.Errorf("%w: %s; archive into that folder, or replace it with 'claudebench archive --adopt'", ErrOtherArchive, place)
		}
		a.cfg.Logger.Warn("this archive replaces another one", "was", place, "is", a.place)
		return nil
	}
	text, _ := fields[2].(string)
	told, err := events.ParseID(text)
	if id == "" || err != nil || told.Seq <= w.Last().Seq {
		return nil //nolint:nilerr // nothing was noted
	}
	bounds, err := a.reader.Bounds(ctx)
	if err != nil {
		return err
	}
	if bounds.Base <= w.Next() {
		a.cfg.Logger.Warn("the archive ends before what it had, as after a restore from a backup; continuing from the log", "had", told, "ends", w.Last())
		return nil
	}
	if !a.cfg.AcceptGap {
		return fmt.Errorf("%w: the archive had events up to %s and ends at %s, and the log begins at seq %d, so seqs %d to %d are lost; "+
			"restore a newer backup of the archive, or run 'claudebench archive --accept-gap'", ErrGap, told, w.Last(), bounds.Base, w.Next(), bounds.Base-1)
	}
	return w.Skip(bounds.Base, archive.GapAccepted)
}

// fit compares the archive's last event with the log. A log that has lost its end may have given its
// seq, and even its ID, to another event.
func (a *Archiver) fit(ctx context.Context, w *archive.Writer) error {
	last := w.Last()
	if last.IsZero() {
		return nil
	}
	bounds, err := a.reader.Bounds(ctx)
	if err != nil {
		return err
	}
	if last.Seq < bounds.Base {
		return nil
	}
	stored, err := archive.Open(a.cfg.Dir)
	if err != nil {
		return err
	}
	defer stored.Close()
	same, err := a.same(ctx, stored, last.Seq)
	if err != nil || same {
		return err
	}
	if !a.cfg.AcceptRollback {
		return fmt.Errorf("%w: the archive ends at %s, which the log does not have; the log ends at %s; if Redis has lost the events, "+
			"run 'claudebench archive --accept-rollback'", ErrRolledBack, last, bounds.Last)
	}
	return a.cut(ctx, w, stored, bounds)
}

// same reports whether the log has the archive's event with a seq, byte for byte.
func (a *Archiver) same(ctx context.Context, stored *archive.Archive, seq int64) (bool, error) {
	list, err := stored.From(ctx, seq, seq+1, 1)
	if err != nil || len(list) == 0 {
		return false, err
	}
	entry, there, err := a.reader.At(ctx, list[0].ID)
	return there && bytes.Equal(entry.Raw, list[0].Raw), err
}

// cut cuts off what the log has lost.
func (a *Archiver) cut(ctx context.Context, w *archive.Writer, stored *archive.Archive, bounds events.Bounds) error {
	first, last, err := stored.Bounds(ctx)
	if err != nil {
		return err
	}
	// What both have is the same up to a point, and differs from there.
	low, high := max(first.Seq, bounds.Base), min(last.Seq, bounds.Last.Seq)+1
	if ok, err := a.same(ctx, stored, low); err != nil {
		return err
	} else if !ok {
		return fmt.Errorf("%w: they have no event in common, so this is not a rollback; use another folder", ErrRolledBack)
	}
	for high-low > 1 {
		middle := low + (high-low)/2
		ok, err := a.same(ctx, stored, middle)
		if err != nil {
			return err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	list, err := stored.From(ctx, low, low+1, 1)
	if err != nil {
		return err
	}
	lost := w.Last()
	if err := w.Cut(list[0].ID, time.Now()); err != nil {
		return err
	}
	a.cfg.Logger.Warn("set aside the archive's events that the log has lost", "from", list[0].ID, "to", lost, "folder", w.Manifest().Rollbacks[len(w.Manifest().Rollbacks)-1].Aside)
	return nil
}

// explain adds to an error of the log what an operator can do.
func (a *Archiver) explain(ctx context.Context, w *archive.Writer, err error) error {
	var rolledBack *events.RolledBackError
	var gap *events.GapError
	switch {
	case errors.As(err, &rolledBack):
		if commitErr := w.Commit(); commitErr != nil {
			return commitErr
		}
		return fmt.Errorf("%w: %w; run 'claudebench archive --accept-rollback'", ErrRolledBack, err)
	case errors.As(err, &gap) && a.cfg.AcceptGap:
		entry, there, atErr := a.reader.At(ctx, gap.At)
		if atErr != nil || !there {
			return errors.Join(err, atErr)
		}
		if err := w.Skip(entry.ID.Seq, archive.GapAccepted); err != nil {
			return err
		}
		if err := errors.Join(w.Append(entry), w.Commit()); err != nil {
			return err
		}
		return errAgain
	case errors.As(err, &gap):
		return fmt.Errorf("%w: %w; run 'claudebench verify', and if they are lost, 'claudebench archive --accept-gap'", ErrGap, err)
	}
	return err
}
