package archive

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/claudebench/claudebench/events"
)

// CloseSegment closes the open segment, so that it never changes again. It does nothing if there is
// no event in it.
func (w *Writer) CloseSegment() error {
	if err := w.usable(); err != nil {
		return err
	}
	if w.seg.count == 0 {
		return nil
	}
	return w.closeWith(func(*Manifest) {}, w.Next())
}

// Skip notes that the events before the one with seq next are in no place, and continues there. In
// an empty archive they are no gap.
func (w *Writer) Skip(next int64, reason GapReason) error {
	if err := w.usable(); err != nil {
		return err
	}
	from := w.Next()
	if next < from {
		return fmt.Errorf("skip to seq %d: the archive ends at %s", next, w.Last())
	}
	if next == from {
		return nil
	}
	return w.closeWith(func(m *Manifest) {
		if w.Last().Seq > 0 {
			m.Gaps = append(m.Gaps, Gap{From: from, To: next - 1, Reason: reason})
		}
	}, next)
}

// closeWith closes the open segment, if it has events, and replaces the manifest with one that change
// has changed. The next segment begins with seq next.
func (w *Writer) closeWith(change func(*Manifest), next int64) error {
	if err := w.Commit(); err != nil {
		return err
	}
	m := w.copyManifest()
	if w.seg.count > 0 {
		if w.seg.raw/int64(len(w.seg.frames)) < smallFrame && len(w.seg.frames) > 1 {
			if err := w.repack(); err != nil {
				return err
			}
		}
		if _, err := w.write(seekTable(w.seg.frames), 0); err != nil {
			return err
		}
		if err := w.seg.file.Sync(); err != nil {
			return w.fail(err)
		}
		s := &w.seg
		m.Segments = append(m.Segments, Segment{
			File: m.Open.File, First: s.first, Last: s.last, Count: s.count, Bytes: s.size, Raw: s.raw,
			SHA: fmt.Sprintf("%x", s.hash.Sum(nil)), Types: s.types,
		})
	}
	m.Boundary = max(m.Boundary, w.seg.boundary)
	m.Open = Pending{File: segmentName(next, len(m.Rollbacks)), Next: next}
	change(m)
	if err := w.replace(m); err != nil {
		return err
	}
	if w.seg.file != nil {
		if err := w.seg.file.Close(); err != nil {
			w.seg.file = nil
			return w.fail(err)
		}
	}
	w.begin()
	return nil
}

// begin starts with an empty open segment.
func (w *Writer) begin() {
	w.seg = segment{types: map[events.Type]int64{}, hash: sha256.New()}
	w.written = w.seg.keep()
	w.lines, w.inLines = w.lines[:0], 0
}

func (w *Writer) copyManifest() *Manifest {
	m := *w.manifest
	m.Segments = append([]Segment{}, m.Segments...)
	m.Flushes = append([]int64{}, m.Flushes...)
	m.Gaps = append([]Gap{}, m.Gaps...)
	m.Rollbacks = append([]Rollback{}, m.Rollbacks...)
	return &m
}

// replace replaces the manifest on the disk.
func (w *Writer) replace(m *Manifest) error {
	before, err := readManifest(w.disk)
	switch {
	case errors.Is(err, ErrNoArchive) && w.manifest == nil:
	case err != nil:
		return w.fail(err)
	case w.manifest == nil || before.ID != w.manifest.ID || before.Generation != w.manifest.Generation:
		return w.fail(errors.New("another process has changed the manifest: two programs write to this folder"))
	}
	m.Format, m.LogFormat, m.Program = Format, max(m.LogFormat, events.Format), w.config.Program
	m.Generation++
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return w.fail(err)
	}
	if err := w.replaceFile(manifestName, append(text, '\n')); err != nil {
		return w.fail(err)
	}
	w.manifest = m
	return nil
}

// replaceFile replaces a file in one step.
func (w *Writer) replaceFile(name string, text []byte) error {
	f, err := w.disk.Create(name + newSuffix)
	if err != nil {
		return err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(text, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := w.disk.Rename(name+newSuffix, name); err != nil {
		return err
	}
	return w.disk.Sync()
}

// repack writes the frames of the open segment again, as few large ones. A fleet with little to do
// commits many small ones, which take several times the space.
func (w *Writer) repack() error {
	name := w.manifest.Open.File
	f, err := w.disk.Create(name + newSuffix)
	if err != nil {
		return w.fail(err)
	}
	old := w.seg
	w.seg.file, w.seg.size, w.seg.frames, w.seg.raw, w.seg.hash = f, 0, nil, 0, sha256.New()
	err = w.copyLines(old.file, old.frames, old.last.Seq)
	if err == nil && old.boundary > 0 {
		// In case the segment stays open.
		var b frame
		b, err = w.write(boundaryFrame(old.boundary), 0)
		w.seg.frames = append(w.seg.frames, b)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		// Either file is on the disk as a whole, whichever has the name if the rest fails.
		w.written.size = max(w.written.size, w.seg.size)
		err = w.disk.Rename(name+newSuffix, name)
	}
	if err == nil {
		err = w.disk.Sync()
	}
	err = errors.Join(err, old.file.Close())
	if err != nil {
		return w.fail(err)
	}
	w.written = w.seg.keep()
	return nil
}

// copyLines writes the lines of frames up to a seq into the open segment.
func (w *Writer) copyLines(from interface {
	ReadAt(p []byte, off int64) (int, error)
}, frames []frame, last int64,
) error {
	if err := w.writeLines(from, frames, last); err != nil {
		return err
	}
	return w.writeFrame()
}
