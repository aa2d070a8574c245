package events_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/events/archive"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/logtest"
)

// seam is a log whose beginning is in an archive only.
type seam struct {
	*logtest.Log
	t      *testing.T
	all    []events.Entry // the whole log
	writer *archive.Writer
	stored *archive.Archive
}

func newSeam(t *testing.T) *seam {
	t.Helper()
	s := &seam{Log: logtest.New(t), t: t}
	space, err := keys.New(s.Namespace)
	s.must(err)
	s.must(s.Client.HSet(t.Context(), space.Log(), "identity", "log-1").Err())
	dir := t.TempDir()
	s.writer, err = archive.OpenWriter(dir, archive.WriterConfig{Log: "log-1", SegmentBytes: 3000})
	s.must(err)
	s.stored, err = archive.OpenLater(dir)
	s.must(err)
	t.Cleanup(func() {
		s.must(s.writer.Close())
		s.must(s.stored.Close())
	})
	return s
}

func (s *seam) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// note adds to all what the log has got.
func (s *seam) note() {
	s.t.Helper()
	last := events.ID{}
	if len(s.all) > 0 {
		last = s.all[len(s.all)-1].ID
	}
	for e, err := range s.reader(nil, 1000, false).Range(s.t.Context(), events.ID{MS: last.MS, Seq: last.Seq + 1}, events.ID{}) {
		s.must(err)
		s.all = append(s.all, e)
	}
}

// archive archives the first n events of all.
func (s *seam) archive(n int) {
	s.t.Helper()
	for _, e := range s.all[s.writer.Last().Seq:max(int64(n), s.writer.Last().Seq)] {
		s.must(s.writer.Append(e))
	}
	s.must(s.writer.Commit())
}

func (s *seam) reader(a events.Archive, batch int, sinceFlush bool) *events.Reader {
	s.t.Helper()
	r, err := events.NewReader(s.Client, events.ReaderConfig{
		Namespace: s.Namespace, BatchSize: batch, Archive: a, SinceFlush: sinceFlush, Block: 10 * time.Millisecond,
		OnForeign: func(events.ForeignEntry) {}, Logger: slog.New(slog.DiscardHandler),
	})
	s.must(err)
	return r
}

// grow appends random events, with some that are malformed.
func (s *seam) grow(random *rand.Rand) {
	s.t.Helper()
	for range 1 + random.IntN(4) {
		s.Add(events.TypeTaskCreated, fmt.Sprintf(`{"text":"%d"}`, random.Int()), 1+random.IntN(12))
		if random.IntN(3) == 0 {
			s.Raw(func(events.ID) string { return "not\nan event" })
		}
	}
	s.note()
}

func (s *seam) equal(what string, got events.Entry, i int) {
	s.t.Helper()
	if want := s.all[i]; got.ID != want.ID || string(got.Raw) != string(want.Raw) || (got.Err == nil) != (want.Err == nil) {
		s.t.Fatalf("%s: event %s (%s), want %s (%s)", what, got.ID, got.Raw, want.ID, want.Raw)
	}
}

// Readers see the archive and the log in Redis as one log, wherever the log was trimmed.
func TestNoSeam(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test repeats its choices
		s := newSeam(t)
		trimmed := 0
		for range 3 {
			s.grow(random)
			s.archive(max(1, len(s.all)-random.IntN(3)))
			trimmed = max(trimmed, random.IntN(int(s.writer.Last().Seq)))
			s.Trim(s.all[trimmed].ID)
			s.check(random)
		}
	}
}

func (s *seam) check(random *rand.Rand) {
	s.t.Helper()
	ctx, n := s.t.Context(), len(s.all)
	r := s.reader(s.stored, 1+random.IntN(9), false)
	bounds, err := r.Bounds(ctx)
	s.must(err)
	last := n - 1
	for s.all[last].Err != nil {
		last--
	}
	if bounds.Base != 1 || bounds.First != s.all[0].ID || bounds.Last != s.all[last].ID || bounds.Seq != int64(n) {
		s.t.Fatalf("bounds %+v of %d events", bounds, n)
	}
	for i, e := range s.all {
		if id, err := r.Locate(ctx, int64(i+1)); e.Err == nil && (err != nil || id != e.ID) {
			s.t.Fatalf("event %d is at %s, want %s, %v", i+1, id, e.ID, err)
		}
	}
	var at events.ID
	for i := 0; i < n; {
		batch, err := r.Read(ctx, at)
		s.must(err)
		if batch.Skipped != 0 {
			s.t.Fatalf("%d events are skipped after %s", batch.Skipped, at)
		}
		for _, e := range batch.Entries {
			s.equal("read", e, i)
			i++
		}
		at = batch.Last()
	}
	for range 20 {
		from := random.IntN(n)
		to := from + random.IntN(n-from)
		lower, upper := s.all[from].ID, s.all[to].ID
		if random.IntN(2) == 0 { // times
			for from > 0 && s.all[from-1].ID.MS == lower.MS {
				from--
			}
			for to < n-1 && s.all[to+1].ID.MS == upper.MS {
				to++
			}
			lower, upper = events.ID{MS: lower.MS}, events.ID{MS: upper.MS, Seq: math.MaxInt64}
		}
		if random.IntN(4) == 0 {
			from, lower = 0, events.ID{}
		}
		if s.all[from].Err != nil {
			continue // a range that begins with an entry that is no event skips it
		}
		i := from
		for e, err := range r.Range(ctx, lower, upper) {
			s.must(err)
			if i > to {
				s.t.Fatalf("the range to %s has %s", upper, e.ID)
			}
			s.equal("range", e, i)
			i++
		}
		if i != to+1 {
			s.t.Fatalf("the range from %s to %s ends before event %d, want %d", lower, upper, i+1, to+2)
		}
		page, err := r.Page(ctx, s.all[from].ID, 3)
		s.must(err)
		for k, e := range page.Entries {
			s.equal("page", e, from+1+k)
		}
		if len(page.Entries) == 0 && from < n-1 {
			s.t.Fatalf("nothing follows %s", s.all[from].ID)
		}
		e, there, err := r.At(ctx, s.all[from].ID)
		s.must(err)
		if !there {
			s.t.Fatalf("%s is gone", s.all[from].ID)
		}
		s.equal("at", e, from)
		// The floor and the next event skip entries that are malformed only in Redis, so they are
		// asked about others.
		if s.all[from].Err == nil {
			floor, err := r.Floor(ctx, s.all[from].ID)
			s.must(err)
			if floor != s.all[from].ID {
				s.t.Fatalf("floor of %s is %s", s.all[from].ID, floor)
			}
		}
		if from < n-1 && s.all[from+1].Err == nil {
			next, err := r.Following(ctx, s.all[from].ID)
			s.must(err)
			if next != s.all[from+1].ID {
				s.t.Fatalf("%s follows %s", next, s.all[from].ID)
			}
		}
	}
	wrong := events.ID{MS: s.all[0].ID.MS - 5, Seq: 1}
	if bounds.Live > 2 {
		var rolledBack *events.RolledBackError
		if _, err := r.Page(ctx, wrong, 5); !errors.As(err, &rolledBack) {
			s.t.Fatalf("a checkpoint of a lost event: %v", err)
		}
	}
}

// A trim overtakes a reader.
func TestTrimWhileReading(t *testing.T) {
	t.Parallel()
	s := newSeam(t)
	s.Add(events.TypeTaskCreated, "{}", 100)
	s.note()
	s.archive(90)
	i := 0
	for e, err := range s.reader(s.stored, 5, false).Range(t.Context(), events.ID{}, events.ID{}) {
		s.must(err)
		s.equal("range", e, i)
		if i++; i%20 == 3 {
			s.Trim(s.all[min(i+10, 89)].ID)
		}
	}
	if i != 100 {
		t.Errorf("%d events", i)
	}
}

// A reader with SinceFlush does not get what a flush has removed, though the archive has it.
func TestSinceFlush(t *testing.T) {
	t.Parallel()
	s := newSeam(t)
	s.Add(events.TypeTaskCreated, "{}", 20)
	s.note()
	s.archive(20)
	s.Flush()
	s.Add(events.TypeTaskCreated, "{}", 20)
	s.note()
	check := func() {
		t.Helper()
		r := s.reader(s.stored, 50, true)
		batch, err := r.Page(t.Context(), s.all[4].ID, 50)
		s.must(err)
		if gaps := batch.Gaps(); len(batch.Entries) == 0 || batch.Entries[0].ID != s.all[20].ID || len(gaps) != 1 || gaps[0] != (events.Gap{From: 6, To: 20, Reason: events.GapFlushed}) {
			t.Errorf("%d entries, gaps %+v", len(batch.Entries), gaps)
		}
		if _, there, err := r.At(t.Context(), s.all[4].ID); there || err != nil {
			t.Errorf("an event from before the flush is there: %v", err)
		}
		if floor, err := r.Floor(t.Context(), s.all[4].ID); !floor.IsZero() || err != nil {
			t.Errorf("floor %s, %v", floor, err)
		}
		whole, err := s.reader(s.stored, 50, false).Page(t.Context(), s.all[4].ID, 3)
		s.must(err)
		s.equal("without SinceFlush", whole.Entries[0], 5)
	}
	check()
	s.archive(41)
	check()
	s.Trim(s.all[30].ID)
	s.must(s.writer.CloseSegment())
	check()
}

// What neither Redis nor the archive has is a gap as before, and another log's archive is refused.
func TestArchiveLacksEvents(t *testing.T) {
	t.Parallel()
	s := newSeam(t)
	s.Add(events.TypeTaskCreated, "{}", 40)
	s.note()
	r := s.reader(s.stored, 50, false)
	s.Trim(s.all[9].ID)
	batch, err := r.Read(t.Context(), s.all[1].ID) // the archive is empty
	s.must(err)
	if batch.Skipped != 7 || batch.Entries[0].ID != s.all[9].ID {
		t.Errorf("%d skipped", batch.Skipped)
	}
	s.archive(20)
	s.Trim(s.all[29].ID)
	for batch = (events.Batch{After: s.all[1].ID}); batch.Last().Seq < 20; {
		batch, err = r.Read(t.Context(), batch.Last())
		s.must(err)
		if batch.Skipped != 0 {
			t.Errorf("%d skipped before %s", batch.Skipped, batch.Entries[0].ID)
		}
	}
	if batch.Last() != s.all[19].ID {
		t.Errorf("the archive ends at %s", batch.Last())
	}
	batch, err = r.Read(t.Context(), batch.Last())
	s.must(err)
	if batch.Skipped != 9 || batch.Entries[0].ID != s.all[29].ID {
		t.Errorf("%d skipped", batch.Skipped)
	}
	if b, err := r.Bounds(t.Context()); err != nil || b.Base != 30 {
		t.Errorf("bounds %+v, %v", b, err)
	}
	space, err := keys.New(s.Namespace)
	s.must(err)
	s.must(s.Client.HSet(t.Context(), space.Log(), "identity", "log-2").Err())
	if _, err := s.reader(s.stored, 50, false).Read(t.Context(), s.all[1].ID); !errors.Is(err, events.ErrForeignLog) {
		t.Errorf("another log: %v", err)
	}
}
