package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"sort"
	"sync"

	"github.com/claudebench/claudebench/events"
)

// handle is an open file of a segment.
type handle struct {
	name, sha string
	file      fs.File
	at        io.ReaderAt
	stat      fs.FileInfo
	end       int64       // up to where frames are known
	frames    []frame     // with lines
	firsts    []events.ID // of each frame; zero if unknown
}

// decoded are the lines of a frame.
type decoded struct {
	of    *handle
	at    int64
	lines [][]byte
}

// open returns the handle of a segment; nil if the file of the open segment does not exist yet.
func (a *Archive) open(s Segment) (*handle, error) {
	growing := s.SHA == ""
	if s.File == "" {
		return nil, nil // there is no archive yet
	}
	i := slices.IndexFunc(a.files, func(h *handle) bool { return h.name == s.File && h.sha == s.SHA })
	if i >= 0 && growing {
		stat, err := fs.Stat(a.fsys, s.File)
		if err != nil || !os.SameFile(stat, a.files[i].stat) || stat.Size() < a.files[i].end {
			a.drop(i)
			i = -1
		}
	}
	if i >= 0 {
		h := a.files[i]
		a.files = slices.Insert(slices.Delete(a.files, i, i+1), 0, h)
		if !growing {
			return h, nil
		}
		return h, a.grow(h)
	}
	f, err := a.fsys.Open(s.File)
	if growing && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, damaged(s.File, err)
	}
	h := &handle{name: s.File, sha: s.SHA, file: f}
	if err := a.index(h, s); err != nil {
		_ = f.Close()
		return nil, err
	}
	a.files = slices.Insert(a.files, 0, h)
	if len(a.files) > keptFiles {
		a.drop(keptFiles)
	}
	return h, nil
}

// index finds the frames of a file.
func (a *Archive) index(h *handle, s Segment) (err error) {
	var ok bool
	if h.at, ok = h.file.(io.ReaderAt); !ok {
		return fmt.Errorf("%s cannot be read at a position", h.name)
	}
	if h.stat, err = h.file.Stat(); err != nil {
		return err
	}
	if s.SHA == "" {
		return a.grow(h)
	}
	if h.stat.Size() != s.Bytes {
		return damaged(h.name, fmt.Errorf("it has %d bytes, and the manifest says %d", h.stat.Size(), s.Bytes))
	}
	frames, err := walk(h.at, s.Bytes)
	if err != nil {
		return damaged(h.name, err)
	}
	h.add(frames)
	if len(h.frames) == 0 {
		return damaged(h.name, errors.New("it has no events"))
	}
	h.firsts[0] = s.First
	return nil
}

// grow finds the frames that the open segment has got since.
func (a *Archive) grow(h *handle) error {
	stat, err := h.file.Stat()
	if err != nil {
		return err
	}
	if stat.Size() == h.end {
		return nil
	}
	rest := io.NewSectionReader(h.at, h.end, stat.Size()-h.end)
	frames, err := walk(rest, stat.Size()-h.end)
	if err != nil && !errors.Is(err, errTorn) { // the Writer is writing a frame
		return err
	}
	for i := range frames {
		frames[i].at += h.end
	}
	h.add(frames)
	return nil
}

func (h *handle) add(frames []frame) {
	for _, f := range frames {
		if h.end = f.at + f.size; f.magic == frameMagic {
			h.frames, h.firsts = append(h.frames, f), append(h.firsts, events.ID{})
		}
	}
}

func (a *Archive) drop(i int) {
	h := a.files[i]
	_ = h.file.Close() // only read
	a.files = slices.Delete(a.files, i, i+1)
	a.frames = slices.DeleteFunc(a.frames, func(d *decoded) bool { return d.of == h })
}

// frameOf returns the last frame whose first event fits, or the first frame.
func (a *Archive) frameOf(h *handle, fits func(first events.ID) bool) (int, error) {
	var failed error
	n := sort.Search(len(h.frames), func(i int) bool {
		id, err := a.first(h, i)
		if err != nil {
			failed = err
			return true
		}
		return !fits(id)
	})
	return max(n-1, 0), failed
}

// first returns the ID of a frame's first event.
func (a *Archive) first(h *handle, i int) (events.ID, error) {
	if h.firsts[i].IsZero() {
		if _, err := a.decode(h, i); err != nil {
			return events.ID{}, err
		}
	}
	return h.firsts[i], nil
}

// decode returns the lines of a frame.
func (a *Archive) decode(h *handle, i int) (*decoded, error) {
	at := h.frames[i].at
	if k := slices.IndexFunc(a.frames, func(d *decoded) bool { return d.of == h && d.at == at }); k >= 0 {
		d := a.frames[k]
		a.frames = slices.Insert(slices.Delete(a.frames, k, k+1), 0, d)
		return d, nil
	}
	text, err := readFrame(h.at, h.frames[i], a.decoder)
	if err != nil {
		return nil, damaged(h.name, err)
	}
	d := &decoded{of: h, at: at}
	for line := range bytes.Lines(text) {
		d.lines = append(d.lines, bytes.TrimSuffix(line, []byte{'\n'}))
	}
	if len(d.lines) == 0 {
		return nil, damaged(h.name, fmt.Errorf("the frame at byte %d is empty", at))
	}
	if h.firsts[i], err = lineID(d.lines[0]); err != nil {
		return nil, damaged(h.name, err)
	}
	if a.frames = slices.Insert(a.frames, 0, d); len(a.frames) > keptFrames {
		a.frames = a.frames[:keptFrames]
	}
	return d, nil
}

// decodeLines decodes many lines side by side.
func decodeLines(lines [][]byte) ([]events.Entry, error) {
	const many = 200 // worth a goroutine
	list := make([]events.Entry, len(lines))
	each := max(many, (len(lines)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	failed := make([]error, len(lines)/each+1)
	var parts sync.WaitGroup
	for from := 0; from < len(lines); from += each {
		parts.Go(func() {
			for i := from; i < min(from+each, len(lines)); i++ {
				e, err := decodeLine(lines[i])
				if err != nil {
					failed[from/each] = err
					return
				}
				list[i] = e
			}
		})
	}
	parts.Wait()
	return list, errors.Join(failed...)
}

func damaged(name string, err error) error {
	if errors.Is(err, ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
}
