package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/claudebench/claudebench/events"
)

// memory is a storage that knows what a crash would leave: what was synced.
type memory struct {
	names   map[string]*inode
	durable map[string]*inode // names that are on the disk
	left    int               // operations until one fails; negative never
	fault   fault
	once    bool // only that operation fails
	failed  bool
}

type inode struct{ data, synced []byte }

// fault is how an operation fails.
type fault int

const (
	before  fault = iota // without an effect
	partial              // a write writes half
	after                // with its effect, before the caller knows
	faults
)

var errDisk = errors.New("no space left on device")

func newMemory() *memory {
	return &memory{names: map[string]*inode{}, durable: map[string]*inode{}, left: -1}
}

// do runs an operation unless it is the one that fails.
func (m *memory) do(op func(), half func()) error {
	if m.failed && !m.once {
		return errDisk
	}
	if m.left != 0 {
		m.left--
		op()
		return nil
	}
	m.failed, m.left = true, -1
	switch m.fault {
	case partial:
		half()
	case after:
		op()
	}
	return errDisk
}

// crash leaves what was synced, and with more also the rest, which the system may have written.
func (m *memory) crash(more bool) *memory {
	next := newMemory()
	names := m.durable
	if more {
		names = m.names
	}
	for name, i := range names {
		data := i.synced
		if more {
			data = i.data
		}
		next.names[name] = &inode{bytes.Clone(data), bytes.Clone(data)}
	}
	next.durable = maps.Clone(next.names)
	return next
}

func (m *memory) fs() fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, i := range m.names {
		fsys[name] = &fstest.MapFile{Data: i.data, Mode: 0o600}
	}
	return fsys
}

func (m *memory) Open(name string) (fs.File, error) { return m.fs().Open(name) }

func (m *memory) Create(name string) (file, error) {
	err := m.do(func() {
		if m.names[name] == nil {
			m.names[name] = &inode{}
		}
	}, func() {})
	if err != nil {
		return nil, err
	}
	return &memoryFile{m, m.names[name]}, nil
}

func (m *memory) Rename(from, to string) error {
	return m.do(func() { m.names[to] = m.names[from]; delete(m.names, from) }, func() {})
}

func (m *memory) Remove(name string) error {
	return m.do(func() { delete(m.names, name) }, func() {})
}
func (m *memory) Mkdir(string) error { return m.do(func() {}, func() {}) }
func (m *memory) Sync() error {
	return m.do(func() { m.durable = maps.Clone(m.names) }, func() {})
}

type memoryFile struct {
	m *memory
	i *inode
}

func (f *memoryFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(f.i.data).ReadAt(p, off)
}

func (f *memoryFile) WriteAt(p []byte, off int64) (int, error) {
	write := func(p []byte) {
		data := bytes.Clone(f.i.data)
		if grow := int(off) + len(p) - len(data); grow > 0 {
			data = append(data, make([]byte, grow)...)
		}
		copy(data[off:], p)
		f.i.data = data
	}
	if err := f.m.do(func() { write(p) }, func() { write(p[:len(p)/2]) }); err != nil {
		return 0, err
	}
	return len(p), nil
}
func (f *memoryFile) Close() error { return nil }
func (f *memoryFile) Truncate(size int64) error {
	return f.m.do(func() { f.i.data = bytes.Clone(f.i.data[:min(size, int64(len(f.i.data)))]) }, func() {})
}

func (f *memoryFile) Sync() error {
	return f.m.do(func() { f.i.synced = bytes.Clone(f.i.data) }, func() {
		f.i.synced = bytes.Clone(f.i.data[:max(len(f.i.data)/2, min(len(f.i.synced), len(f.i.data)))])
	})
}
func (f *memoryFile) Size() (int64, error) { return int64(len(f.i.data)), nil }

const lastOfRun = 60

// at returns the events of the run: the archive begins at 5, and 31 is a flush.
func at(seq int64) events.Entry {
	if seq == 31 {
		return flushed(seq)
	}
	return event(seq)
}

// run appends the events after those that the archive has, with commits, closed segments, packed ones
// and a flush. It returns the last event that was certainly on the disk.
func run(w *Writer) (safe int64, err error) {
	safe = w.Last().Seq
	if w.Next() < 5 {
		if err := w.Skip(5, GapTrimmed); err != nil {
			return safe, err
		}
	}
	for seq := w.Next(); seq <= lastOfRun; seq++ {
		if err := w.Append(at(seq)); err != nil {
			return safe, err
		}
		safe = max(safe, w.Committed().Seq)
		if seq%4 == 0 {
			w.Bound(seq)
			if err := w.Commit(); err != nil {
				return safe, err
			}
			safe = seq
		}
	}
	if err := w.CloseSegment(); err != nil {
		return safe, err
	}
	return lastOfRun, nil
}

var crashConfig = WriterConfig{Log: "log-1", SegmentBytes: 2500}

// Whatever operation is the last one before the process or the machine ends, what was committed is
// there at the next start, nothing else is wrong, and the Writer continues.
func TestCrashes(t *testing.T) {
	t.Parallel()
	for kind := range faults {
		for _, more := range []bool{false, true} {
			for n, done := 0, false; !done; n++ {
				disk := newMemory()
				disk.left, disk.fault = n, kind
				safe := int64(0)
				w, err := open("", disk, crashConfig)
				if err == nil {
					safe, err = run(w)
				}
				done = err == nil
				what := fmt.Sprintf("fault %d at operation %d, more %t", kind, n, more)
				disk = disk.crash(more)
				if w, err = open("", disk, crashConfig); err != nil {
					t.Fatalf("%s: open: %v", what, err)
				}
				if w.Last().Seq < safe {
					t.Fatalf("%s: the archive ends at %s, and %d was committed", what, w.Last(), safe)
				}
				if a, err := New(disk); err != nil {
					t.Fatalf("%s: %v", what, err)
				} else if w.Last().Seq > 0 {
					same(t, a, 5, w.Last().Seq, at)
				}
				if _, err := run(w); err != nil {
					t.Fatalf("%s: continue: %v", what, err)
				}
				a, err := New(disk.crash(false))
				must(t, err)
				same(t, a, 5, lastOfRun, at)
				if m := w.Manifest(); len(m.Segments) < 3 || len(m.Flushes) != 1 || len(m.Gaps) != 0 || m.Boundary < 56 {
					t.Fatalf("%s: %+v", what, m)
				}
				for name := range disk.names {
					if strings.HasSuffix(name, newSuffix) || strings.HasPrefix(name, asideName) {
						t.Fatalf("%s: %s is left", what, name)
					}
				}
			}
		}
	}
}

// A write that fails, because the disk is full, costs nothing once there is space again.
func TestFailuresPass(t *testing.T) {
	t.Parallel()
	for kind := range faults {
		for n, done := 0, false; !done; n++ {
			disk := newMemory()
			w, err := open("", disk, crashConfig)
			must(t, err)
			disk.left, disk.fault, disk.once = n, kind, true
			what := fmt.Sprintf("fault %d at operation %d", kind, n)
			safe, err := run(w)
			if done = err == nil; !done {
				if err := w.Append(at(w.Next())); !errors.Is(err, ErrFailed) {
					t.Fatalf("%s: it goes on: %v", what, err)
				}
				must(t, w.Reset())
				if w.Last().Seq < safe {
					t.Fatalf("%s: the archive ends at %s, and %d was committed", what, w.Last(), safe)
				}
				if _, err = run(w); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
			a, err := New(disk.crash(false))
			must(t, err)
			same(t, a, 5, lastOfRun, at)
		}
	}
}

// A rollback that is interrupted has happened, or has not.
func TestCrashesOfACut(t *testing.T) {
	t.Parallel()
	for kind := range faults {
		for _, more := range []bool{false, true} {
			for n, done := 0, false; !done; n++ {
				disk := newMemory()
				w, err := open("", disk, crashConfig)
				must(t, err)
				_, err = run(w)
				must(t, err)
				disk.left, disk.fault = n, kind
				done = w.Cut(at(20).ID, time.Now()) == nil
				disk = disk.crash(more)
				what := fmt.Sprintf("fault %d at operation %d, more %t", kind, n, more)
				if w, err = open("", disk, crashConfig); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				last := w.Last().Seq
				if last != 20 && (done || last != lastOfRun) {
					t.Fatalf("%s: the archive ends at %d", what, last)
				}
				a, err := New(disk)
				must(t, err)
				same(t, a, 5, last, at)
				_, err = run(w)
				must(t, err)
				same(t, a, 5, lastOfRun, at)
			}
		}
	}
}
