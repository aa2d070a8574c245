package events

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (l *testLog) batches(t *testing.T, config BatchSubscriberConfig) *service {
	t.Helper()
	config.Namespace, config.Logger = l.ns, quiet
	config.Block = 20 * time.Millisecond
	if config.RetryDelay == 0 {
		config.RetryDelay = time.Millisecond
	}
	sub, err := NewBatchSubscriber(l.client, config)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, sub, All)
}

// takeBatch acks batches until these events have come, in this order.
func (s *service) takeBatch(want ...ID) {
	s.t.Helper()
	var got []ID
	for len(got) < len(want) {
		m := s.next()
		b, ok := BatchFrom(m)
		if !ok {
			s.t.Fatal("a message without a batch")
		}
		if m.UUID != b.Last().String() {
			s.t.Errorf("UUID %s, want %s", m.UUID, b.Last())
		}
		got = append(got, entryIDs(b.Entries)...)
		m.Ack()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Fatal(diff)
	}
}

// ledger is a handler's own checkpoint.
type ledger struct {
	mu    sync.Mutex
	at    ID
	asked int
	fail  int // how many calls of start fail first
}

func (l *ledger) start(context.Context) (ID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked++; l.asked <= l.fail {
		return ID{}, errors.New("the store is away")
	}
	return l.at, nil
}

func (l *ledger) set(id ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = id
}

func TestBatchSubscriber(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 25)
	l := &ledger{at: ids[2], fail: 2}
	s := log.batches(t, BatchSubscriberConfig{ReaderConfig: ReaderConfig{BatchSize: 10}, Start: l.start})
	first, _ := BatchFrom(s.next())
	if diff := cmp.Diff(ids[3:13], entryIDs(first.Entries)); diff != "" {
		t.Error(diff)
	}
	s.close()
	if l.asked != 3 {
		t.Errorf("asked %d times for the start", l.asked)
	}
	s = log.batches(t, BatchSubscriberConfig{ReaderConfig: ReaderConfig{BatchSize: 10}, Start: l.start})
	s.takeBatch(ids[3:]...)
	s.takeBatch(log.add(TypeTaskCreated, 3)...)
	if l.asked != 4 {
		t.Errorf("asked %d times for the start", l.asked)
	}
}

func TestBatchSubscriberNack(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 20)
	l := &ledger{}
	s := log.batches(t, BatchSubscriberConfig{ReaderConfig: ReaderConfig{BatchSize: 10}, Start: l.start})
	s.takeBatch(ids[:10]...)
	// Another runner's checkpoint won, so the batch is nacked.
	m := s.next()
	l.set(ids[14])
	m.Nack()
	s.takeBatch(ids[15:]...)
}

func TestBatchSubscriberBroken(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 10)
	l := &ledger{}
	calls := 0
	s := log.batches(t, BatchSubscriberConfig{Start: l.start, OnBroken: func(_ context.Context, err error) error {
		var rb *RolledBackError
		if !errors.As(err, &rb) {
			t.Errorf("got %v", err)
		}
		if calls++; calls == 1 {
			return errors.New("the store is away")
		}
		l.set(ID{}) // a rebuild
		return nil
	}})
	s.takeBatch(ids...)
	l.set(ids[9])
	log.rollback(ids[4])
	s.takeBatch(ids[:5]...)
	s.close()
	if calls < 2 {
		t.Errorf("OnBroken was called %d times", calls)
	}

	l.set(ids[9])
	s = log.batches(t, BatchSubscriberConfig{Start: l.start})
	s.ended()
	if err := s.sub.(*BatchSubscriber).Err(); !IsBroken(err) {
		t.Errorf("got %v", err)
	}
}

func TestBatchSubscriberSurvivesFlush(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	s := log.batches(t, BatchSubscriberConfig{Start: (&ledger{}).start})
	for range 3 {
		s.takeBatch(log.add(TypeTaskCreated, 5)...)
		log.flush()
		s.takeBatch(log.add(TypeSystemFlushed, 1)...)
	}
}

func TestBatchSubscriberRefuses(t *testing.T) {
	log := newTestLog(t)
	if _, err := NewBatchSubscriber(log.client, BatchSubscriberConfig{}); err == nil {
		t.Error("a config without Start was taken")
	}
	sub, err := NewBatchSubscriber(log.client, BatchSubscriberConfig{Start: (&ledger{}).start})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Subscribe(testContext(t), "task.*"); err == nil {
		t.Error("batches of some types were promised")
	}
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
	if _, err := sub.Subscribe(testContext(t), All); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}
