package doctor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/subscribers"
)

func TestProjections(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.events(5, time.Hour)
	last := p.events(1, 20*time.Second)
	read := func(state, metrics string) {
		t.Helper()
		p.do("HSET", p.Keys.State(), "checkpoint", state)
		p.do("SET", p.Keys.Checkpoint("metrics"), metrics)
	}
	before := fmt.Sprintf("%d-5", p.now.Add(-time.Hour).UnixMilli())
	read(last.String(), last.String())
	p.expect("projections", OK, "state, metrics: up to date")

	// Without a coordinator, only the lag counts, and not that nobody runs them.
	read(before, before)
	if found := p.check("projections"); len(found) != 2 || found[0].Level != Warn || found[1].Level != Warn || strings.Contains(found[0].Text, "no coordinator") {
		t.Errorf("20 seconds behind: %+v", found)
	}
	p.do("ZADD", p.Keys.Coordinators(), p.now.UnixMilli(), "c")
	if found := p.check("projections"); len(found) != 2 || found[0].Level != Fail || !strings.Contains(found[1].Text, "no coordinator runs this projection") {
		t.Errorf("20 seconds behind, and nobody runs them: %+v", found)
	}
	read(last.String(), before)
	p.do("SET", p.Keys.Lease("metrics"), "c")
	found := p.check("projections")
	if len(found) != 2 || found[0].Level != Warn || !strings.HasPrefix(found[0].Text, "metrics: 1 event behind") || found[1].Level != OK || !strings.HasPrefix(found[1].Text, "state:") {
		t.Errorf("one of them is behind: %+v", found)
	}
	read(last.String(), "0-0")
	if found := p.check("projections"); len(found) != 2 || found[0].Level != Fail {
		t.Errorf("an hour behind: %+v", found)
	}
	if f := judgeProjection("state", 1, time.Second, false); f.Level != Warn {
		t.Errorf("between two coordinators: %+v", f)
	}
	if f := judgeProjection("events", 9, time.Hour, false); f.Level != Warn || !strings.Contains(f.Text, "no coordinator keeps the event index") {
		t.Errorf("an index that nobody keeps: %+v", f)
	}
	p.Redis = never(t)
	p.expect("projections", Unknown, "does not reply")
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.expect("checkpoints", OK, "no service with a checkpoint")
	old := p.events(5, 3*time.Hour)
	p.events(5, 2*time.Hour)
	last := p.events(1, time.Second)
	at := func(name, id string) {
		t.Helper()
		p.do("SET", p.Keys.Subscriber(name), id)
		p.do("ZADD", p.Keys.Checkpoints(), p.now.UnixMilli(), name)
	}
	at("mail", last.String())
	p.expect("checkpoints", OK, "one service with a checkpoint, not left behind")
	at("sms", last.String())
	p.expect("checkpoints", OK, "2 services with a checkpoint, none left behind")
	at("billing", old.String())
	p.expect("checkpoints", Warn, `the service "billing" is 6 events behind, for 2 hours; its checkpoint last moved `)
	p.do("HSET", p.Keys.Log(), "base", 9)
	p.do("XTRIM", p.Keys.Events(), "MINID", fmt.Sprintf("%d-9", p.now.Add(-2*time.Hour).UnixMilli()))
	p.expect("checkpoints", Fail, `has read up to seq 5, and the log begins at 9: it will miss 3 events`)
	at("billing", fmt.Sprintf("%d-99", last.MS))
	p.expect("checkpoints", Fail, "is after the end of the log (seq 11)")
	at("billing", last.String())
	_, err := p.redis.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for i := range subscribers.Most {
			name := fmt.Sprintf("s%d", i)
			pipe.Set(t.Context(), p.Keys.Subscriber(name), last.String(), 0)
			pipe.ZAdd(t.Context(), p.Keys.Checkpoints(), redis.Z{Score: 1, Member: name})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p.expect("checkpoints", Unknown, "there are 5 more")
	p.Redis = never(t)
	p.expect("checkpoints", Unknown, "does not reply")
}

// After a flush, a service finds system.flushed and has missed nothing that anybody could get.
func TestACheckpointBeforeAFlush(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.events(5, 3*time.Hour)
	old := fmt.Sprintf("%d-3", p.now.Add(-3*time.Hour).UnixMilli())
	id := fmt.Sprintf("%d-6", p.now.UnixMilli())
	p.do("DEL", p.Keys.Events())
	p.do("XADD", p.Keys.Events(), id, "data", `{"id":"`+id+`","seq":6,"type":"system.flushed","v":1}`)
	p.do("HSET", p.Keys.Log(), "seq", 6, "base", 6, "ms", p.now.UnixMilli())
	p.do("SET", p.Keys.Subscriber("mail"), old)
	p.do("ZADD", p.Keys.Checkpoints(), 1, "mail")
	p.expect("checkpoints", OK, "not left behind")
}

func TestGroups(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.expect("groups", OK, "no consumer group")
	topic := p.Keys.Topic("task.created")
	p.events(3, 2*time.Hour)
	p.do("XADD", topic, fmt.Sprintf("%d-1", p.now.Add(-2*time.Hour).UnixMilli()), "data", "x")
	p.do("XGROUP", "CREATE", topic, "mail", "$")
	p.expect("groups", OK, "one consumer group, not left behind")
	p.do("XGROUP", "CREATE", topic, "sms", "0")
	p.expect("groups", Warn, `the group "sms" of task.created has not read the events of the last 2 hours`)
	p.do("XREADGROUP", "GROUP", "sms", "c", "STREAMS", topic, ">")
	p.expect("groups", Warn, `the group "sms" of task.created holds 1 unacknowledged event, the oldest for 2 hours`)
	p.do("XACK", topic, "sms", fmt.Sprintf("%d-1", p.now.Add(-2*time.Hour).UnixMilli()))
	p.expect("groups", OK, "2 consumer groups, none left behind")

	// What is in the group's own stream counts as well.
	own := p.Keys.GroupStream("task.created", "mail")
	p.do("XGROUP", "CREATE", own, "mail", "0", "MKSTREAM")
	p.do("XADD", own, fmt.Sprintf("%d-2", p.now.Add(-3*time.Hour).UnixMilli()), "data", "x")
	p.do("XREADGROUP", "GROUP", "mail", "c", "STREAMS", own, ">")
	p.expect("groups", Warn, `the group "mail" of task.created holds 1 unacknowledged event, the oldest for 3 hours`)

	p.Redis = never(t)
	p.expect("groups", Unknown, "does not reply")
}

func TestParked(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.expect("parked", OK, "no parked events")
	p.do("XADD", p.Keys.Parked(), "*", "data", "x")
	p.do("HSET", p.Keys.ParkedCounts(), "task.created:mail", 1, "task.created:sms", 0)
	p.expect("parked", Warn, "1 parked event: task.created:mail 1")
	_, err := p.redis.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for range fullOfParked {
			pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: p.Keys.Parked(), Values: []any{"data", "x"}})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p.expect("parked", Fail, "9,001 parked events")
	p.Redis = never(t)
	p.expect("parked", Unknown, "does not reply")
}
