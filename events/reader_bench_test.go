package events

import (
	"context"
	"testing"
)

func BenchmarkReader(b *testing.B) {
	log := newTestLog(b)
	const events = 20000
	for range events / 1000 {
		log.add(TypeTaskCreated, 1000)
	}
	r := log.reader(ReaderConfig{})
	b.ResetTimer()
	read := 0
	for b.Loop() {
		for after := (ID{}); after.Seq < events; {
			batch, err := r.Read(context.Background(), after)
			if err != nil {
				b.Fatal(err)
			}
			read, after = read+len(batch.Entries), batch.Last()
		}
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
}
