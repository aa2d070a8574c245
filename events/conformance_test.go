package events

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
)

// TestConformance runs Watermill's conformance suite on each subscriber that sends one message for
// each event. Features turns off what does not apply:
//
//   - ExactlyOnceDelivery: delivery is at least once.
//   - ContextPreserved: an event comes from another process.
//   - RestartServiceCommand: the suite's publisher repeats writes whose outcome is unknown.
//     TestSubscriberSurvivesRestart restarts Redis.
//   - GuaranteedOrder of the group subscriber: a group's members share the events.
//
// The suite cannot express a message with many events, so the batch subscriber is not in it.
func TestConformance(t *testing.T) {
	log := newTestLog(t)
	reader := ReaderConfig{Namespace: log.ns, Block: 20 * time.Millisecond, Logger: quiet}
	features := tests.Features{
		GuaranteedOrder:                  true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
		ForceShort:                       true, // the long form repeats the same with more messages
	}
	t.Run("fan-out", func(t *testing.T) {
		open := func(t *testing.T) (message.Publisher, message.Subscriber) {
			sub, err := NewSubscriber(log.client, SubscriberConfig{
				ReaderConfig: reader, NackDelay: time.Millisecond, NackDelayMax: time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			return carrier{log}, unpacked(t, sub)
		}
		tests.TestPubSub(t, features, open, nil)
	})
	t.Run("with a checkpoint", func(t *testing.T) {
		features := features
		features.ConsumerGroups = true // each name acts as a group of one
		open := func(t *testing.T, name string) (message.Publisher, message.Subscriber) {
			return carrier{log}, unpacked(t, &named{open: func(topic string) (*Subscriber, error) {
				return NewSubscriber(log.client, SubscriberConfig{
					ReaderConfig: reader, Name: name + topic, NackDelay: time.Millisecond, NackDelayMax: time.Millisecond,
				})
			}})
		}
		one := func(t *testing.T) (message.Publisher, message.Subscriber) { return open(t, watermill.NewShortUUID()) }
		tests.TestPubSub(t, features, one, open)
	})
	inGroup := func(t *testing.T, publisher message.Publisher) {
		features := features
		features.ConsumerGroups = true
		features.GuaranteedOrder = false
		features.GuaranteedOrderWithSingleSubscriber = true
		open := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
			sub, err := NewGroupSubscriber(log.client, GroupSubscriberConfig{
				Namespace: log.ns, Group: group, Block: 20 * time.Millisecond, Logger: quiet,
				ClaimAfter: 2 * time.Second, ClaimEvery: 500 * time.Millisecond, NackDelay: time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			return publisher, unpacked(t, sub)
		}
		one := func(t *testing.T) (message.Publisher, message.Subscriber) { return open(t, watermill.NewShortUUID()) }
		tests.TestPubSub(t, features, one, open)
	}
	t.Run("group", func(t *testing.T) { inGroup(t, carrier{log}) })
	// Most events come from the log.
	t.Run("group that is trimmed under", func(t *testing.T) { inGroup(t, trimmer{carrier{log}}) })
}

// trimmer trims the topic after each publication.
type trimmer struct{ carrier }

func (c trimmer) Publish(topic string, messages ...*message.Message) error {
	if err := c.carrier.Publish(topic, messages...); err != nil {
		return err
	}
	return c.log.client.XTrimMaxLen(context.Background(), c.log.space.Topic(topic), 2).Err()
}

// carrier publishes the suite's messages as payloads of events, because only commands publish to
// the real log.
type carrier struct{ log *testLog }

type carried struct {
	UUID     string           `json:"uuid"`
	Metadata message.Metadata `json:"metadata"`
	Payload  []byte           `json:"payload"`
}

func (c carrier) Publish(topic string, messages ...*message.Message) error {
	payloads := make([]json.RawMessage, 0, len(messages))
	for _, m := range messages {
		p, err := EncodePayload(carried{m.UUID, m.Metadata, m.Payload})
		if err != nil {
			return err
		}
		payloads = append(payloads, p)
	}
	_, err := c.log.append(Type(topic), payloads...)
	return err
}

func (carrier) Close() error { return nil }

// unpacked returns the suite its own messages. Watermill's own decorator for that hangs in Close
// when nobody takes the last message.
func unpacked(t *testing.T, sub message.Subscriber) message.Subscriber {
	u := &unpacker{t: t, Subscriber: sub}
	// The suite does not close all of them. Closing twice is allowed.
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

type unpacker struct {
	message.Subscriber
	t  *testing.T
	wg sync.WaitGroup
}

func (u *unpacker) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := u.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	u.wg.Go(func() {
		defer close(out)
		for m := range in {
			u.unpack(m)
			select {
			case out <- m:
			case <-m.Context().Done():
			}
		}
	})
	return out, nil
}

func (u *unpacker) unpack(m *message.Message) {
	e, err := Decode(m.Payload)
	if err != nil {
		u.t.Error(err)
		return
	}
	var c carried
	if err := json.Unmarshal(e.Payload, &c); err != nil {
		u.t.Error(err)
		return
	}
	m.UUID, m.Metadata, m.Payload = c.UUID, c.Metadata, c.Payload
}

func (u *unpacker) Close() error {
	err := u.Subscriber.Close()
	u.wg.Wait()
	return err
}

// named opens a subscriber for each subscription, as a service with several handlers does.
type named struct {
	open func(topic string) (*Subscriber, error)

	mu   sync.Mutex
	subs []*Subscriber
}

func (n *named) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	sub, err := n.open(topic)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.subs = append(n.subs, sub)
	n.mu.Unlock()
	return sub.Subscribe(ctx, topic)
}

func (n *named) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, sub := range n.subs {
		errs = append(errs, sub.Close())
	}
	return errors.Join(errs...)
}
