package archive

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/claudebench/claudebench/events"
)

func TestWhatWasWrittenIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := OpenWriter(dir, config)
	must(t, err)
	a, err := Open(dir)
	must(t, err)
	defer a.Close()
	same(t, a, 1, 0, event)
	fill(t, w, 5)
	same(t, a, 1, 5, event) // while the Writer writes
	fill(t, w, 500)
	same(t, a, 1, 500, event)
	if m := w.Manifest(); len(m.Segments) < 3 || m.Boundary == 0 || m.Segments[0].Types["task.created"] == 0 {
		t.Errorf("manifest %+v", m)
	}
	must(t, w.Close())
	w, err = OpenWriter(dir, config)
	must(t, err)
	if w.Last() != event(500).ID || w.Dropped() != 0 || w.boundary != 500 {
		t.Errorf("after a restart the archive ends at %s, %d bytes dropped, boundary %d", w.Last(), w.Dropped(), w.boundary)
	}
	fill(t, w, 600)
	must(t, w.CloseSegment())
	must(t, w.Close())
	same(t, a, 1, 600, event)

	for seq := int64(1); seq <= 601; seq++ {
		floor, err := a.Floor(t.Context(), event(seq).ID)
		if want := event(min(seq, 600)).ID; err != nil || floor != want {
			t.Fatalf("floor of %d is %s, %v", seq, floor, err)
		}
	}
	if floor, err := a.Floor(t.Context(), events.ID{MS: 5}); err != nil || !floor.IsZero() {
		t.Errorf("before everything: %s, %v", floor, err)
	}
	if list, err := a.From(t.Context(), 100, 103, 50); err != nil || len(list) != 3 || list[0].ID.Seq != 100 {
		t.Errorf("%v, %v", list, err)
	}
}

// The format is that of docs/archive.md: other programs read it.
func TestOtherProgramsReadIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := OpenWriter(dir, config)
	must(t, err)
	fill(t, w, 300)
	must(t, w.Close())
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	must(t, err)
	var all bytes.Buffer
	for _, name := range files { // in the order of the events
		text, err := os.ReadFile(name)
		must(t, err)
		all.Write(text)
	}
	d, err := zstd.NewReader(&all) // as zstdcat does: frame by frame, whatever they are for
	must(t, err)
	defer d.Close()
	out, err := io.ReadAll(d)
	must(t, err)
	seq := int64(0)
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		seq++
		if !json.Valid(lines.Bytes()) {
			t.Errorf("line %d is no JSON: %s", seq, lines.Text())
		}
	}
	if seq != 300 {
		t.Errorf("%d lines", seq)
	}
}

func TestOneWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := OpenWriter(dir, config)
	must(t, err)
	var inUse *InUseError
	if _, err := OpenWriter(dir, config); !errors.As(err, &inUse) || inUse.PID != os.Getpid() {
		t.Errorf("a second Writer: %v", err)
	}
	must(t, w.Close())
	other := config
	other.Log = "log-2"
	if _, err := OpenWriter(dir, other); !errors.Is(err, events.ErrForeignLog) {
		t.Errorf("another log: %v", err)
	}
	other.Log = ""
	if _, err := OpenWriter(dir, other); err == nil {
		t.Error("a log without an identity is archived")
	}
	// A lock that does not work, as on some network file systems: the generation tells.
	w, err = OpenWriter(dir, config)
	must(t, err)
	second, err := open(dir, folder(dir), config)
	must(t, err)
	fill(t, second, 3)
	must(t, second.CloseSegment())
	must(t, w.Append(event(1)))
	if err := w.CloseSegment(); !errors.Is(err, ErrFailed) {
		t.Errorf("a second program has written the manifest: %v", err)
	}
	must(t, second.Close())
	_ = w.Close()
}

func TestEventsComeInOrder(t *testing.T) {
	t.Parallel()
	w, err := OpenWriter(t.TempDir(), config)
	must(t, err)
	fill(t, w, 20)
	early := event(21)
	early.ID.MS -= 1000
	for _, e := range []events.Entry{event(20), event(22), early} {
		if err := w.Append(e); err == nil {
			t.Errorf("%s follows %s", e.ID, w.Last())
		}
	}
	must(t, w.Append(event(21)))
	must(t, w.Close())
}

func TestGapsAndFlushes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := OpenWriter(dir, config)
	must(t, err)
	must(t, w.Skip(40, GapTrimmed)) // the log's beginning: no gap
	fill(t, w, 60)
	must(t, w.Append(flushed(61)))
	must(t, w.Commit())
	must(t, w.Skip(70, GapFlushed))
	fill(t, w, 80)
	must(t, w.Close())
	m := w.Manifest()
	if len(m.Gaps) != 1 || m.Gaps[0] != (Gap{62, 69, GapFlushed}) || len(m.Flushes) != 1 || m.Flushes[0] != 61 {
		t.Errorf("gaps %v, flushes %v", m.Gaps, m.Flushes)
	}
	a, err := Open(dir)
	must(t, err)
	defer a.Close()
	var seqs []int64
	for seq := int64(1); ; {
		list, err := a.From(t.Context(), seq, 1<<62, 1000)
		must(t, err)
		if len(list) == 0 {
			break
		}
		seqs = append(seqs, list[0].ID.Seq, list[len(list)-1].ID.Seq)
		seq = seqs[len(seqs)-1] + 1
	}
	if want := []int64{40, 60, 61, 61, 70, 80}; !equal(seqs, want) {
		t.Errorf("runs %v, want %v", seqs, want)
	}
	if at, err := a.Flushed(t.Context()); err != nil || at != 61 {
		t.Errorf("flushed at %d, %v", at, err)
	}
}

func equal(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// A fleet with little to do commits each event. The closed segment has few frames all the same.
func TestSmallFramesArePacked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := OpenWriter(dir, config)
	must(t, err)
	for seq := int64(1); seq <= 30; seq++ {
		must(t, w.Append(event(seq)))
		must(t, w.Commit())
	}
	before := w.Bytes()
	must(t, w.CloseSegment())
	if after := w.Bytes(); after > before/2 {
		t.Errorf("%d bytes, and packed %d", before, after)
	}
	must(t, w.Close())
	a, err := Open(dir)
	must(t, err)
	defer a.Close()
	same(t, a, 1, 30, event)
}

// Any change of a closed segment is found, and its file is named.
func TestDamageIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := OpenWriter(dir, config)
	must(t, err)
	fill(t, w, 100)
	must(t, w.CloseSegment())
	must(t, w.Close())
	name := w.Manifest().Segments[0].File
	path := filepath.Join(dir, name)
	right, err := os.ReadFile(path)
	must(t, err)
	damage := map[string][]byte{"shorter": right[:len(right)-1], "longer": append(bytes.Clone(right), 0), "empty": {}}
	for i := 0; i < len(right); i += max(1, len(right)/50) {
		flipped := bytes.Clone(right)
		flipped[i] ^= 0x40
		damage["bit at "+string(rune('0'+i%10))+strings.Repeat("+", i%37)] = flipped
	}
	for what, text := range damage {
		must(t, os.WriteFile(path, text, 0o600))
		a, err := Open(dir)
		must(t, err)
		if err := a.Check(t.Context(), nil); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", what, err)
		}
		// Reading either fails or returns what was written.
		if list, err := a.From(t.Context(), 1, 1<<62, 10); err == nil {
			for _, e := range list {
				if want := event(e.ID.Seq); string(e.Raw) != string(want.Raw) {
					t.Errorf("%s: event %s is %s", what, e.ID, e.Raw)
				}
			}
		} else if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", what, err)
		}
		must(t, a.Close())
	}
	must(t, os.Remove(path))
	a, err := Open(dir)
	must(t, err)
	if _, err := a.From(t.Context(), 1, 1<<62, 10); !errors.Is(err, ErrDamaged) {
		t.Errorf("without the file: %v", err)
	}
	must(t, os.Remove(filepath.Join(dir, manifestName)))
	if _, err := Open(dir); !errors.Is(err, ErrNoArchive) {
		t.Errorf("without a manifest: %v", err)
	}
	if _, err := OpenWriter(dir, config); !errors.Is(err, ErrDamaged) {
		t.Errorf("segments without a manifest are overwritten: %v", err)
	}
}

// Readers follow a Writer at full speed.
func TestReadersBesideTheWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := OpenWriter(dir, config)
	must(t, err)
	const end = 2000
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			a, err := Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer a.Close()
			for seq := int64(1); seq <= end && t.Context().Err() == nil; {
				list, err := a.From(t.Context(), seq, 1<<62, 50)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range list {
					if e.ID != event(seq).ID {
						t.Errorf("%s at %d", e.ID, seq)
						return
					}
					seq++
				}
			}
		})
	}
	fill(t, w, end)
	readers.Wait()
	must(t, w.Close())
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, to := range []int64{0, 1, 37, 99, 100, 150, 199} {
		dir := t.TempDir()
		w, err := OpenWriter(dir, config)
		must(t, err)
		fill(t, w, 100)
		must(t, w.CloseSegment())
		fill(t, w, 200)
		var kept events.ID
		if to > 0 {
			kept = event(to).ID
		}
		must(t, w.Cut(kept, time.Now()))
		if w.Last() != kept || w.Committed() != kept {
			t.Errorf("cut at %s: the archive ends at %s", kept, w.Last())
		}
		if r := w.Manifest().Rollbacks; len(r) != 1 || r[0].Kept != kept || r[0].Lost != event(200).ID {
			t.Errorf("rollbacks %+v", r)
		}
		aside, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(w.Manifest().Rollbacks[0].Aside), "*"))
		if must(t, err); len(aside) == 0 {
			t.Errorf("cut at %d: nothing was set aside", to)
		}
		// Other events follow.
		later := func(seq int64) events.Entry {
			e := event(seq)
			if seq > to {
				return events.DecodeEntry(events.ID{MS: e.ID.MS + 5000, Seq: seq}, []byte("other"))
			}
			return e
		}
		for seq := to + 1; seq <= 230; seq++ {
			must(t, w.Append(later(seq)))
		}
		must(t, w.Close())
		a, err := Open(dir)
		must(t, err)
		same(t, a, 1, 230, later)
		must(t, a.Close())
	}
}
