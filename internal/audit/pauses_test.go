package audit_test

import (
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
)

const (
	pauseAll  = `queue.paused {"roles":null,"reason":null,"by":"ops","pausedAt":"A"}`
	pauseNone = `queue.paused {"roles":[],"reason":"r","by":"ops","pausedAt":"A"}`
	pauseGPU  = `queue.paused {"roles":["gpu"],"reason":null,"by":"ops","pausedAt":"A"}`
	resumeAll = `queue.resumed {"roles":null,"by":"ops","pausedAt":"A","resumedAt":"B"}`
)

func TestFoldHoldsPausesAgainstClaims(t *testing.T) {
	t.Parallel()
	begin := []string{registerW1, registerW2, createT3}
	for name, c := range map[string]struct {
		lines []string
		told  string // "" if all is valid
	}{
		"claimed in a pause of all":       {[]string{pauseAll, claimT3("w1", 1, 2)}, "task t-3 is claimed while its queue is paused"},
		"claimed in a pause of its queue": {[]string{pauseNone, claimT3("w1", 1, 2)}, "task t-3 is claimed while its queue is paused"},
		"claimed in another pause":        {[]string{pauseGPU, claimT3("w1", 1, 2)}, ""},
		"claimed after the pause":         {[]string{pauseAll, resumeAll, claimT3("w1", 1, 3)}, ""},
		"claimed by its owner":            {[]string{assignT3("w1", "requested", "null"), pauseAll, claimT3("w1", 1, 3), electW1}, "task t-3 was claimed while its queue was paused, and the call that claimed it did not end it"},
		"ended by its owner":              {[]string{assignT3("w1", "requested", "null"), pauseAll, claimT3("w1", 1, 3), completeT3("w1", 1, 1)}, ""},
		"assigned by request":             {[]string{pauseAll, assignT3("w1", "requested", "null")}, ""},
		"auto-assigned":                   {[]string{pauseAll, assignT3("w1", "instance_registered", "null")}, "is assigned to w1 (instance_registered) while its queue is paused"},
		"taken over":                      {[]string{assignT3("w1", "instance_registered", "null"), pauseAll, assignT3("w2", "rebalanced", `"w1"`)}, "is assigned to w2 (rebalanced) while its queue is paused"},
		"paused twice":                    {[]string{pauseGPU, pauseAll, pauseGPU}, `the queue of roles ["gpu"] was paused already`},
		"resumed without a pause":         {[]string{pauseGPU, resumeAll}, "all queues was not paused"},
		"a flush":                         {[]string{pauseAll, `system.flushed {"redis":1,"timestamp":"x","firstSeq":1,"lastSeq":4}`, pauseAll}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, told := story(t, 1, 1, append(append([]string{}, begin...), c.lines...)...)
			if c.told == "" && len(told) > 0 {
				t.Errorf("told %q", told)
			}
			if c.told != "" && (len(told) == 0 || !strings.Contains(strings.Join(told, "\n"), c.told)) {
				t.Errorf("did not tell %q but %q", c.told, told)
			}
		})
	}
	if _, told := story(t, 100, 100, resumeAll, pauseAll, `task.claimed {"taskId":"t-7","workerId":"w1","attempt":3,"previousStatus":"pending","waited":99999}`); len(told) > 0 {
		t.Errorf("of objects older than the log, it told %q", told)
	}
}

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
