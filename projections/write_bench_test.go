package projections_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/projections"
)

// BenchmarkWriteTasks writes batches into the task view: tasks that the batch creates, or tasks
// that it claims and completes, the latter also with other indexes than those of the migrations.
// Besides the time it reports the CPU time of the coordinator and of the Postgres process for each
// row, and the share of updates that write no index entries (HOT). It reads the CPU time of
// Postgres from /proc, so it needs Linux.
func BenchmarkWriteTasks(b *testing.B) {
	for _, size := range []int{50, 100, 200, 2000, 10_000} {
		b.Run(fmt.Sprintf("created/%d", size), func(b *testing.B) {
			w := newWrites(b)
			for b.Loop() {
				w.measure(b, size, func(h *history) { createForBench(h, size) })
			}
			w.report(b)
		})
	}
	for _, layout := range []struct{ name, change string }{
		{"as-migrated", `SELECT`},
		{"without-tasks_status", `DROP INDEX tasks_status`},
		{"without-tasks_priority", `DROP INDEX tasks_priority`},
		{"without-tasks_assigned_to", `DROP INDEX tasks_assigned_to`},
		{"only-tasks_pkey", `DROP INDEX tasks_status, tasks_priority, tasks_assigned_to, tasks_finished`},
		{"fillfactor-100", `ALTER TABLE tasks SET (fillfactor = 100)`},
	} {
		const size = 2000
		b.Run("finished/"+layout.name, func(b *testing.B) {
			w := newWrites(b)
			if _, err := w.db.Exec(b.Context(), layout.change); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				w.apply(b, w.batch(func(h *history) { createForBench(h, size) }))
				b.StartTimer()
				w.measure(b, size, func(h *history) { finishForBench(h, size) })
			}
			w.report(b)
		})
	}
}

// BenchmarkWriteSessions writes batches of hooks of 20 sessions. A row is an event.
func BenchmarkWriteSessions(b *testing.B) {
	for _, size := range []int{2, 40, 400, 2000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			w := newWrites(b)
			for b.Loop() {
				w.measure(b, size, func(h *history) {
					for i := range size / 2 { // each use has two hooks
						h.use("session "+strconv.Itoa(i%20), "tool "+strconv.Itoa(i%12), 3, events.HookOK)
					}
				})
			}
			w.report(b)
		})
	}
}

// BenchmarkWriteEvents writes batches of the lives of tasks, each created, claimed and completed, into
// the event index, and the same batches into the task view. A row is an event.
func BenchmarkWriteEvents(b *testing.B) {
	for _, size := range []int{3, 99, 1998, 19_998} {
		for _, name := range []string{"tasks", "events"} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				w := newWrites(b)
				if name == "events" {
					w.into = w.events
				}
				for b.Loop() {
					w.measure(b, size, func(h *history) {
						createForBench(h, size/3)
						finishForBench(h, size/3)
					})
				}
				w.report(b)
			})
		}
	}
}

func createForBench(h *history, n int) {
	for range n {
		h.create("some text of a usual length", h.seq%5*25, `{"source":"bench","line":17}`)
	}
}

func finishForBench(h *history, n int) {
	ids := h.ids[len(h.ids)-n:]
	for i, id := range ids {
		h.claim(id, "w"+strconv.Itoa(i%20))
	}
	h.now += 1000
	for _, id := range ids {
		h.finish(id, `{"ok":true,"answer":"forty-two"}`, "")
	}
}

// writes measures writes through the only connection of its bundle.
type writes struct {
	*bundle
	into          projections.Projection
	process       int // of Postgres
	history       *history
	last          events.ID
	rows          int
	own, postgres time.Duration
}

func newWrites(b *testing.B) *writes {
	b.Helper()
	w := &writes{history: newHistory()}
	w.bundle = bundleOn(b, testenv.Client(b), testenv.Postgres(b)+"&pool_max_conns=1", testenv.Namespace(b))
	w.prepare(b)
	w.into = w.tasks
	if err := w.pool.QueryRow(b.Context(), `SELECT pg_backend_pid()`).Scan(&w.process); err != nil {
		b.Fatal(err)
	}
	return w
}

// batch returns the events that add appends to the history.
func (w *writes) batch(add func(*history)) events.Batch {
	w.history.events = nil
	add(w.history)
	batch := batches(w.last, w.history.events, func() int { return len(w.history.events) })[0]
	w.last = batch.Last()
	return batch
}

func (w *writes) apply(b *testing.B, batch events.Batch) {
	b.Helper()
	if err := w.into.Apply(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
}

func (w *writes) measure(b *testing.B, rows int, add func(*history)) {
	b.Helper()
	b.StopTimer()
	batch := w.batch(add)
	w.rows += rows
	w.own -= ownCPU(b)
	w.postgres -= processCPU(b, w.process)
	b.StartTimer()
	w.apply(b, batch)
	b.StopTimer()
	w.own += ownCPU(b)
	w.postgres += processCPU(b, w.process)
	b.StartTimer()
}

func (w *writes) report(b *testing.B) {
	b.Helper()
	b.ReportMetric(0, "ns/op")
	for unit, d := range map[string]time.Duration{"ns/row": b.Elapsed(), "own-ns/row": w.own, "postgres-ns/row": w.postgres} {
		b.ReportMetric(float64(d.Nanoseconds())/float64(w.rows), unit)
	}
	if _, err := w.pool.Exec(b.Context(), `SELECT pg_stat_force_next_flush()`); err != nil {
		b.Log(err) // Postgres 14 or older
		return
	}
	var updated, hot float64
	if err := w.db.QueryRow(b.Context(), `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'tasks'`).Scan(&updated, &hot); err != nil {
		b.Fatal(err)
	}
	if updated > 0 {
		b.ReportMetric(100*hot/updated, "hot-%")
	}
}

func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// processCPU returns the CPU time of another process. It advances in steps of 10 ms.
func processCPU(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err) // only Linux has it
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third on
	ticks := int64(0)
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
