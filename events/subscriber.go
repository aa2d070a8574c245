package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
)

// Metadata of a [Subscriber]'s messages, beside the payload, which is the envelope's JSON.
const (
	MetadataType      = "type"
	MetadataSeq       = "seq"
	MetadataTimestamp = "timestamp" // ms
	MetadataActor     = "actor"
	MetadataCause     = "cause"       // not set if there is none
	MetadataTrace     = "traceparent" // not set if there is none
)

// SubscriberConfig configures a [Subscriber].
type SubscriberConfig struct {
	ReaderConfig

	// Name is the service's. With one, the subscriber keeps a checkpoint and goes on from there
	// after a restart; at any time only one process may use a name. Without, it starts anew each
	// time.
	Name string
	// Checkpoints keeps the checkpoint; default RedisCheckpoints on the client.
	Checkpoints CheckpointStore
	// Start is the event after which to start when there is no checkpoint; zero is the first event
	// kept.
	Start ID
	// FromNow starts at the log's end when there is no checkpoint. After a flush there is none
	// either: a service that was down then misses what happened since.
	FromNow bool

	// NackDelay is the wait before an event that was refused comes again; it doubles each time up
	// to NackDelayMax. Defaults 100ms and 30s.
	NackDelay, NackDelayMax time.Duration

	// OnRollback says after which event to go on when the log was rolled back (the zero ID: from
	// the first kept). Default, and on its error: the subscription ends, see Err.
	OnRollback func(*RolledBackError) (ID, error)
	// OnBadEvent is given an event that does not decode, of whatever type it may have been. On its
	// error it is called again, as after a nack. Default: it is logged and passed over.
	OnBadEvent func(context.Context, Entry) error
}

func (c *SubscriberConfig) setDefaults() {
	c.ReaderConfig.setDefaults()
	if c.NackDelay == 0 {
		c.NackDelay = 100 * time.Millisecond
	}
	if c.NackDelayMax == 0 {
		c.NackDelayMax = max(30*time.Second, c.NackDelay)
	}
}

func (c SubscriberConfig) validate() error {
	switch {
	case c.Name == "" && c.Checkpoints != nil:
		return errors.New("checkpoints need a name")
	case c.FromNow && !c.Start.IsZero():
		return errors.New("both Start and FromNow are set")
	case c.NackDelay < 0 || c.NackDelayMax < c.NackDelay:
		return fmt.Errorf("nack delay from %s to %s makes no sense", c.NackDelay, c.NackDelayMax)
	}
	return validateName(c.Name)
}

// Subscriber follows the log and gives one Watermill message an event, in the log's order; the next
// one comes when the one before was acked. It is for services.
//
// Delivery is at least once: the checkpoint is saved after the ack, at the latest each 100
// messages, each second, and at the end, so a process that dies gets what it acked last once more.
// What a message holds: UUID, the event's ID; payload, the envelope's JSON; metadata, see
// [MetadataType] and its like. A message's context ends with the ack and with the subscription.
//
// It waits out an outage of Redis. When the log was rolled back and no OnRollback helps, or a gap
// is found, the subscription's channel is closed and
// [Subscriber.Err] says why.
type Subscriber struct {
	*lifecycle
	config SubscriberConfig
	reader *Reader
	active atomic.Bool // a subscription uses the name
}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber checks the configuration; it does not call Redis. The client stays the caller's.
func NewSubscriber(client redis.UniversalClient, config SubscriberConfig) (*Subscriber, error) {
	config.setDefaults()
	reader, err := NewReader(client, config.ReaderConfig)
	if err != nil {
		return nil, err
	}
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("new event subscriber: %w", err)
	}
	if config.Name != "" && config.Checkpoints == nil {
		if config.Checkpoints, err = NewRedisCheckpoints(client, config.Namespace); err != nil {
			return nil, err
		}
	}
	return &Subscriber{lifecycle: newLifecycle(), config: config, reader: reader}, nil
}

// Subscribe starts a subscription. topic is a list as [ParseFilter] reads it: `*`, `task.*`,
// `task.created,instance.failed`. A subscriber with a name has one subscription at a time: a
// checkpoint has one position. The channel is closed when ctx ends, when the subscriber is closed,
// and on what Err tells.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	filter, err := ParseFilter(topic)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	named := s.config.Name != ""
	if named && !s.active.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("subscribe to %s: the name %q has a subscription; give each handler a subscriber with a name of its own",
			topic, s.config.Name)
	}
	sub := &subscription{Subscriber: s, filter: filter, out: make(chan *message.Message)}
	if s.config.FromNow {
		// Now is now, not when Redis is back.
		if err := sub.locate(ctx); err != nil {
			s.active.Store(false)
			return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
		}
	}
	err = s.start(ctx, func(ctx context.Context) {
		defer close(sub.out)
		if named {
			defer s.active.Store(false)
		}
		sub.run(ctx)
	})
	if err != nil {
		s.active.Store(false)
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return sub.out, nil
}

// Err says why a subscription ended by itself; nil while all is well and after Close. Such errors
// are [*RolledBackError], [*GapError], or what OnRollback gave.
func (s *Subscriber) Err() error { return s.failure() }

// Close ends all subscriptions, saves their checkpoints, and waits until their goroutines are gone,
// which takes up to the reader's Block. It does not close the Redis client.
func (s *Subscriber) Close() error {
	s.stop()
	return nil
}

// newMessage makes an event into a message.
func newMessage(e Entry) *message.Message {
	m := message.NewMessage(e.ID.String(), message.Payload(e.Raw))
	m.Metadata.Set(MetadataType, string(e.Envelope.Type))
	m.Metadata.Set(MetadataSeq, strconv.FormatInt(e.Envelope.Seq, 10))
	m.Metadata.Set(MetadataTimestamp, strconv.FormatInt(e.Envelope.Timestamp, 10))
	m.Metadata.Set(MetadataActor, e.Envelope.Actor)
	if e.Envelope.Cause != nil {
		m.Metadata.Set(MetadataCause, *e.Envelope.Cause)
	}
	if e.Envelope.Trace != nil {
		m.Metadata.Set(MetadataTrace, *e.Envelope.Trace)
	}
	return m
}
