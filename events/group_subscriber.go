package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/keys"
)

// GroupSubscriberConfig configures a [GroupSubscriber].
type GroupSubscriberConfig struct {
	Namespace string // the coordinator's --namespace
	// Group is the consumer group, whose members share the events. Required.
	Group string
	// Consumer is this member's name in the group. The default is a new name each time. Redis
	// remembers every name ever used, so a stable name, such as the host's, is better.
	Consumer string
	// FromNow makes a new group start at the topic's end. The default is the first event kept. A
	// group that is lost while this subscriber runs always restarts at the first event kept.
	FromNow bool
	// Block is how long one wait for an event lasts. The default is 1s. Close may take as long.
	Block time.Duration
	// ClaimAfter is how long a member may hold an event before another member takes it over. The
	// default is 1m. It must be longer than any handler takes.
	ClaimAfter time.Duration
	// ClaimEvery is how often the subscriber looks for such events. The default is 5s.
	ClaimEvery time.Duration
	// NackDelay is the delay before an event is delivered again after a nack. The default is 100ms.
	NackDelay time.Duration
	// OnBadEvent is called for an entry that does not decode. The default logs it. The entry is
	// acked in either case.
	OnBadEvent func(topic string, raw []byte, err error)
	Logger     *slog.Logger // default slog.Default()
}

func (c *GroupSubscriberConfig) setDefaults() {
	if c.Consumer == "" {
		c.Consumer = watermill.NewShortUUID()
	}
	for _, d := range []struct {
		value   *time.Duration
		initial time.Duration
	}{
		{&c.Block, time.Second},
		{&c.ClaimAfter, time.Minute},
		{&c.ClaimEvery, 5 * time.Second},
		{&c.NackDelay, 100 * time.Millisecond},
	} {
		if *d.value == 0 {
			*d.value = d.initial
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

func (c GroupSubscriberConfig) validate(client redis.UniversalClient) error {
	switch {
	case client == nil:
		return errors.New("a Redis client is required")
	case c.Group == "":
		return errors.New("a group is required")
	case c.Block < time.Millisecond || c.ClaimAfter < time.Millisecond ||
		c.ClaimEvery < time.Millisecond || c.NackDelay < time.Millisecond:
		return errors.New("a duration is shorter than a millisecond")
	}
	return errors.Join(validateName(c.Group), validateName(c.Consumer))
}

// GroupSubscriber reads one topic, the stream of one type of event, as a member of a Redis consumer
// group. The members share the work. It wraps Watermill's Redis Streams subscriber and corrects its
// faults: it skips an entry that does not decode, recreates the group after a flush, leaves the
// client open, never deletes a consumer, and delivers an event unchanged after a nack.
//
// Some limits remain, so it is unfit for anything that needs order:
//   - Two members handle events concurrently, and what a dead member held comes after ClaimAfter,
//     behind newer events.
//   - Delivery is at least once: an event whose handler takes longer than ClaimAfter goes to
//     another member too, and a recreated group starts at the first event that the topic keeps.
//   - Each event costs two round trips.
//   - A topic is trimmed to about 10,000 entries: a group that falls further behind loses events. A
//     [Subscriber] does not.
type GroupSubscriber struct {
	inner  *redisstream.Subscriber
	client *groupClient
	space  keys.Space
	config GroupSubscriberConfig
	*lifecycle
}

var _ message.Subscriber = (*GroupSubscriber)(nil)

// NewGroupSubscriber checks the configuration. It does not call Redis and does not take ownership
// of the client.
func NewGroupSubscriber(client redis.UniversalClient, config GroupSubscriberConfig) (*GroupSubscriber, error) {
	config.setDefaults()
	if err := config.validate(client); err != nil {
		return nil, fmt.Errorf("new event group subscriber: %w", err)
	}
	space, err := keys.New(config.Namespace)
	if err != nil {
		return nil, fmt.Errorf("new event group subscriber: %w", err)
	}
	oldest := "0"
	if config.FromNow {
		oldest = "$"
	}
	s := &GroupSubscriber{lifecycle: newLifecycle(), space: space, config: config}
	s.client = newGroupClient(s.closing, client, config.Logger)
	s.inner, err = redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client:          s.client,
		Unmarshaller:    groupUnmarshaller{},
		Consumer:        config.Consumer,
		ConsumerGroup:   config.Group,
		OldestId:        oldest,
		BlockTime:       config.Block,
		MaxIdleTime:     config.ClaimAfter,
		ClaimInterval:   config.ClaimEvery,
		NackResendSleep: config.NackDelay,
		// Otherwise the first read blocks forever, and Close with it.
		DisableIndefiniteInitialBlock: true,
	}, watermill.NewSlogLogger(config.Logger))
	if err != nil {
		return nil, fmt.Errorf("new event group subscriber: %w", err)
	}
	return s, nil
}

// Subscribe reads the topic of one type of event. Messages are those of [Subscriber]. The error
// wraps ErrNoTopic if there is no such topic now; one that is dropped later only falls silent.
func (s *GroupSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	filter, err := ParseFilter(topic)
	if err != nil || len(filter.types) != 1 || filter.all || len(filter.prefixes) > 0 {
		return nil, fmt.Errorf("subscribe to %q: a consumer group reads the topic of one event type", topic)
	}
	topics, err := s.client.HGet(ctx, s.space.Log(), "topics").Result()
	if err == nil && !strings.Contains(topics, ","+topic+",") {
		return nil, fmt.Errorf("subscribe to %s: %w; follow the log instead", topic, ErrNoTopic)
	}
	// Without Redis, the inner subscription waits for it.

	// The inner subscription must end together with the goroutine that drains it, whether ctx ends
	// or Close is called.
	ctx, cancel := context.WithCancel(ctx)
	in, err := s.inner.Subscribe(ctx, s.space.Topic(topic))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	out := make(chan *message.Message)
	err = s.start(ctx, func(ctx context.Context) {
		defer cancel()
		defer close(out)
		s.pass(ctx, topic, in, out)
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return out, nil
}

// pass forwards events and drops entries that are not events.
func (s *GroupSubscriber) pass(ctx context.Context, topic string, in <-chan *message.Message, out chan<- *message.Message) {
	for m := range in {
		why := m.Metadata.Get(metadataBad)
		if typ := m.Metadata.Get(MetadataType); why == "" && typ != topic {
			why = fmt.Sprintf("it is of type %q", typ)
		}
		if why != "" {
			if s.config.OnBadEvent != nil {
				s.config.OnBadEvent(topic, m.Payload, errors.New(why))
			} else {
				s.config.Logger.Error("skipped an entry of a topic that is not an event", "topic", topic, "reason", why)
			}
			m.Ack()
			continue
		}
		// Send a copy: after a nack the same message comes again, with all changes that the handler
		// made.
		own := m.Copy()
		own.SetContext(m.Context())
		acked, err := offer(ctx, out, own)
		if err != nil {
			return
		}
		if acked {
			m.Ack()
		} else {
			m.Nack()
		}
	}
}

// Close ends all subscriptions and waits for their goroutines and reads, for up to Block. It does
// not close the Redis client.
func (s *GroupSubscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.close()
	err := s.inner.Close()
	s.wg.Wait()
	s.client.reads.Wait()
	return err
}

// metadataBad marks an entry that does not decode. The unmarshaller sets it for pass instead of
// returning an error, which would end the subscription.
const metadataBad = "_claudebench_bad"

// groupUnmarshaller reads our entries, which have one field.
type groupUnmarshaller struct{}

func (groupUnmarshaller) Unmarshal(values map[string]any) (*message.Message, error) {
	data, ok := values["data"].(string)
	reason := `the entry has no field "data"`
	if ok {
		raw := []byte(data)
		envelope, err := Decode(raw)
		if err == nil {
			return newMessage(Entry{ID: envelope.ID, Envelope: envelope, Raw: raw}), nil
		}
		reason = err.Error()
	}
	m := message.NewMessage(watermill.NewUUID(), message.Payload(data))
	m.Metadata.Set(metadataBad, reason)
	return m, nil
}

// waits counts calls that block in Redis, so that Close can wait for them.
type waits struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

// enter reports whether the call may be made. If so, the caller must call leave afterwards.
func (w *waits) enter(ctx context.Context) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || ctx.Err() != nil {
		return false
	}
	w.wg.Add(1)
	return true
}

func (w *waits) leave() { w.wg.Done() }

// Wait rejects new calls and waits for those in progress.
func (w *waits) Wait() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wg.Wait()
}
