package archive

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/claudebench/claudebench/events"
)

// work returns the events of a fleet that creates, claims and completes tasks.
func work(n int) []events.Entry {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a benchmark repeats its choices
	list := make([]events.Entry, 0, n)
	ms := int64(1_763_769_600_000)
	for seq := int64(1); len(list) < n; seq++ {
		if random.IntN(4) == 0 {
			ms++
		}
		task, worker := 1000+seq/3, random.IntN(50)
		var kind, payload string
		switch seq % 3 {
		case 0:
			kind, payload = "task.created", fmt.Sprintf(`{"id":"t-%d","text":"Summarize chapter %d of the book","priority":50,"status":"pending","metadata":null,"createdAt":"2025-11-22T00:00:00.000Z"}`, task, random.IntN(1000))
		case 1:
			kind, payload = "task.claimed", fmt.Sprintf(`{"id":"t-%d","workerId":"worker-%d","attempt":1,"claimedAt":"2025-11-22T00:00:00.000Z"}`, task-random.Int64N(1000), worker)
		default:
			kind, payload = "task.completed", fmt.Sprintf(`{"id":"t-%d","workerId":"worker-%d","status":"completed","result":{"words":%d},"completedAt":"2025-11-22T00:00:00.000Z"}`, task-random.Int64N(1000), worker, random.IntN(5000))
		}
		id := events.ID{MS: ms, Seq: seq}
		raw := fmt.Appendf(nil, `{"id":"%s","seq":%d,"type":"%s","v":1,"timestamp":%d,"actor":"worker-%d","cause":"req-%d","trace":null,"payload":%s}`,
			id, seq, kind, ms, worker, seq, payload)
		list = append(list, events.DecodeEntry(id, raw))
	}
	return list
}

// BenchmarkWriter archives events of a fleet that works, without the time to read them from Redis.
func BenchmarkWriter(b *testing.B) {
	list := work(200_000)
	for b.Loop() {
		w, err := OpenWriter(b.TempDir(), WriterConfig{Log: "log-1"})
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range list {
			if err := w.Append(e); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.CloseSegment(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(w.Bytes())/float64(len(list)), "B/event")
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(list))*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
