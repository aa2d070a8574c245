package archive

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/claudebench/claudebench/events"
)

const (
	// frameBytes and frameEvents bound a frame: a reader decodes at least one.
	frameBytes  = 1 << 20
	frameEvents = 2000
	// defaultSegment is 64 MiB of lines: about 180,000 events, 5 MB on the disk.
	defaultSegment = 64 << 20
	// smallFrame is the mean size of frames below which a segment is packed again when it is closed.
	smallFrame = 64 << 10
)

// ErrFailed is wrapped by the errors of a Writer that has failed before, until Reset succeeds.
var ErrFailed = errors.New("a write to the archive has failed")

// WriterConfig says which log a Writer archives. Log is required.
type WriterConfig struct {
	Log       string // the log's identity
	Namespace string // of the log
	Program   string // the version of the program, for the manifest
	// SegmentBytes is how many bytes of lines a segment holds before it is closed; 64 MiB if it is 0.
	SegmentBytes int64
}

// Writer appends to an archive. It is not safe for concurrent use.
type Writer struct {
	dir    string
	disk   storage
	lock   *os.File // nil in tests of the storage
	config WriterConfig
	packer *zstd.Encoder
	failed error

	manifest *Manifest
	seg      segment
	written  segment // as committed
	lines    []byte  // of the next frame
	inLines  int     // how many
	boundary int64   // the newest known
	dropped  int64
}

// segment is the state of the open segment.
type segment struct {
	file     file // nil before its first frame
	fresh    bool // the file's name may not be durable yet
	size     int64
	frames   []frame
	raw      int64
	count    int64
	first    events.ID
	last     events.ID
	begun    time.Time
	boundary int64
	types    map[events.Type]int64
	hash     hash.Hash
}

// OpenWriter opens or creates the archive in a folder and locks it. It removes what an earlier
// Writer did not commit. The error is an [*InUseError] if another process writes to the folder, and
// wraps [events.ErrForeignLog] if the archive is of another log.
func OpenWriter(dir string, config WriterConfig) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	w, err := open(dir, folder(dir), config)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	w.lock = lock
	return w, nil
}

func open(dir string, disk storage, config WriterConfig) (*Writer, error) {
	if config.Log == "" {
		return nil, errors.New("open the archive: the log has no identity yet; start a coordinator first")
	}
	if config.SegmentBytes == 0 {
		config.SegmentBytes = defaultSegment
	}
	packer, err := newEncoder()
	if err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, disk: disk, config: config, packer: packer}
	if err := w.load(-1); err != nil {
		if w.seg.file != nil {
			_ = w.seg.file.Close()
		}
		return nil, fmt.Errorf("open the archive %s: %w", dir, err)
	}
	return w, nil
}

// Close commits, and unlocks the folder. The open segment stays open.
func (w *Writer) Close() error {
	err := w.failed
	if err == nil {
		err = w.Commit()
	}
	if w.seg.file != nil {
		err = errors.Join(err, w.seg.file.Close())
		w.seg.file = nil
	}
	if w.failed == nil {
		w.failed = errors.New("the archive is closed")
	}
	if w.lock != nil {
		err = errors.Join(err, w.lock.Close())
	}
	return err
}

// Manifest returns the manifest as it is on the disk. Do not change it.
func (w *Writer) Manifest() *Manifest { return w.manifest }

// Committed returns the ID of the last event that is on the disk, zero if there is none.
func (w *Writer) Committed() events.ID {
	if w.written.count > 0 {
		return w.written.last
	}
	return w.manifest.Last()
}

// Last returns the ID of the last event that was appended, zero if there is none.
func (w *Writer) Last() events.ID {
	if w.seg.count > 0 {
		return w.seg.last
	}
	return w.manifest.Last()
}

// Closed returns the ID of the last event in a closed segment.
func (w *Writer) Closed() events.ID { return w.manifest.Last() }

// Next returns the seq of the next event to append.
func (w *Writer) Next() int64 {
	if w.seg.count > 0 {
		return w.seg.last.Seq + 1
	}
	return w.manifest.Open.Next
}

// Bytes returns the size of all segments.
func (w *Writer) Bytes() int64 {
	n := w.written.size
	for _, s := range w.manifest.Segments {
		n += s.Bytes
	}
	return n
}

// OpenSince returns when the open segment got its first event in this process, zero if it has none.
func (w *Writer) OpenSince() time.Time {
	if w.seg.count == 0 {
		return time.Time{}
	}
	return w.seg.begun
}

// Dropped returns how many bytes at the end of the open segment were not whole or not right when it
// was opened. A process that was killed leaves some.
func (w *Writer) Dropped() int64 { return w.dropped }

// Append adds the next event. It is on the disk after the next Commit. An event system.flushed
// begins a segment of its own.
func (w *Writer) Append(e events.Entry) error {
	if err := w.usable(); err != nil {
		return err
	}
	if e.ID.Seq != w.Next() || e.ID.MS < w.Last().MS {
		return fmt.Errorf("archive event %s: the archive ends at %s and continues with seq %d", e.ID, w.Last(), w.Next())
	}
	if typeOf(e) == events.TypeSystemFlushed {
		if err := w.closeWith(noteFlush(e.ID.Seq), e.ID.Seq); err != nil {
			return err
		}
	}
	before := len(w.lines)
	lines, err := appendLine(w.lines, e)
	if err != nil {
		return err
	}
	w.lines = lines
	if before > 0 && len(lines) > frameBytes {
		// The event begins the next frame.
		line := lines[before:]
		w.lines = lines[:before]
		if err := w.writeFrame(); err != nil {
			return err
		}
		w.lines = append(w.lines, line...)
	}
	if w.seg.count == 0 {
		w.seg.first, w.seg.begun = e.ID, time.Now()
	}
	w.seg.last = e.ID
	w.seg.count++
	w.inLines++
	if t := typeOf(e); t != "" {
		w.seg.types[t]++
	}
	if len(w.lines) >= frameBytes || w.inLines >= frameEvents {
		if err := w.writeFrame(); err != nil {
			return err
		}
	}
	if w.seg.raw >= w.config.SegmentBytes {
		return w.CloseSegment()
	}
	return nil
}

// noteFlush adds a flush, which may be there already after a failure.
func noteFlush(seq int64) func(*Manifest) {
	return func(m *Manifest) {
		if n := len(m.Flushes); n == 0 || m.Flushes[n-1] != seq {
			m.Flushes = append(m.Flushes, seq)
		}
	}
}

// Bound records that the event with a seq was the last one of its command.
func (w *Writer) Bound(seq int64) { w.boundary = max(w.boundary, seq) }

// writeFrame writes the collected lines.
func (w *Writer) writeFrame() error {
	if len(w.lines) == 0 {
		return nil
	}
	f, err := w.write(w.packer.EncodeAll(w.lines, nil), int64(len(w.lines)))
	if err != nil {
		return err
	}
	w.seg.frames = append(w.seg.frames, f)
	w.seg.raw += f.raw
	w.lines, w.inLines = w.lines[:0], 0
	return nil
}

// write appends bytes to the open segment's file.
func (w *Writer) write(text []byte, raw int64) (frame, error) {
	if w.seg.file == nil {
		f, err := w.disk.Create(w.manifest.Open.File)
		if err != nil {
			return frame{}, w.fail(err)
		}
		w.seg.file, w.seg.fresh = f, true
	}
	if _, err := w.seg.file.WriteAt(text, w.seg.size); err != nil {
		return frame{}, w.fail(err)
	}
	w.seg.hash.Write(text)
	f := frame{at: w.seg.size, size: int64(len(text)), raw: raw}
	w.seg.size += f.size
	return f, nil
}

// Commit returns after all appended events are on the disk.
func (w *Writer) Commit() error {
	if err := w.usable(); err != nil {
		return err
	}
	if err := w.writeFrame(); err != nil {
		return err
	}
	if w.seg.count > 0 && w.boundary > max(w.seg.boundary, w.manifest.Boundary) && w.boundary <= w.seg.last.Seq {
		f, err := w.write(boundaryFrame(w.boundary), 0)
		if err != nil {
			return err
		}
		w.seg.frames = append(w.seg.frames, f)
		w.seg.boundary = w.boundary
	}
	return w.sync()
}

func (w *Writer) sync() error {
	if w.seg.size == w.written.size {
		return nil
	}
	if err := w.seg.file.Sync(); err != nil {
		return w.fail(err)
	}
	if w.seg.fresh {
		if err := w.disk.Sync(); err != nil {
			return w.fail(err)
		}
		w.seg.fresh = false
	}
	w.written = w.seg.keep()
	return nil
}

// fail makes the Writer refuse everything until Reset.
func (w *Writer) fail(err error) error {
	w.failed = fmt.Errorf("%w: %w", ErrFailed, err)
	return w.failed
}

func (w *Writer) usable() error { return w.failed }

// Reset returns to the last commit after a failure. What was appended since is gone, and must be
// appended again after Last.
func (w *Writer) Reset() error {
	if w.seg.file != nil {
		_ = w.seg.file.Close() // it may be what failed
		w.seg.file = nil
	}
	limit := int64(-1)
	committed := w.manifest.Open.File
	if m, err := readManifest(w.disk); err == nil && m.Open.File == committed {
		limit = w.written.size
	}
	if err := w.load(limit); err != nil {
		w.failed = fmt.Errorf("%w: %w", ErrFailed, err)
		return err
	}
	w.failed = nil
	return nil
}

// create writes the first manifest.
func (w *Writer) create() error {
	return w.replace(&Manifest{
		ID: rand.Text(), Log: w.config.Log, Namespace: w.config.Namespace,
		Segments: []Segment{}, Flushes: []int64{}, Gaps: []Gap{}, Rollbacks: []Rollback{},
		Open: Pending{File: segmentName(1, 0), Next: 1},
	})
}

// load reads the folder. limit is how many bytes of the open segment are certainly on the disk; -1 if
// that is unknown.
func (w *Writer) load(limit int64) error {
	if err := w.disk.Remove(manifestName + newSuffix); err != nil {
		return err
	}
	m, err := readManifest(w.disk)
	if errors.Is(err, ErrNoArchive) {
		w.manifest, w.failed = nil, nil
		if err := w.unused(); err != nil {
			return err
		}
		if err = w.create(); err == nil {
			w.begin()
		}
		return err
	}
	if err != nil {
		return err
	}
	if m.Log != w.config.Log {
		return fmt.Errorf("it is the archive of the log %s, and this Redis has the log %s: %w", m.Log, w.config.Log, events.ErrForeignLog)
	}
	w.manifest = m
	w.begin()
	if err := w.setAsideStrays(); err != nil {
		return err
	}
	return w.recover(limit)
}

// unused refuses to create a manifest beside segments, which have lost theirs.
func (w *Writer) unused() error {
	names, err := w.segmentFiles()
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("%w: it has the segment %s, but no %s", ErrDamaged, names[0], manifestName)
	}
	return err
}

func (w *Writer) segmentFiles() ([]string, error) { return fs.Glob(w.disk, "*"+suffix) }

// keep returns a copy of the state that does not share the counts.
func (s segment) keep() segment {
	s.types = maps.Clone(s.types)
	return s
}
