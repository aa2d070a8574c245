package archive

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/claudebench/claudebench/events"
)

// setAsideStrays removes unfinished files, and moves segments that the manifest does not name out of
// the way: those that a rollback has replaced.
func (w *Writer) setAsideStrays() error {
	unfinished, err := fs.Glob(w.disk, "*"+suffix+newSuffix)
	if err != nil {
		return err
	}
	for _, name := range unfinished {
		if err := w.disk.Remove(name); err != nil {
			return err
		}
	}
	names, err := w.segmentFiles()
	if err != nil {
		return err
	}
	moved := false
	for _, name := range names {
		if name == w.manifest.Open.File || slices.ContainsFunc(w.manifest.Segments, func(s Segment) bool { return s.File == name }) {
			continue
		}
		aside := asideOf(w.manifest.Generation)
		if err := errors.Join(w.disk.Mkdir(aside), w.disk.Rename(name, path.Join(aside, name))); err != nil {
			return err
		}
		moved = true
	}
	if moved {
		return w.disk.Sync()
	}
	return nil
}

// asideOf returns the folder for what a generation of the manifest no longer names.
func asideOf(generation int64) string { return path.Join(asideName, fmt.Sprint(generation)) }

// recover opens the file of the open segment and removes what is not whole behind the last commit.
func (w *Writer) recover(limit int64) error {
	name := w.manifest.Open.File
	if _, err := fs.Stat(w.disk, name); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	f, err := w.disk.Create(name)
	if err != nil {
		return err
	}
	w.seg.file = f
	size, err := f.Size()
	if err != nil {
		return err
	}
	end := size
	if limit >= 0 {
		end = min(size, limit)
	}
	bad, err := w.scan(f, end)
	if err != nil {
		return err
	}
	if w.dropped = size - w.seg.size; bad && w.seg.size < end {
		// Not what a crash usually leaves: somebody may want to look at it.
		if err := w.copyAside(f, size); err != nil {
			return err
		}
	}
	if w.seg.size < size {
		if err := f.Truncate(w.seg.size); err != nil {
			return err
		}
	}
	// The system may have shown what it has not written yet.
	if err := errors.Join(f.Sync(), w.disk.Sync()); err != nil {
		return err
	}
	if _, err := io.Copy(w.seg.hash, io.NewSectionReader(f, 0, w.seg.size)); err != nil {
		return err
	}
	w.boundary = max(w.boundary, w.seg.boundary, w.manifest.Boundary)
	w.written = w.seg.keep()
	return nil
}

// scan reads the frames of the open segment up to the first one that is not whole or not right, and
// reports whether there is one that is whole but not right. A seek table ends the events too: the
// segment was being closed.
func (w *Writer) scan(f file, size int64) (bad bool, err error) {
	decoder, err := newDecoder()
	if err != nil {
		return false, err
	}
	defer decoder.Close()
	frames, err := walk(f, size)
	if err != nil && !errors.Is(err, errTorn) {
		return false, err
	}
	next, last := w.manifest.Open.Next, w.manifest.Last()
	for _, fr := range frames {
		switch {
		case fr.magic == tableMagic:
			return false, nil
		case fr.magic != frameMagic:
			w.seg.boundary = max(w.seg.boundary, fr.boundary)
			w.seg.frames, w.seg.size = append(w.seg.frames, fr), fr.at+fr.size
			continue
		}
		lines, err := readFrame(f, fr, decoder)
		if err != nil {
			return true, nil // the events of this frame are read from Redis again
		}
		part := segment{first: w.seg.first, types: map[events.Type]int64{}, last: last}
		for line := range bytes.Lines(lines) {
			e, err := decodeLine(bytes.TrimSuffix(line, []byte{'\n'}))
			if err != nil || e.ID.Seq != next || e.ID.MS < part.last.MS {
				return true, nil // as above
			}
			if w.seg.count+part.count == 0 {
				part.first = e.ID
			}
			part.last, next = e.ID, next+1
			part.count++
			if t := typeOf(e); t != "" {
				part.types[t]++
			}
		}
		fr.raw = int64(len(lines))
		s := &w.seg
		if s.count == 0 {
			s.begun = time.Now()
		}
		s.first, s.last, last = part.first, part.last, part.last
		s.count += part.count
		for t, n := range part.types {
			s.types[t] += n
		}
		s.raw += fr.raw
		s.frames, s.size = append(s.frames, fr), fr.at+fr.size
	}
	return false, nil
}

// copyAside keeps a copy of the open segment's file.
func (w *Writer) copyAside(f file, size int64) error {
	aside := asideOf(w.manifest.Generation)
	if err := w.disk.Mkdir(aside); err != nil {
		return err
	}
	kept, err := w.disk.Create(path.Join(aside, w.manifest.Open.File))
	if err != nil {
		return err
	}
	defer kept.Close()
	text := make([]byte, size)
	if _, err := f.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = kept.WriteAt(text, 0)
	return err
}

// writeLines appends the lines of frames up to a seq to the open segment.
func (w *Writer) writeLines(from io.ReaderAt, frames []frame, last int64) error {
	decoder, err := newDecoder()
	if err != nil {
		return err
	}
	defer decoder.Close()
	for _, fr := range frames {
		if fr.magic != frameMagic && fr.magic != 0 || fr.raw == 0 {
			continue
		}
		lines, err := readFrame(from, fr, decoder)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		for line := range bytes.Lines(lines) {
			id, err := lineID(line)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			if id.Seq > last {
				return nil
			}
			w.lines = append(w.lines, line...)
			if w.inLines++; len(w.lines) >= frameBytes || w.inLines >= frameEvents {
				if err := w.writeFrame(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Cut makes the archive end at an event, because Redis has lost the events after it. What it cut off
// stays in the folder set-aside, which the program never deletes.
func (w *Writer) Cut(to events.ID, at time.Time) error {
	if err := w.Commit(); err != nil {
		return err
	}
	lost := w.Last()
	if to.Seq >= lost.Seq {
		return fmt.Errorf("cut the archive at %s: it ends at %s", to, lost)
	}
	m := w.copyManifest()
	m.Rollbacks = append(m.Rollbacks, Rollback{At: at.UTC().Truncate(time.Millisecond), Kept: to, Lost: lost, Aside: asideOf(m.Generation + 1)})
	m.Boundary = min(m.Boundary, to.Seq)
	m.Flushes = slices.DeleteFunc(m.Flushes, func(seq int64) bool { return seq > to.Seq })
	m.Gaps = slices.DeleteFunc(m.Gaps, func(g Gap) bool { return g.From > to.Seq })
	cut, first := "", to.Seq+1
	if w.seg.count > 0 && w.seg.first.Seq <= to.Seq {
		cut, first = m.Open.File, w.seg.first.Seq
	}
	kept := m.Segments[:0]
	for _, s := range m.Segments {
		switch {
		case s.Last.Seq <= to.Seq:
			kept = append(kept, s)
		case s.First.Seq <= to.Seq:
			cut, first = s.File, s.First.Seq
		}
	}
	m.Segments = kept
	m.Open = Pending{File: segmentName(first, len(m.Rollbacks)), Next: first}
	if cut != "" {
		if err := w.copyBeginning(cut, m.Open.File, to.Seq); err != nil {
			return err
		}
	}
	if err := w.replace(m); err != nil {
		return err
	}
	if w.seg.file != nil {
		_ = w.seg.file.Close() // it is on the disk
		w.seg.file = nil
	}
	w.boundary = 0
	if err := w.load(-1); err != nil {
		return w.fail(err)
	}
	return nil
}

// copyBeginning writes the events of a segment up to a seq into a new file.
func (w *Writer) copyBeginning(from, to string, last int64) error {
	if w.seg.file != nil {
		_ = w.seg.file.Close() // it is committed
	}
	w.begin()
	// A file of an attempt that did not end.
	if err := w.disk.Remove(to); err != nil {
		return w.fail(err)
	}
	old, err := w.disk.Create(from)
	if err != nil {
		return w.fail(err)
	}
	defer old.Close()
	size, err := old.Size()
	if err != nil {
		return w.fail(err)
	}
	frames, err := walk(old, size)
	if err != nil {
		return w.fail(fmt.Errorf("%s: %w: %w", from, ErrDamaged, err))
	}
	if w.seg.file, err = w.disk.Create(to); err != nil {
		return w.fail(err)
	}
	w.seg.hash = sha256.New()
	if err := w.copyLines(old, frames, last); err != nil {
		return w.fail(err)
	}
	if err := errors.Join(w.seg.file.Sync(), w.disk.Sync()); err != nil {
		return w.fail(err)
	}
	return nil
}
