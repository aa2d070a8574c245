package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
)

// Metadata keys of a [Subscriber]'s messages. The message's payload is the envelope's JSON.
const (
	MetadataType      = "type"
	MetadataSeq       = "seq"
	MetadataTimestamp = "timestamp" // ms
	MetadataActor     = "actor"
	MetadataCause     = "cause"       // absent if there is none
	MetadataTrace     = "traceparent" // absent if there is none
)

// SubscriberConfig configures a [Subscriber].
type SubscriberConfig struct {
	ReaderConfig

	// Name is the service's name. With a name, the subscriber keeps a checkpoint and continues from
	// it after a restart; only one process at a time may use a name. Without a name, it starts from
	// Start or FromNow each time.
	Name string
	// Checkpoints stores the checkpoint. The default is RedisCheckpoints on the client.
	Checkpoints CheckpointStore
	// Start is the event to start after if there is no checkpoint. Zero starts at the first event
	// kept.
	Start ID
	// FromNow starts at the log's end if there is no checkpoint. A flush removes the checkpoint
	// too: a service that was down then misses what happened since.
	FromNow bool

	// NackDelay is the delay before an event is delivered again after a nack. It doubles each time
	// up to NackDelayMax. The defaults are 100ms and 30s.
	NackDelay, NackDelayMax time.Duration

	// OnRollback returns the event to continue after when the log was rolled back; the zero ID
	// continues at the first event kept. By default, or if it fails, the subscription ends; see
	// Err.
	OnRollback func(*RolledBackError) (ID, error)
	// OnGap is called when events are gone that this subscriber has not read, before the event behind
	// them. If it fails, it is called again as after a nack. The default logs the gap.
	OnGap func(context.Context, Gap) error
	// OnBadEvent is called for an event that does not decode, of whatever type it was. If it fails,
	// it is called again as after a nack. The default logs and skips the event.
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
		return fmt.Errorf("nack delay from %s to %s is not valid: want 0 or more, and the first delay at most the last", c.NackDelay, c.NackDelayMax)
	}
	return validateName(c.Name)
}

// Subscriber follows the log for a service. It sends one Watermill message for each event, in the
// log's order, and the next one after the ack.
//
// Delivery is at least once. The checkpoint is saved after the ack: at least every 100 messages,
// every second, and at the end. A process that dies gets the messages since its last save again.
//
// A message's UUID is the event's ID, its payload is the envelope's JSON, and its metadata has
// [MetadataType] and the other keys. Its context ends with the ack and with the subscription.
//
// During an outage of Redis the Subscriber waits. When the log was rolled back and OnRollback does
// not help, or on a gap, it closes the subscription's channel and [Subscriber.Err] returns the
// error.
type Subscriber struct {
	*lifecycle
	config SubscriberConfig
	open   func(topic string) (source, error)
	active atomic.Bool // a subscription uses the name
}

// source is what a subscription reads the log from.
type source interface {
	BatchReader
	Last(ctx context.Context) (ID, error)
	// Close ends what the source keeps open. It can be used again.
	Close()
}

// sharedSource is a Reader as the source of all subscriptions.
type sharedSource struct{ *Reader }

// Close does nothing, because a Reader keeps nothing open.
func (sharedSource) Close() {}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber checks the configuration. It does not call Redis and does not take ownership of the
// client.
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
	open := func(string) (source, error) { return sharedSource{reader}, nil }
	return &Subscriber{lifecycle: newLifecycle(), config: config, open: open}, nil
}

// Subscribe starts a subscription. The topic is a list for [ParseFilter]: `*`, `task.*`,
// `task.created,instance.failed`. A subscriber with a name has one subscription at a time, because
// a checkpoint has one position. The channel is closed when ctx ends, when the subscriber is
// closed, and when the subscription fails; see Err.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	filter, err := ParseFilter(topic)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	source, err := s.open(topic)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	named := s.config.Name != ""
	if named && !s.active.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("subscribe to %s: the name %q already has a subscription; create a subscriber with another name for each handler",
			topic, s.config.Name)
	}
	sub := &subscription{Subscriber: s, source: source, filter: filter, out: make(chan *message.Message)}
	if s.config.FromNow {
		// FromNow means the time of Subscribe, not the time when Redis is back.
		if err := sub.locate(ctx); err != nil {
			source.Close()
			s.active.Store(false)
			return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
		}
	}
	err = s.start(ctx, func(ctx context.Context) {
		defer close(sub.out)
		defer source.Close()
		if named {
			defer s.active.Store(false)
		}
		sub.run(ctx)
	})
	if err != nil {
		source.Close()
		s.active.Store(false)
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return sub.out, nil
}

// Err returns the error that ended a subscription: a [*RolledBackError], a [*GapError], or the
// error of OnRollback. It is nil while the subscriptions run and after Close.
func (s *Subscriber) Err() error { return s.failure() }

// Close ends all subscriptions, saves their checkpoints, and waits for their goroutines, for up to
// the reader's Block. It does not close the Redis client.
func (s *Subscriber) Close() error {
	s.stop()
	return nil
}

// newMessage makes a message from an event.
func newMessage(e Entry) *message.Message {
	id := e.ID.String()
	timestamp, seq, _ := strings.Cut(id, "-")
	m := message.NewMessage(id, message.Payload(e.Raw))
	m.Metadata.Set(MetadataType, string(e.Envelope.Type))
	m.Metadata.Set(MetadataSeq, seq)
	m.Metadata.Set(MetadataTimestamp, timestamp)
	m.Metadata.Set(MetadataActor, e.Envelope.Actor)
	if e.Envelope.Cause != nil {
		m.Metadata.Set(MetadataCause, *e.Envelope.Cause)
	}
	if e.Envelope.Trace != nil {
		m.Metadata.Set(MetadataTrace, *e.Envelope.Trace)
	}
	return m
}
