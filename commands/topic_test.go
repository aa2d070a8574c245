package commands

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A topic keeps about its last 10,000 events, with the IDs they have in the log; the log keeps all.
func TestTopicsAreTrimmedAndTheLogIsNot(t *testing.T) {
	t.Parallel()
	f := newFleet(t, realRedis(t), Options{})
	f.unhurried()
	f.register("w", `[]`, "")
	before := f.seq()
	for batch, n := range []int{maxBatchItems, 1500} {
		f.ok("system.batch.process", `{"batchId":"b%d","instanceId":"w","items":%s}`, batch, itemsOf(n))
	}
	const kept, created = 10_000, maxBatchItems + 1500
	topic := f.keys.Topic("task.created")
	length := f.client.XLen(t.Context(), topic).Val()
	// Redis drops whole nodes of its stream, a hundred entries each when nobody has set another length.
	if length < kept || length > kept+100 {
		t.Errorf("the topic has %d events", length)
	}
	if n := f.client.XLen(t.Context(), f.keys.Events()).Val(); n != f.seq() || n < before+created {
		t.Errorf("the log has %d events of %d", n, f.seq())
	}
	read := func(last []redis.XMessage, err error) string {
		t.Helper()
		if err != nil || len(last) != 1 {
			t.Fatalf("%v, %v", last, err)
		}
		return fmt.Sprint(last[0].ID, last[0].Values["data"])
	}
	oldest, err := f.client.XRangeN(t.Context(), topic, "-", "+", 1).Result()
	inTopic := read(oldest, err)
	if inLog := read(f.client.XRange(t.Context(), f.keys.Events(), oldest[0].ID, oldest[0].ID).Result()); inLog != inTopic {
		t.Errorf("the oldest in the topic is %s, in the log %s", inTopic, inLog)
	}
}
