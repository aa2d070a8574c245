package audit_test

import (
	"testing"

	"github.com/claudebench/claudebench/events"
)

func TestPauseDamageIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage []any // a command of Redis, with P for the key of the pauses and L for that of the log
		names  []string
	}{
		"one removed":      {[]any{"HDEL", "P", ""}, []string{"queue:paused: the queue of tasks without roles is not set, but the log says", `\"reason\":\"a <b>\"`}},
		"all removed":      {[]any{"DEL", "P"}, []string{"queue:paused: all queues is not set"}},
		"one changed":      {[]any{"HSET", "P", "*", `{"reason":null,"by":"me","at":"2026-01-01T00:00:00.000Z"}`}, []string{"queue:paused: all queues is", `\"by\":\"me\"`}},
		"one added":        {[]any{"HSET", "P", `["cpu"]`, `{}`}, []string{`queue:paused: the queue of roles ["cpu"] is "{}", but the log says not set`}},
		"not in the log's": {[]any{"HDEL", "L", "paused"}, []string{`log: paused is not set, but the log says "1"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, false)
			b.do(t, "queue.pause", object{"roles": []string{}, "reason": "a <b>"})
			b.do(t, "queue.pause", object{})
			b.do(t, "queue.pause", object{"roles": []string{"gpu", "cpu"}})
			b.do(t, "queue.resume", object{"roles": []string{"cpu", "gpu"}})
			b.project(t)
			clean(t, b.verify(t))
			command := append([]any{}, c.damage...)
			command[1] = map[any]string{"P": b.space.Paused(), "L": b.space.Log()}[command[1]]
			if err := b.client.Do(t.Context(), command...).Err(); err != nil {
				t.Fatal(err)
			}
			names(t, b.verify(t), c.names...)
		})
	}
}

// A pause that is older than a trimmed log is no violation, but one that the log has is compared.
func TestPausesOlderThanTheLog(t *testing.T) {
	t.Parallel()
	b := newBundle(t, false)
	b.follow(t)
	b.do(t, "queue.pause", object{})
	b.do(t, "queue.pause", object{"roles": []string{"gpu"}})
	b.do(t, "queue.pause", object{"roles": []string{}})
	clean(t, b.verify(t))
	id := b.client.XRange(t.Context(), b.space.Events(), "-", "+").Val()[2].ID
	if err := b.client.XTrimMinID(t.Context(), b.space.Events(), id).Err(); err != nil {
		t.Fatal(err)
	}
	parsed, err := events.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.client.HSet(t.Context(), b.space.Log(), "base", parsed.Seq).Err(); err != nil {
		t.Fatal(err)
	}
	b.do(t, "queue.resume", object{})
	clean(t, b.verify(t))
	if err := b.client.HDel(t.Context(), b.space.Paused(), "").Err(); err != nil {
		t.Fatal(err)
	}
	names(t, b.verify(t), "the queue of tasks without roles is not set")
}
