package events

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/redis/go-redis/v9"
)

const benchEvents = 20_000

// benchLog has events as the coordinator writes them.
func benchLog(b *testing.B) *testLog {
	b.Helper()
	log := newTestLog(b)
	payload := json.RawMessage(`{"id":"t-42","text":"Review the change of the retry policy and write down what is missing","status":"pending","priority":50,"assignedTo":null,"attempt":0,"metadata":{"roles":["review"],"issue":412},"result":null,"error":null,"createdAt":"2026-01-02T03:04:05.670Z","updatedAt":"2026-01-02T03:04:05.670Z","completedAt":null}`)
	payloads := make([]json.RawMessage, 1000)
	for i := range payloads {
		payloads[i] = payload
	}
	for range benchEvents / len(payloads) {
		if _, err := log.append(TypeTaskCreated, payloads...); err != nil {
			b.Fatal(err)
		}
	}
	return log
}

func report(b *testing.B, read int) {
	b.Helper()
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkReader(b *testing.B) {
	r := benchLog(b).reader(ReaderConfig{})
	b.ReportAllocs()
	read := 0
	for b.Loop() {
		for after := (ID{}); after.Seq < benchEvents; {
			batch, err := r.Read(context.Background(), after)
			if err != nil {
				b.Fatal(err)
			}
			read, after = read+len(batch.Entries), batch.Last()
		}
	}
	report(b, read)
}

// BenchmarkXRead is what Redis and its client take for the same.
func BenchmarkXRead(b *testing.B) {
	r := benchLog(b).reader(ReaderConfig{})
	b.ReportAllocs()
	read := 0
	for b.Loop() {
		for n, after := 0, "0"; n < benchEvents; {
			reply, err := r.client.XRead(context.Background(), &redis.XReadArgs{Streams: []string{r.space.Events(), after}, Count: 1000, Block: -1}).Result()
			if err != nil {
				b.Fatal(err)
			}
			page := reply[0].Messages
			n, after = n+len(page), page[len(page)-1].ID
			read += len(page)
		}
	}
	report(b, read)
}

func BenchmarkSubscriber(b *testing.B) {
	log := benchLog(b)
	b.ReportAllocs()
	read := 0
	for b.Loop() {
		s, err := NewSubscriber(log.client, SubscriberConfig{ReaderConfig: ReaderConfig{Namespace: log.ns}})
		if err != nil {
			b.Fatal(err)
		}
		messages, err := s.Subscribe(context.Background(), All)
		if err != nil {
			b.Fatal(err)
		}
		for range benchEvents {
			(<-messages).Ack()
			read++
		}
		b.StopTimer() // Close waits until the reader's wait at the tail is over
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	report(b, read)
}
