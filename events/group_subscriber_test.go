package events

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func (l *testLog) group(t *testing.T, topic string, config GroupSubscriberConfig) *service {
	t.Helper()
	config.Namespace, config.Logger = l.ns, quiet
	config.Block = 20 * time.Millisecond
	config.NackDelay, config.NackDelayMax = time.Millisecond, time.Millisecond
	sub, err := NewGroupSubscriber(l.client, config)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, sub, topic)
}

func TestGroupSubscriber(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 5)
	log.add(TypeTaskClaimed, 5)
	s := log.group(t, "task.created", GroupSubscriberConfig{Group: "g", Consumer: "c"})
	s.take(ids[:2]...)
	m := s.next()
	m.Nack()
	s.take(ids[2:]...)
	s.close()
	// The group keeps its position, and the client is still open.
	log.group(t, "task.created", GroupSubscriberConfig{Group: "g", Consumer: "c"}).
		take(log.add(TypeTaskCreated, 2)...)
	log.group(t, "task.created", GroupSubscriberConfig{Group: "new", FromNow: true}).
		take(log.add(TypeTaskCreated, 1)...)
}

func TestGroupSubscriberTakesOver(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 1)
	s := log.group(t, "task.created", GroupSubscriberConfig{Group: "g", Consumer: "dies"})
	s.next()
	s.close()
	log.group(t, "task.created", GroupSubscriberConfig{
		Group: "g", Consumer: "lives", ClaimAfter: 50 * time.Millisecond, ClaimEvery: 20 * time.Millisecond,
	}).take(ids...)
}

func TestGroupSubscriberBadEntries(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	topic := log.space.Topic("task.created")
	bad := func(values ...any) {
		t.Helper()
		if err := log.client.XAdd(testContext(t), &redis.XAddArgs{Stream: topic, Values: values}).Err(); err != nil {
			t.Fatal(err)
		}
		log.last.MS = time.Now().UnixMilli() + 1000
	}
	reasons := make(chan error, 4)
	s := log.group(t, "task.created", GroupSubscriberConfig{Group: "g", OnBadEvent: func(topic string, _ []byte, err error) {
		if topic != "task.created" {
			t.Errorf("topic %q", topic)
		}
		reasons <- err
	}})
	bad("hello", "world")
	bad("data", "{")
	bad("data", strings.Replace(sample, `"v":1`, `"v":"1"`, 1), "more", "1")
	bad("data", sample) // an event of another type
	s.take(log.add(TypeTaskCreated, 1)...)
	for _, want := range []string{"no field", "malformed", `"v"`, "task.claimed"} {
		if err := <-reasons; !strings.Contains(err.Error(), want) {
			t.Errorf("passed over because of %v, want %q", err, want)
		}
	}
	for i, want := range []string{"", "{", "", sample} {
		p := log.parked(4)[i]
		if p["reason"] != "malformed" || p["detail"] == "" || p["deliveries"] != "1" || i != 2 && p["data"] != want {
			t.Errorf("parked %v", p)
		}
	}
	log.nothingPending("task.created", "g")
}

func TestGroupSubscriberSurvivesFlush(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	s := log.group(t, "task.created", GroupSubscriberConfig{Group: "g"})
	for range 3 {
		s.take(log.add(TypeTaskCreated, 3)...)
		log.flush()
		s.take(log.add(TypeTaskCreated, 2)...)
		if err := log.client.XGroupDestroy(testContext(t), log.space.Topic("task.created"), "g").Err(); err != nil {
			t.Fatal(err)
		}
		// A recreated group starts at the first event kept.
		kept, err := log.client.XRange(testContext(t), log.space.Topic("task.created"), "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range kept {
			id, err := ParseID(m.ID)
			if err != nil {
				t.Fatal(err)
			}
			s.take(id)
		}
	}
}

func TestGroupSubscriberRefuses(t *testing.T) {
	log := newTestLog(t)
	if _, err := NewGroupSubscriber(log.client, GroupSubscriberConfig{}); err == nil {
		t.Error("a config without a group was taken")
	}
	sub, err := NewGroupSubscriber(log.client, GroupSubscriberConfig{Group: "g"})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{All, "task.*", "a,b", ""} {
		if _, err := sub.Subscribe(testContext(t), topic); err == nil {
			t.Errorf("%q was taken", topic)
		}
	}
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
}
