package audit_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/fold"
)

// BenchmarkVerify verifies the log of a fleet that works, whose finished tasks are all still in Redis, and
// reports events a second and the peak of the process's memory.
//
//	go test -run '^$' -bench 'Verify/1000000' -benchtime 1x ./internal/audit
func BenchmarkVerify(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000, 3_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			fleet := newBundle(b, false)
			worked(b, fleet, n, 1000)
			debug.FreeOSMemory()
			// 5 sets the peak to what is used now.
			if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600); err != nil {
				b.Fatal(err)
			}
			var report *audit.Report
			b.ResetTimer()
			for range b.N {
				report = fleet.verify(b, func(o *audit.Options) { o.Wait = time.Minute })
			}
			b.StopTimer()
			clean(b, report)
			b.ReportMetric(float64(report.Events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(peak(b)), "MiB-peak")
			b.ReportMetric(float64(report.Tasks), "tasks")
		})
	}
}

// peak returns the most memory that the process had, in MiB.
func peak(b *testing.B) int {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, line, _ := bytes.Cut(status, []byte("VmHWM:"))
	kib, err := strconv.Atoi(string(bytes.Fields(line)[0]))
	if err != nil {
		b.Fatal(err)
	}
	return kib >> 10
}

// worked writes what n events of a fleet leave in Redis: tasks that a worker has claimed and completed, as
// the scripts have written the first of them. Then commands create the open ones.
func worked(b *testing.B, f *bundle, n, open int) {
	b.Helper()
	f.do(b, "system.register", object{"id": "w1", "roles": []string{"worker"}})
	first := f.create(b, 50, `{"area":"billing"}`)
	f.do(b, "task.claim", object{"workerId": "w1"})
	f.do(b, "task.complete", object{"id": first, "workerId": "w1", "result": object{"ok": true}})
	entries := f.client.XRevRangeN(b.Context(), f.space.Events(), "+", "-", 3).Val()
	hash := f.client.HGetAll(b.Context(), f.space.Task(first)).Val()
	var models []events.Envelope
	for i := range 3 {
		e, err := events.Decode([]byte(entries[2-i].Values["data"].(string)))
		if err != nil {
			b.Fatal(err)
		}
		models = append(models, e)
	}
	last := models[2].ID
	pipe := f.client.Pipeline()
	for last.Seq < int64(n) {
		id := fmt.Sprintf("t-%d", last.Seq+1)
		at := fold.ISO(last.MS)
		for _, model := range models {
			was := fold.ISO(model.ID.MS)
			last.Seq++
			model.ID, model.Seq, model.Timestamp = last, last.Seq, last.MS
			model.Payload = bytes.ReplaceAll(model.Payload, []byte(`"`+first+`"`), []byte(`"`+id+`"`))
			model.Payload = bytes.ReplaceAll(model.Payload, []byte(was), []byte(at))
			for _, member := range []string{"waited", "duration"} {
				model.Payload = zero(model.Payload, member)
			}
			data, err := model.Encode()
			if err != nil {
				b.Fatal(err)
			}
			pipe.XAdd(b.Context(), &redis.XAddArgs{Stream: f.space.Events(), ID: last.String(), Values: []any{"data", data}})
		}
		hash["id"], hash["seq"], hash["assignedSeq"] = id, strconv.FormatInt(last.Seq, 10), strconv.FormatInt(last.Seq-1, 10)
		hash["createdAt"], hash["updatedAt"], hash["completedAt"] = at, at, at
		hash["queuedAt"], hash["claimedAt"] = strconv.FormatInt(last.MS, 10), strconv.FormatInt(last.MS, 10)
		pipe.HSet(b.Context(), f.space.Task(id), hash)
		if pipe.Len() > 4000 {
			if _, err := pipe.Exec(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	pipe.HSet(b.Context(), f.space.Log(), "seq", last.Seq, "ms", last.MS)
	if _, err := pipe.Exec(b.Context()); err != nil {
		b.Fatal(err)
	}
	for range open {
		f.create(b, 50, "")
	}
	f.project(b)
}

// zero sets a number in JSON to 0.
func zero(text []byte, member string) []byte {
	before, after, found := bytes.Cut(text, []byte(`"`+member+`":`))
	if !found {
		return text
	}
	rest := bytes.TrimLeft(after, "0123456789")
	return bytes.Join([][]byte{before, rest}, []byte(`"`+member+`":0`))
}
