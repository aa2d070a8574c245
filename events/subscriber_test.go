package events

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// service is a subscriber under test with one subscription.
type service struct {
	t        *testing.T
	sub      message.Subscriber
	messages <-chan *message.Message
}

func (l *testLog) subscribe(t *testing.T, topic string, config SubscriberConfig) *service {
	t.Helper()
	config.Namespace, config.Logger = l.ns, quiet
	config.Block = 20 * time.Millisecond
	sub, err := NewSubscriber(l.client, config)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, sub, topic)
}

func serve(t *testing.T, sub message.Subscriber, topic string) *service {
	t.Helper()
	messages, err := sub.Subscribe(context.Background(), topic)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, sub: sub, messages: messages}
	t.Cleanup(s.close)
	return s
}

func (s *service) close() {
	s.t.Helper()
	if err := s.sub.Close(); err != nil {
		s.t.Error(err)
	}
	if m, open := <-s.messages; open {
		s.t.Errorf("still open after Close, gives %s", m.UUID)
	}
}

// next waits for a message without an ack.
func (s *service) next() *message.Message {
	s.t.Helper()
	select {
	case m, open := <-s.messages:
		if !open {
			s.t.Fatal("the subscription has ended")
		}
		return m
	case <-time.After(wait):
		s.t.Fatal("no message came")
	}
	return nil
}

// take acks the next messages, which must be the events with these IDs.
func (s *service) take(want ...ID) {
	s.t.Helper()
	for _, id := range want {
		m := s.next()
		if m.UUID != id.String() {
			s.t.Fatalf("got %s, want %s", m.UUID, id)
		}
		m.Ack()
	}
}

// ended waits until the subscription ends by itself.
func (s *service) ended() {
	s.t.Helper()
	select {
	case m, open := <-s.messages:
		if open {
			s.t.Fatalf("gives %s, should have ended", m.UUID)
		}
	case <-time.After(wait):
		s.t.Fatal("has not ended")
	}
}

func (l *testLog) checkpoint(t *testing.T, name string) ID {
	t.Helper()
	store, err := NewRedisCheckpoints(l.client, l.ns)
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := store.Load(testContext(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestSubscriberMessages(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 1)
	m := log.subscribe(t, All, SubscriberConfig{}).next()
	e, err := Decode(m.Payload)
	if err != nil || e.ID != ids[0] || m.UUID != ids[0].String() {
		t.Errorf("got %+v, %v", e, err)
	}
	want := message.Metadata{"type": "task.created", "seq": "1", "timestamp": strconv.FormatInt(ids[0].MS, 10), "actor": "test"}
	if diff := cmp.Diff(want, m.Metadata); diff != "" {
		t.Error(diff)
	}
	m.Ack()
}

func TestSubscriberResumes(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 250)
	s := log.subscribe(t, All, SubscriberConfig{Name: "svc"})
	s.take(ids[:120]...)
	// The checkpoint is saved at the second save at the latest; the 121st message is never acked.
	s.next()
	testenv.Eventually(t, wait, func() (bool, string) {
		at := log.checkpoint(t, "svc")
		return at == ids[119], at.String()
	})
	s.close()
	s = log.subscribe(t, All, SubscriberConfig{Name: "svc"})
	s.take(ids[120:]...)
	s.close()
	if at := log.checkpoint(t, "svc"); at != ids[249] {
		t.Errorf("closed at %s, want %s", at, ids[249])
	}
	newer := log.add(TypeTaskCreated, 1)
	log.subscribe(t, All, SubscriberConfig{Name: "svc", FromNow: true}).take(newer...)
}

func TestSaverSavesEachHundred(t *testing.T) {
	var store MemoryCheckpoints
	s := saver{name: "svc", store: &store}
	for seq := int64(1); seq <= 250; seq++ {
		s.moved(ID{MS: 1, Seq: seq})
		s.handled(testContext(t))
		at, _, err := store.Load(testContext(t), "svc")
		if want := seq - seq%saveEvery; err != nil || at.Seq != want {
			t.Fatalf("after %d: saved %d, %v, want %d", seq, at.Seq, err, want)
		}
	}
}

func TestSubscriberStarts(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 10)
	log.subscribe(t, All, SubscriberConfig{}).take(ids...)
	log.subscribe(t, All, SubscriberConfig{Start: ids[4]}).take(ids[5:]...)
	now := log.subscribe(t, All, SubscriberConfig{FromNow: true})
	now.take(log.add(TypeTaskCreated, 1)...)
}

func TestSubscriberFilters(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	log.add(TypeInstanceRegistered, 3)
	want := log.add(TypeTaskCreated, 2)
	log.add(TypeInstanceFailed, 3)
	want = append(want, log.add(TypeLeaderElected, 1)...)
	last := log.add(TypeInstanceFailed, 3)
	s := log.subscribe(t, "task.*,leader.elected", SubscriberConfig{Name: "svc"})
	s.take(want...)
	// Events that the filter excludes count as handled too.
	testenv.Eventually(t, wait, func() (bool, string) {
		at := log.checkpoint(t, "svc")
		return at == last[2], at.String()
	})
}

func TestSubscriberNack(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 2)
	s := log.subscribe(t, All, SubscriberConfig{NackDelay: time.Millisecond})
	for range 3 {
		m := s.next()
		if m.UUID != ids[0].String() {
			t.Fatalf("got %s before %s was acked", m.UUID, ids[0])
		}
		m.Nack()
	}
	s.take(ids...)
}

func TestSubscriberName(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	s := log.subscribe(t, All, SubscriberConfig{Name: "svc"})
	if _, err := s.sub.Subscribe(testContext(t), All); err == nil {
		t.Error("a name took two subscriptions")
	}
	s.close()
	if _, err := s.sub.Subscribe(testContext(t), All); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestSubscriberRollback(t *testing.T) {
	t.Parallel()
	t.Run("ends", func(t *testing.T) {
		log := newTestLog(t)
		ids := log.add(TypeTaskCreated, 10)
		s := log.subscribe(t, All, SubscriberConfig{})
		s.take(ids...)
		log.rollback(ids[4])
		s.ended()
		var rb *RolledBackError
		if err := s.sub.(*Subscriber).Err(); !errors.As(err, &rb) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("goes on where it is told", func(t *testing.T) {
		log := newTestLog(t)
		ids := log.add(TypeTaskCreated, 10)
		s := log.subscribe(t, All, SubscriberConfig{OnRollback: func(rb *RolledBackError) (ID, error) {
			if rb.Checkpoint != ids[9] {
				t.Errorf("got %+v", rb)
			}
			return ids[4], nil
		}})
		s.take(ids...)
		log.rollback(ids[4])
		// Whether it notices before or after these are written, it continues after the events of
		// the older log.
		s.take(log.add(TypeTaskCreated, 3)...)
	})
}

func TestSubscriberGap(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 5)
	if err := log.client.XDel(testContext(t), log.space.Events(), ids[2].String()).Err(); err != nil {
		t.Fatal(err)
	}
	s := log.subscribe(t, All, SubscriberConfig{})
	s.take(ids[:2]...)
	s.ended()
	var gap *GapError
	if err := s.sub.(*Subscriber).Err(); !errors.As(err, &gap) {
		t.Errorf("got %v", err)
	}
}

func TestSubscriberSurvivesFlush(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	s := log.subscribe(t, All, SubscriberConfig{Name: "svc"})
	for range 3 {
		ids := log.add(TypeTaskCreated, 5)
		s.take(ids[:3]...)
		held := s.next()
		log.flush()
		if err := log.client.ScriptFlush(testContext(t)).Err(); err != nil {
			t.Fatal(err)
		}
		held.Ack()
		// Events that were read before the flush are still delivered, and new ones follow.
		s.take(ids[4])
		s.take(log.add(TypeSystemFlushed, 1)...)
	}
}

func TestSubscriberBadEvents(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 1)
	bad := log.bad()
	ids = append(ids, log.add(TypeTaskCreated, 1)...)
	log.subscribe(t, All, SubscriberConfig{}).take(ids...)

	seen := make(chan ID, 2)
	tries := 0
	s := log.subscribe(t, All, SubscriberConfig{NackDelay: time.Millisecond, OnBadEvent: func(_ context.Context, e Entry) error {
		seen <- e.ID
		if tries++; tries == 1 {
			return errors.New("not now")
		}
		return nil
	}})
	s.take(ids...)
	if a, b := <-seen, <-seen; a != bad || b != bad {
		t.Errorf("OnBadEvent got %s and %s, want %s twice", a, b, bad)
	}
}

func TestSubscriberSurvivesRestart(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
	log := newTestLogOn(t, testenv.ClientOf(t, server), testenv.Namespace(t))
	one := log.subscribe(t, All, SubscriberConfig{Name: "svc"})
	batches := log.batches(t, BatchSubscriberConfig{Start: func(context.Context) (ID, error) { return ID{}, nil }})
	group := log.group(t, "task.created", GroupSubscriberConfig{Group: "g"})
	for range 2 {
		ids := log.add(TypeTaskCreated, 5)
		one.take(ids...)
		batches.takeBatch(ids...)
		group.take(ids...)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	ids := log.add(TypeTaskCreated, 5)
	one.take(ids...)
	batches.takeBatch(ids...)
	group.take(ids...)
}

func TestSubscriberStartsWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
	log := newTestLogOn(t, testenv.ClientOf(t, server), testenv.Namespace(t))
	ids := log.add(TypeTaskCreated, 5)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	s := log.subscribe(t, All, SubscriberConfig{Name: "svc"})
	if err := server.Restart(testContext(t)); err != nil {
		t.Fatal(err)
	}
	s.take(ids...)
}

// A save also enters the name in the index, unless the Redis user may not.
func TestCheckpointsAreListed(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	admin := testenv.ClientOf(t, server)
	key, index := log.space.Subscriber("a"), log.space.Checkpoints()
	rules := []any{"ACL", "SETUSER", "unlisted", "on", ">sesame", "~" + key, "-@all", "+@connection", "+@transaction", "+get", "+set"}
	if err := admin.Do(testContext(t), rules...).Err(); err != nil {
		t.Fatal(err)
	}
	unlisted := redis.NewClient(&redis.Options{Addr: server.Addr(), Username: "unlisted", Password: "sesame"})
	t.Cleanup(func() { _ = unlisted.Close() })
	for i, client := range []redis.UniversalClient{unlisted, admin} {
		c, err := NewRedisCheckpoints(client, log.ns)
		if err != nil {
			t.Fatal(err)
		}
		for n := range int64(2) {
			want := ID{MS: 1, Seq: n + 1}
			if err := c.Save(testContext(t), "a", want); err != nil {
				t.Fatal(err)
			}
			if got, ok, err := c.Load(testContext(t), "a"); got != want || !ok || err != nil {
				t.Errorf("loaded %v, %t, %v", got, ok, err)
			}
		}
		listed, err := admin.ZRangeWithScores(testContext(t), index, 0, -1).Result()
		if err != nil || len(listed) != i || i == 1 && time.Since(time.UnixMilli(int64(listed[0].Score))) > time.Minute {
			t.Errorf("listed %v, %v", listed, err)
		}
	}
}
