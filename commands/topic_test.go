package commands_test

import (
	"fmt"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/redis/go-redis/v9"
)

// A topic keeps about its last 10,000 events, with the IDs that they have in the log. The log keeps
// all.
func TestTopicsAreTrimmedAndTheLogIsNot(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
	f.Unhurried()
	f.Register("w", `[]`, "")
	before := f.Seq()
	for batch, n := range []int{10_000, 1500} {
		f.OK("system.batch.process", `{"batchId":"b%d","instanceId":"w","items":%s}`, batch, fleettest.ItemsOf(n))
	}
	const kept, created = 10_000, 10_000 + 1500
	topic := f.Keys.Topic("task.created")
	length := f.Client.XLen(t.Context(), topic).Val()
	// Redis trims whole nodes of a stream. A node holds a hundred entries by default.
	if length < kept || length > kept+100 {
		t.Errorf("the topic has %d events", length)
	}
	if n := f.Client.XLen(t.Context(), f.Keys.Events()).Val(); n != f.Seq() || n < before+created {
		t.Errorf("the log has %d events of %d", n, f.Seq())
	}
	read := func(last []redis.XMessage, err error) string {
		t.Helper()
		if err != nil || len(last) != 1 {
			t.Fatalf("%v, %v", last, err)
		}
		return fmt.Sprint(last[0].ID, last[0].Values["data"])
	}
	oldest, err := f.Client.XRangeN(t.Context(), topic, "-", "+", 1).Result()
	inTopic := read(oldest, err)
	if inLog := read(f.Client.XRange(t.Context(), f.Keys.Events(), oldest[0].ID, oldest[0].ID).Result()); inLog != inTopic {
		t.Errorf("the oldest in the topic is %s, in the log %s", inTopic, inLog)
	}
}
