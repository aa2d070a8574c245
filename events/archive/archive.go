package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
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

// Check reads every closed segment and compares it with the manifest. The error names the first
// file that differs. done, if it is not nil, is called after each segment.
func (a *Archive) Check(ctx context.Context, done func(Segment)) error {
	m, err := a.Manifest()
	if err != nil {
		return err
	}
	for _, s := range m.Segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := a.check(s); err != nil {
			return damaged(s.File, err)
		}
		if done != nil {
			done(s)
		}
	}
	return nil
}

func (a *Archive) check(s Segment) error {
	f, err := a.fsys.Open(s.File)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return err
	}
	if got := fmt.Sprintf("%x", sum.Sum(nil)); size != s.Bytes || got != s.SHA {
		return fmt.Errorf("it has %d bytes with the SHA-256 %s, and the manifest says %d bytes with %s", size, got, s.Bytes, s.SHA)
	}
	at, ok := f.(io.ReaderAt)
	if !ok {
		return errors.New("it cannot be read at a position")
	}
	frames, err := walk(at, size)
	if err != nil {
		return err
	}
	next, last := s.First.Seq, events.ID{}
	for _, fr := range frames {
		if fr.magic != frameMagic {
			continue
		}
		lines, err := readFrame(at, fr, a.decoder)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(lines) {
			id, err := lineID(line)
			if err != nil {
				return err
			}
			if id.Seq != next || id.MS < last.MS {
				return fmt.Errorf("event %s follows %s", id, last)
			}
			if next == s.First.Seq && id != s.First {
				return fmt.Errorf("it begins with event %s, and the manifest says %s", id, s.First)
			}
			next, last = next+1, id
		}
	}
	if last != s.Last {
		return fmt.Errorf("it ends with event %s, and the manifest says %s", last, s.Last)
	}
	return nil
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
