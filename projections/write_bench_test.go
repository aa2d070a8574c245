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
)

// BenchmarkWriteTasks writes batches into the task view: tasks that the batch creates, or tasks
// that it claims and completes. Besides the time it reports the CPU time of the coordinator and of
// the Postgres process for each row. It reads the latter from /proc, so it needs Linux.
func BenchmarkWriteTasks(b *testing.B) {
	for _, size := range []int{50, 100, 200, 2000, 10_000} {
		b.Run(fmt.Sprintf("created/%d", size), func(b *testing.B) {
			benchmarkWrites(b, size, func(h *history) {}, func(h *history) {
				for range size {
					h.create("some text of a usual length", h.seq%5*25, `{"source":"bench","line":17}`)
				}
			})
		})
	}
	const size = 2000
	b.Run(fmt.Sprintf("finished/%d", size), func(b *testing.B) {
		benchmarkWrites(b, size, func(h *history) {
			for range size {
				h.create("some text of a usual length", h.seq%5*25, `{"source":"bench","line":17}`)
			}
		}, func(h *history) {
			ids := h.ids[len(h.ids)-size:]
			for i, id := range ids {
				h.claim(id, "w"+strconv.Itoa(i%20))
			}
			h.now += 1000
			for _, id := range ids {
				h.finish(id, `{"ok":true,"answer":"forty-two"}`, "")
			}
		})
	})
}

// benchmarkWrites measures batches of the events that measured adds, which write rows rows each.
// The events that before adds are applied without being measured.
func benchmarkWrites(b *testing.B, rows int, before, measured func(*history)) {
	bundle := bundleOn(b, testenv.Client(b), testenv.Postgres(b)+"&pool_max_conns=1", testenv.Namespace(b))
	bundle.prepare(b)
	var pid int
	if err := bundle.pool.QueryRow(b.Context(), `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		b.Fatal(err)
	}
	h := newHistory()
	last := events.ID{}
	next := func(add func(*history)) (batch events.Batch, some bool) {
		first := len(h.events)
		if add(h); len(h.events) == first {
			return batch, false
		}
		batch = batches(last, h.events[first:], func() int { return len(h.events) })[0]
		last = batch.Last()
		return batch, true
	}
	apply := func(batch events.Batch) {
		if err := bundle.tasks.Apply(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	var own, postgres time.Duration
	for b.Loop() {
		b.StopTimer()
		if batch, some := next(before); some {
			apply(batch)
		}
		batch, _ := next(measured)
		ownBefore, postgresBefore := ownCPU(b), processCPU(b, pid)
		b.StartTimer()
		apply(batch)
		b.StopTimer()
		own += ownCPU(b) - ownBefore
		postgres += processCPU(b, pid) - postgresBefore
		h.events = nil
		b.StartTimer()
	}
	perRow := 1 / float64(b.N*rows)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())*perRow, "ns/row")
	b.ReportMetric(float64(own.Nanoseconds())*perRow, "own-ns/row")
	b.ReportMetric(float64(postgres.Nanoseconds())*perRow, "postgres-ns/row")
	b.ReportMetric(0, "ns/op")
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
		b.Skip(err)
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
