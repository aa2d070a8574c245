package archiver

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/events/archive"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/logtest"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/lua"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// bundle is a log and the settings of its archiver.
type bundle struct {
	*logtest.Log
	t     *testing.T
	space keys.Space
	cfg   Config
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return setupOn(t, testenv.Client(t))
}

func setupOn(t *testing.T, client redis.UniversalClient) *bundle {
	t.Helper()
	l := logtest.On(t, client)
	space, err := keys.New(l.Namespace)
	must(t, err)
	b := &bundle{Log: l, t: t, space: space}
	b.set("identity", "log-1")
	b.cfg = Config{
		Client: l.Client, Scripts: lua.NewRunner(l.Client).On(space.Log()), Keys: space, Dir: t.TempDir(),
		Logger: slog.New(slog.DiscardHandler), segmentBytes: 20_000, retry: 20 * time.Millisecond,
	}
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) set(fields ...any) {
	b.t.Helper()
	must(b.t, b.Client.HSet(b.t.Context(), b.space.Log(), fields...).Err())
}

func (b *bundle) field(name string) string {
	return b.Client.HGet(b.t.Context(), b.space.Log(), name).Val()
}

func (b *bundle) add(n int) []events.ID {
	b.t.Helper()
	return b.Add(events.TypeTaskCreated, `{"text":"`+strings.Repeat("x", 50)+`"}`, n)
}

// once archives what is in the log.
func (b *bundle) once(change func(*Config)) error {
	b.t.Helper()
	cfg := b.cfg
	if change != nil {
		change(&cfg)
	}
	a, err := New(cfg)
	must(b.t, err)
	return a.Follow(b.t.Context(), true)
}

// run archives until the test ends or stop is called.
func (b *bundle) run() (a *Archiver, stop func()) {
	b.t.Helper()
	a, err := New(b.cfg)
	must(b.t, err)
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	stop = func() { cancel(); <-done }
	b.t.Cleanup(stop)
	return a, stop
}

// reached waits until the log's hash says that an event is archived.
func (b *bundle) reached(id events.ID) {
	b.t.Helper()
	testenv.Eventually(b.t, 20*time.Second, func() (bool, string) { return b.field("archived") == id.String(), b.field("archived") })
}

// equal fails unless the archive ends with exactly the events of the log.
func (b *bundle) equal() *archive.Manifest {
	b.t.Helper()
	stored, err := archive.Open(b.cfg.Dir)
	must(b.t, err)
	defer stored.Close()
	must(b.t, stored.Check(b.t.Context(), nil))
	live := b.Entries()
	found := 0
	for seq := int64(1); ; {
		list, err := stored.From(b.t.Context(), seq, 1<<62, 1000)
		must(b.t, err)
		if len(list) == 0 {
			break
		}
		for _, e := range list {
			if text, there := live[e.ID.String()]; there {
				if found++; text != string(e.Raw) {
					b.t.Errorf("event %s is archived as %s", e.ID, e.Raw)
				}
			}
			seq = e.ID.Seq + 1
		}
	}
	if found != len(live) {
		b.t.Errorf("%d of the log's %d events are archived", found, len(live))
	}
	m, err := stored.Manifest()
	must(b.t, err)
	return m
}

func TestFollowsTheLog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add(300)
	last := b.Raw(func(events.ID) string { return "not an\nevent" })
	_, stop := b.run()
	b.reached(last)
	stop()
	b.equal()
}

// A segment is closed when the retention of the log waits for it, and not before.
func TestClosesForTheRetention(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := b.add(100)
	must(t, b.once(nil))
	if closed := b.field("archivedClosed"); closed != "0-0" {
		t.Errorf("without a retention, the segment is closed at %s", closed)
	}
	keep := func(id events.ID) { must(t, b.Client.HSet(t.Context(), b.cfg.Keys.Log(), "trimTo", id.String()).Err()) }
	keep(ids[40])
	must(t, b.once(nil))
	if closed := b.field("archivedClosed"); closed != ids[99].String() {
		t.Errorf("the segment is closed at %s, want %s", closed, ids[99])
	}
	more := b.add(50)
	b.run()
	b.reached(more[49])
	keep(more[10])
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		return b.field("archivedClosed") == more[49].String(), b.field("archivedClosed")
	})
}

// A Redis that is full refuses every command that needs memory. The archiver keeps its lease and notes
// how far it is, or nothing could be trimmed.
func TestOnAFullRedis(t *testing.T) {
	t.Parallel()
	b := setupOn(t, testenv.ClientOf(t, testenv.OwnRedis(t, devstack.RedisOptions{})))
	ids := b.add(100)
	b.run()
	b.reached(ids[99])
	must(t, b.Client.HSet(t.Context(), b.cfg.Keys.Log(), "trimTo", ids[40].String()).Err())
	must(t, b.Client.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	if err := b.Client.Set(t.Context(), "x", strings.Repeat("x", 100), 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "OOM") {
		t.Fatalf("Redis is not full: %v", err)
	}
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		return b.field("archivedClosed") == ids[99].String(), b.field("archivedClosed")
	})
}

func TestContinues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add(300)
	must(t, b.once(nil))
	b.add(500)
	must(t, b.once(nil))
	a, stop := b.run()
	ids := b.add(100)
	b.reached(ids[99])
	s := a.Status()
	if !s.Holder || s.Last != ids[99] || s.Closed.Seq < 500 || s.Bytes == 0 || s.Failing != "" {
		t.Errorf("%+v", s)
	}
	if b.field("archivedClosed") != s.Closed.String() || b.field("archive") == "" {
		t.Errorf("noted %s of %s", b.field("archivedClosed"), b.field("archive"))
	}
	stop()
	m := b.equal()
	if m.Boundary == 0 || m.Log != "log-1" || m.Namespace != b.Namespace || m.LogFormat != events.Format {
		t.Errorf("%+v", m)
	}
	if a.Status().Holder {
		t.Error("it keeps the lease")
	}
}

// While one process archives, another one waits, and continues when the first one ends.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, stop := b.run()
	b.reached(b.add(1)[0])
	second, _ := b.run()
	b.reached(b.add(1)[0])
	if !first.Status().Holder || second.Status().Holder {
		t.Error("the second one archives")
	}
	stop()
	b.reached(b.add(1)[0])
	if !second.Status().Holder {
		t.Error("nobody archives")
	}
	b.equal()
}

func TestOneArchiveForALog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add(10)
	must(t, b.once(nil))
	other := t.TempDir()
	if err := b.once(func(c *Config) { c.Dir = other }); !errors.Is(err, ErrOtherArchive) || !strings.Contains(err.Error(), b.cfg.Dir) {
		t.Errorf("a second folder: %v", err)
	}
	must(t, b.once(func(c *Config) { c.Dir, c.Adopt = other, true }))
	if err := b.once(nil); !errors.Is(err, ErrOtherArchive) || !strings.Contains(err.Error(), other) {
		t.Errorf("the first folder afterwards: %v", err)
	}
	b.set("identity", "log-2")
	if err := b.once(func(c *Config) { c.Dir = other }); !errors.Is(err, events.ErrForeignLog) {
		t.Errorf("another log: %v", err)
	}
	must(t, b.Client.HDel(t.Context(), b.space.Log(), "identity").Err())
	if err := b.once(nil); err == nil {
		t.Error("a log without an identity is archived")
	}
}

// A folder from a backup continues from the log, unless the log no longer has what is missing.
func TestRestoredFolder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add(100)
	must(t, b.once(nil))
	backup := t.TempDir()
	restore := func(to string) { t.Helper(); must(t, os.CopyFS(to, os.DirFS(b.cfg.Dir))) }
	restore(filepath.Join(backup, "a"))
	restore(filepath.Join(backup, "b"))
	ids := b.add(100)
	must(t, b.once(nil))
	b.cfg.Dir = filepath.Join(backup, "a")
	must(t, b.once(nil))
	b.equal()
	b.cfg.Dir = filepath.Join(backup, "b")
	b.Trim(ids[50])
	if err := b.once(nil); !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), "101 to 150") {
		t.Errorf("lost events: %v", err)
	}
	must(t, b.once(func(c *Config) { c.AcceptGap = true }))
	if m := b.equal(); len(m.Gaps) != 1 || m.Gaps[0] != (archive.Gap{From: 101, To: 150, Reason: archive.GapAccepted}) {
		t.Errorf("gaps %+v", m.Gaps)
	}
}

func TestRolledBackLog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := b.add(400)
	a, stop := b.run()
	b.reached(ids[399])
	b.RollBack(ids[250])
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		s := a.Status()
		return strings.Contains(s.Failing, "--accept-rollback") && !s.FailingSince.IsZero(), s.Failing
	})
	b.add(20)
	stop()
	if err := b.once(nil); !errors.Is(err, ErrRolledBack) {
		t.Errorf("%v", err)
	}
	must(t, b.once(func(c *Config) { c.AcceptRollback = true }))
	m := b.equal()
	if len(m.Rollbacks) != 1 || m.Rollbacks[0].Kept != ids[250] || m.Rollbacks[0].Lost != ids[399] {
		t.Errorf("%+v", m.Rollbacks)
	}
	must(t, b.once(nil))
	// Another event with the same seq.
	last := b.add(1)[0]
	must(t, b.once(nil))
	must(t, b.Client.XDel(t.Context(), b.space.Events(), last.String()).Err())
	b.RollBack(events.ID{MS: last.MS, Seq: last.Seq - 1})
	var again events.ID
	b.Raw(func(id events.ID) string { again = id; return "x" })
	if again.Seq != last.Seq {
		t.Fatal(again)
	}
	if err := b.once(nil); !errors.Is(err, ErrRolledBack) {
		t.Errorf("an event that was replaced: %v", err)
	}
}

// Events that a flush or a trim removed first are a gap.
func TestRemovedFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Trim(b.add(20)[4])
	must(t, b.once(nil))
	ids := b.add(20)
	b.Trim(ids[9])
	must(t, b.once(nil))
	b.add(5)
	at := b.Flush()
	must(t, b.once(nil))
	m := b.equal()
	if len(m.Gaps) != 2 || m.Gaps[0] != (archive.Gap{From: 21, To: 29, Reason: archive.GapTrimmed}) ||
		m.Gaps[1] != (archive.Gap{From: 41, To: 45, Reason: archive.GapFlushed}) || len(m.Flushes) != 1 || m.Flushes[0] != at.Seq {
		t.Errorf("gaps %+v, flushes %v", m.Gaps, m.Flushes)
	}
	b.add(3)
	b.Skip(2)
	b.add(3)
	if err := b.once(nil); !errors.Is(err, ErrGap) {
		t.Errorf("missing events: %v", err)
	}
	must(t, b.once(func(c *Config) { c.AcceptGap = true }))
	if m := b.equal(); len(m.Gaps) != 3 || m.Gaps[2].Reason != archive.GapAccepted || m.Gaps[2].To-m.Gaps[2].From != 1 {
		t.Errorf("gaps %+v", m.Gaps)
	}
}

// While the disk refuses writes, the archiver keeps the lease and says why. It continues when the
// disk takes them again.
func TestTheDiskRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	blocked := filepath.Join(b.cfg.Dir, "00000000000000000001.jsonl.zst")
	a, _ := b.run()
	b.reached(events.ID{})
	must(t, os.Mkdir(blocked, 0o700))
	ids := b.add(100)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		s := a.Status()
		return s.Holder && strings.Contains(s.Failing, b.cfg.Dir), s.Failing
	})
	must(t, os.Remove(blocked))
	b.reached(ids[99])
	if s := a.Status(); s.Failing != "" || !s.FailingSince.IsZero() {
		t.Errorf("%+v", s)
	}
	b.equal()
}
