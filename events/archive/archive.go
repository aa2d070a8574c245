package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/claudebench/claudebench/events"
)

const (
	// keptFiles and keptFrames bound what readers at different places keep open and decoded: about
	// eight MiB, if no event is larger than a frame.
	keptFiles  = 4
	keptFrames = 8
)

// Archive reads an archive, also while a Writer appends to it. It is safe for concurrent use, and
// implements [events.Archive]. Its errors wrap [ErrDamaged] if a file is not as it was written.
type Archive struct {
	fsys    fs.FS
	later   bool // there may be no archive yet
	decoder *zstd.Decoder

	mu       sync.Mutex
	manifest *Manifest
	stat     fs.FileInfo // of the manifest
	files    []*handle   // used last first
	frames   []*decoded  // used last first
}

// Open opens the archive in a folder. It does not lock the folder. The error wraps [ErrNoArchive] if
// there is no manifest.
func Open(dir string) (*Archive, error) {
	a, err := New(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("open the archive %s: %w", dir, err)
	}
	return a, nil
}

// OpenLater opens the archive in a folder that may not have one yet. Until it has, it is empty.
func OpenLater(dir string) (*Archive, error) {
	d, err := newDecoder()
	if err != nil {
		return nil, err
	}
	return &Archive{fsys: os.DirFS(dir), later: true, decoder: d}, nil
}

// New opens the archive in a file system whose files implement io.ReaderAt.
func New(fsys fs.FS) (*Archive, error) {
	d, err := newDecoder()
	if err != nil {
		return nil, err
	}
	a := &Archive{fsys: fsys, decoder: d}
	if err := a.refresh(); err != nil {
		d.Close()
		return nil, err
	}
	return a, nil
}

// Close closes the open files.
func (a *Archive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var err error
	for _, h := range a.files {
		err = errors.Join(err, h.file.Close())
	}
	a.files, a.frames = nil, nil
	return err
}

// Manifest returns the current manifest. Do not change it.
func (a *Archive) Manifest() (*Manifest, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.refresh()
	return a.manifest, err
}

// Identity returns the identity of the archived log.
func (a *Archive) Identity(context.Context) (string, error) {
	m, err := a.Manifest()
	if err != nil {
		return "", err
	}
	return m.Log, nil
}

// Flushed returns the seq of the last system.flushed in the closed segments, or just behind them; 0
// if there is none.
func (a *Archive) Flushed(context.Context) (int64, error) {
	m, err := a.Manifest()
	if err != nil || len(m.Flushes) == 0 {
		return 0, err
	}
	return m.Flushes[len(m.Flushes)-1], nil
}

// Bounds returns the first and the last event, zero if there is none.
func (a *Archive) Bounds(context.Context) (first, last events.ID, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.refresh(); err != nil {
		return events.ID{}, events.ID{}, err
	}
	if s := a.manifest.Segments; len(s) > 0 {
		first, last = s[0].First, s[len(s)-1].Last
	}
	h, err := a.open(a.openSegment())
	if err != nil || h == nil || len(h.frames) == 0 {
		return first, last, err
	}
	d, err := a.decode(h, len(h.frames)-1)
	if err != nil {
		return events.ID{}, events.ID{}, err
	}
	if last, err = lineID(d.lines[len(d.lines)-1]); err != nil {
		return events.ID{}, events.ID{}, damaged(h.name, err)
	}
	if first.IsZero() {
		first, err = a.first(h, 0)
	}
	return first, last, err
}

// Run returns the first and the last event of the newest events without a gap, zero if there is none.
func (a *Archive) Run(ctx context.Context) (first, last events.ID, err error) {
	if first, last, err = a.Bounds(ctx); err != nil || last.IsZero() {
		return first, last, err
	}
	m, err := a.Manifest()
	if err != nil {
		return events.ID{}, events.ID{}, err
	}
	for _, g := range slices.Backward(m.Gaps) {
		if g.To >= last.Seq {
			return events.ID{}, events.ID{}, nil // nothing is archived behind it yet
		}
		list, err := a.From(ctx, g.To+1, g.To+2, 1)
		if err != nil || len(list) == 0 {
			return events.ID{}, events.ID{}, err
		}
		return list[0].ID, last, nil
	}
	return first, last, nil
}

// From returns consecutive entries, beginning with the first one whose seq is at least seq. It
// returns at most limit, none with the seq before or a higher one, and perhaps fewer than there are.
func (a *Archive) From(_ context.Context, seq, before int64, limit int) ([]events.Entry, error) {
	a.mu.Lock()
	lines, name, err := a.linesFrom(seq, before, limit)
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	list, err := decodeLines(lines)
	if err != nil {
		return nil, damaged(name, err)
	}
	if len(list) > 0 && list[0].ID.Seq < seq {
		return nil, damaged(name, fmt.Errorf("seq %d is in the place of %d", list[0].ID.Seq, seq))
	}
	for i := 1; i < len(list); i++ {
		if list[i].ID.Seq != list[i-1].ID.Seq+1 {
			return nil, damaged(name, fmt.Errorf("seq %d follows %d", list[i].ID.Seq, list[i-1].ID.Seq))
		}
	}
	return list, nil
}

// linesFrom returns lines of one segment. They are copies, so that who keeps an event does not keep
// its frame.
func (a *Archive) linesFrom(seq, before int64, limit int) ([][]byte, string, error) {
	if err := a.refresh(); err != nil {
		return nil, "", err
	}
	list := a.all()
	i := sort.Search(len(list), func(i int) bool { return i == len(list)-1 || list[i].Last.Seq >= seq })
	h, err := a.open(list[i])
	if err != nil || h == nil || len(h.frames) == 0 {
		return nil, "", err
	}
	f, err := a.frameOf(h, func(id events.ID) bool { return id.Seq <= seq })
	if err != nil {
		return nil, "", err
	}
	var lines [][]byte
	size := 0
	for ; f < len(h.frames) && len(lines) < limit; f++ {
		d, err := a.decode(h, f)
		if err != nil {
			return nil, "", err
		}
		first, err := a.first(h, f)
		if err != nil {
			return nil, "", err
		}
		if first.Seq >= before {
			break
		}
		from := min(max(0, seq-first.Seq), int64(len(d.lines)))
		to := min(int64(len(d.lines)), before-first.Seq, from+int64(limit-len(lines)))
		for _, line := range d.lines[from:max(from, to)] {
			size += len(line)
			lines = append(lines, line)
		}
		if size >= 2*frameBytes {
			break
		}
	}
	memory := make([]byte, 0, size)
	for i, line := range lines {
		start := len(memory)
		memory = append(memory, line...)
		lines[i] = memory[start:len(memory):len(memory)]
	}
	return lines, h.name, nil
}

// Floor returns the ID of the last event at or before id, zero if there is none.
func (a *Archive) Floor(_ context.Context, id events.ID) (events.ID, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.refresh(); err != nil {
		return events.ID{}, err
	}
	list := a.all()
	for i, s := range slices.Backward(list) {
		if i < len(list)-1 && s.First.Compare(id) > 0 {
			continue
		}
		h, err := a.open(s)
		if err != nil {
			return events.ID{}, err
		}
		if h == nil || len(h.frames) == 0 {
			continue
		}
		first, err := a.first(h, 0)
		if err != nil {
			return events.ID{}, err
		}
		if first.Compare(id) > 0 {
			continue
		}
		f, err := a.frameOf(h, func(first events.ID) bool { return first.Compare(id) <= 0 })
		if err != nil {
			return events.ID{}, err
		}
		d, err := a.decode(h, f)
		if err != nil {
			return events.ID{}, err
		}
		var floor events.ID
		for _, line := range d.lines {
			at, err := lineID(line)
			if err != nil {
				return events.ID{}, damaged(h.name, err)
			}
			if at.Compare(id) > 0 {
				break
			}
			floor = at
		}
		return floor, nil
	}
	return events.ID{}, nil
}

// refresh reads the manifest again if its file has changed.
func (a *Archive) refresh() error {
	stat, err := fs.Stat(a.fsys, manifestName)
	if errors.Is(err, fs.ErrNotExist) && a.later {
		a.manifest = new(Manifest)
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoArchive
	}
	if err != nil {
		return err
	}
	if a.stat != nil && sameFile(a.stat, stat) {
		return nil
	}
	m, err := readManifest(a.fsys)
	if err != nil {
		return err
	}
	a.manifest, a.stat = m, stat
	return nil
}

func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// openSegment returns the open segment as one that a handle can be made of.
func (a *Archive) openSegment() Segment { return Segment{File: a.manifest.Open.File} }

// all returns all segments, the open one last.
func (a *Archive) all() []Segment {
	return append(slices.Clip(a.manifest.Segments), a.openSegment())
}
