package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/testenv"
)

// parked waits for n parked events and returns their fields.
func (l *testLog) parked(n int) []map[string]any {
	l.tb.Helper()
	var list []map[string]any
	testenv.Eventually(l.tb, wait, func() (bool, string) {
		page, err := l.client.XRange(context.Background(), l.space.Parked(), "-", "+").Result()
		if err != nil {
			l.tb.Fatal(err)
		}
		list = nil
		for _, m := range page {
			list = append(list, m.Values)
		}
		return len(list) == n, fmt.Sprintf("parked %v", list)
	})
	return list
}

// nothingPending waits until no member of a group holds an event.
func (l *testLog) nothingPending(topic, group string) {
	l.tb.Helper()
	ctx := context.Background()
	testenv.Eventually(l.tb, wait, func() (bool, string) {
		held, err := l.client.XPending(ctx, l.space.Topic(topic), group).Result()
		if err != nil {
			l.tb.Fatal(err)
		}
		own, err := l.client.XLen(ctx, l.space.GroupStream(topic, group)).Result()
		return err == nil && held.Count == 0 && own == 0, fmt.Sprintf("pending %+v, %d of its own", held, own)
	})
}

// nacked nacks a message n times.
func (s *service) nacked(id ID, n int) {
	s.t.Helper()
	for range n {
		m := s.next()
		if m.UUID != id.String() {
			s.t.Fatalf("got %s, want %s", m.UUID, id)
		}
		m.Nack()
	}
}

// An event that is nacked too often is parked and acknowledged, and the next one comes. All members
// and restarts count together.
func TestGroupSubscriberParks(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 3)
	config := GroupSubscriberConfig{Group: "g", Consumer: "a", MaxDeliveries: 4, ClaimAfter: 50 * time.Millisecond, ClaimEvery: 10 * time.Millisecond}
	s := log.group(t, "task.created", config)
	s.nacked(ids[0], 2)
	s.next() // the third delivery has no answer
	s.close()
	config.Consumer = "b"
	s = log.group(t, "task.created", config)
	for m := s.next(); ; m = s.next() {
		if m.UUID != ids[0].String() {
			m.Ack()
			continue
		}
		m.Nack() // the fourth
		break
	}
	want := map[string]any{
		"type": "task.created", "group": "g", "consumer": "b", "event": ids[0].String(), "deliveries": "4", "reason": "nacked", "detail": "",
		"data": log.entry(ids[0]),
	}
	if diff := cmp.Diff(want, log.parked(1)[0]); diff != "" {
		t.Error(diff)
	}
	if n := log.client.HGet(testContext(t), log.space.ParkedCounts(), "task.created:g").Val(); n != "1" {
		t.Errorf("counted %s", n)
	}
	go func() {
		for m := range s.messages {
			m.Ack()
		}
	}()
	log.nothingPending("task.created", "g")
}

func (l *testLog) entry(id ID) string {
	l.tb.Helper()
	m, err := l.client.XRange(context.Background(), l.space.Events(), id.String(), id.String()).Result()
	if err != nil || len(m) != 1 {
		l.tb.Fatalf("entry %s: %v, %v", id, m, err)
	}
	return m[0].Values["data"].(string)
}

// An event whose members die is parked too, without a further delivery.
func TestGroupSubscriberParksUnanswered(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 1)
	config := GroupSubscriberConfig{Group: "g", MaxDeliveries: 2, ClaimAfter: 30 * time.Millisecond, ClaimEvery: 10 * time.Millisecond}
	for range 2 {
		s := log.group(t, "task.created", config)
		if m := s.next(); m.UUID != ids[0].String() {
			t.Fatalf("got %s", m.UUID)
		}
		s.close()
	}
	s := log.group(t, "task.created", config)
	if p := log.parked(1)[0]; p["reason"] != "unanswered" || p["event"] != ids[0].String() || p["deliveries"] != "2" {
		t.Errorf("parked %v", p)
	}
	s.take(log.add(TypeTaskCreated, 1)...)
	log.nothingPending("task.created", "g")
}

// A member whose event another one has taken over neither delivers nor parks it.
func TestGroupSubscriberParksOnce(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 1)
	config := GroupSubscriberConfig{Group: "g", Consumer: "slow", MaxDeliveries: 3, ClaimAfter: 30 * time.Millisecond, ClaimEvery: 10 * time.Hour}
	slow := log.group(t, "task.created", config)
	late := slow.next()
	config.Consumer, config.ClaimEvery = "quick", 10*time.Millisecond
	quick := log.group(t, "task.created", config)
	held := quick.next()
	late.Nack() // is no longer its own
	more := log.add(TypeTaskCreated, 1)
	slow.take(more...)
	if held.UUID != ids[0].String() {
		t.Fatalf("took over %s", held.UUID)
	}
	held.Nack()
	quick.nacked(ids[0], 1)
	log.nothingPending("task.created", "g")
	log.parked(1)
}

// While there are too many parked events, an event is delivered on and on. Nothing is lost.
func TestGroupSubscriberDoesNotParkWithoutRoom(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ctx := testContext(t)
	if _, err := log.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for range 10000 {
			p.XAdd(ctx, &redis.XAddArgs{Stream: log.space.Parked(), Values: []any{"type", "x", "group", "y"}})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	ids := log.add(TypeTaskCreated, 2)
	s := log.group(t, "task.created", GroupSubscriberConfig{Group: "g", MaxDeliveries: 2})
	s.nacked(ids[0], 5)
	s.take(ids[0])
	m := s.next()
	if err := log.client.XTrimMaxLen(ctx, log.space.Parked(), 0).Err(); err != nil {
		t.Fatal(err)
	}
	m.Nack()
	s.nacked(ids[1], 1)
	if p := log.parked(1)[0]; p["event"] != ids[1].String() {
		t.Errorf("parked %v", p)
	}
}

func TestGroupSubscriberNeverParks(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 1)
	s := log.group(t, "task.created", GroupSubscriberConfig{Group: "g", MaxDeliveries: -1})
	s.nacked(ids[0], 30)
	s.take(ids...)
	if err := log.client.XAdd(testContext(t), &redis.XAddArgs{Stream: log.space.Topic("task.created"), Values: []any{"no", "event"}}).Err(); err != nil {
		t.Fatal(err)
	}
	log.last.MS = time.Now().UnixMilli() + 1000
	s.take(log.add(TypeTaskCreated, 1)...)
	log.nothingPending("task.created", "g")
	log.parked(0)
}

// gaps collects the gaps that a subscriber reports.
type gaps struct {
	mu    sync.Mutex
	list  []Gap
	fails int // how often a report fails first
}

func (g *gaps) add(gap Gap) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fails > 0 {
		g.fails--
		return errors.New("not now")
	}
	g.list = append(g.list, gap)
	return nil
}

func (g *gaps) want(t *testing.T, want ...Gap) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if diff := cmp.Diff(want, g.list); diff != "" {
		t.Errorf("gaps: %s", diff)
	}
}

func (l *testLog) trimTopic(typ Type, keep int64) {
	l.tb.Helper()
	if err := l.client.XTrimMaxLen(context.Background(), l.space.Topic(string(typ)), keep).Err(); err != nil {
		l.tb.Fatal(err)
	}
}

// A group whose events were trimmed from the topic gets them from the log, in order, and then goes on
// with the topic. So does a new group.
func TestGroupSubscriberGoesOnFromTheLog(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	var ids []ID
	for range 400 {
		ids = append(ids, log.add(TypeTaskCreated, 1)...)
		log.add(TypeTaskClaimed, 1)
	}
	config := GroupSubscriberConfig{Group: "g"}
	s := log.group(t, "task.created", config)
	s.take(ids[:3]...)
	log.trimTopic(TypeTaskCreated, 5)
	s.take(ids[3:]...)
	ids = append(ids, log.add(TypeTaskCreated, 2)...)
	s.take(ids[400:]...)
	log.nothingPending("task.created", "g")
	log.group(t, "task.created", GroupSubscriberConfig{Group: "new"}).take(ids...)
	log.trimTopic(TypeTaskCreated, 0)
	more := log.add(TypeTaskCreated, 1)
	s.take(more...)
	log.group(t, "task.created", GroupSubscriberConfig{Group: "last", FromNow: true}).take(log.add(TypeTaskCreated, 1)...)
}

// Several members share what comes from the log.
func TestGroupMembersShareWhatWasTrimmed(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 600)
	log.trimTopic(TypeTaskCreated, 10)
	got := make(chan string, 2*len(ids))
	for n := range 3 {
		s := log.group(t, "task.created", GroupSubscriberConfig{Group: "g", Consumer: strconv.Itoa(n)})
		go func() {
			for m := range s.messages {
				got <- m.UUID
				m.Ack()
			}
		}()
	}
	seen := map[string]int{}
	testenv.Eventually(t, wait, func() (bool, string) {
		for len(got) > 0 {
			seen[<-got]++
		}
		return len(seen) == len(ids), fmt.Sprint(len(seen))
	})
	log.nothingPending("task.created", "g")
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

// Where the log was trimmed too, one member gets a gap, again and again until it has handled it.
func TestGroupSubscriberReportsGaps(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 20)
	found := &gaps{fails: 2}
	config := GroupSubscriberConfig{Group: "g", OnGap: func(_ context.Context, topic string, g Gap) error {
		if topic != "task.created" {
			t.Errorf("a gap in %s", topic)
		}
		return found.add(g)
	}}
	s := log.group(t, "task.created", config)
	s.take(ids[:3]...)
	m := s.next() // it holds the fourth
	log.trimTopic(TypeTaskCreated, 5)
	log.trim(ids[10])
	m.Ack()
	s.take(ids[10:]...)
	found.want(t, Gap{5, 10, GapTrimmed})
	log.nothingPending("task.created", "g")

	log.flush()
	log.add(TypeSystemFlushed, 1)
	s.take(log.add(TypeTaskCreated, 1)...)
	found.want(t, Gap{5, 10, GapTrimmed}) // it had read everything before the flush
	s.close()

	s = log.group(t, "task.created", config)
	log.add(TypeTaskCreated, 1)
	m = s.next()
	unread := log.add(TypeTaskCreated, 4)
	log.flush()
	log.add(TypeSystemFlushed, 1)
	m.Ack()
	s.take(log.add(TypeTaskCreated, 1)...)
	found.want(t, Gap{5, 10, GapTrimmed}, Gap{unread[0].Seq, unread[3].Seq, GapFlushed})
}

// An event that was trimmed from the topic while a member held it comes from the log, else as a gap.
func TestGroupSubscriberTakesOverWhatWasTrimmed(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 3)
	found := new(gaps)
	config := GroupSubscriberConfig{Group: "g", Consumer: "dies", ClaimAfter: 30 * time.Millisecond, ClaimEvery: 10 * time.Millisecond, MaxDeliveries: 3}
	s := log.group(t, "task.created", config)
	s.next()
	s.close()
	log.trimTopic(TypeTaskCreated, 1)
	config.Consumer = "lives"
	config.OnGap = func(_ context.Context, _ string, g Gap) error { return found.add(g) }
	s = log.group(t, "task.created", config)
	got := map[string]bool{}
	for range ids {
		m := s.next()
		got[m.UUID] = true
		m.Ack()
	}
	if len(got) != 3 {
		t.Errorf("got %v", got)
	}
	log.nothingPending("task.created", "g")
	found.want(t)

	s.close()
	lost := log.add(TypeTaskCreated, 1)[0].Seq
	config.Consumer = "dies too"
	s = log.group(t, "task.created", config)
	s.next()
	s.close()
	kept := log.add(TypeTaskCreated, 1)
	log.trimTopic(TypeTaskCreated, 1)
	log.trim(kept[0])
	config.Consumer = "lives"
	log.group(t, "task.created", config).take(kept...)
	log.nothingPending("task.created", "g")
	found.want(t, Gap{lost, lost, GapTrimmed})
}
