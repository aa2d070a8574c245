package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/lua"
)

// GroupSubscriberConfig configures a [GroupSubscriber].
type GroupSubscriberConfig struct {
	Namespace string // the coordinator's --namespace
	// Group is the consumer group, whose members share the events. Required.
	Group string
	// Consumer is this member's name in the group. The default is a new name each time. Redis
	// remembers every name ever used, so a stable name, such as the host's, is better.
	Consumer string
	// FromNow makes a new group start at the log's end. The default is the first event that the log
	// keeps. A group that is lost while this subscriber runs always restarts at the first event kept.
	FromNow bool
	// Block is how long one wait for an event lasts. The default is 1s. Close may take as long.
	Block time.Duration
	// ClaimAfter is how long a member may hold an event before another member takes it over. The
	// default is 1m. It must be longer than any handler takes.
	ClaimAfter time.Duration
	// ClaimEvery is how often the subscriber looks for such events. The default is 5s.
	ClaimEvery time.Duration
	// NackDelay is the delay before an event is delivered again after a nack. It doubles each time up
	// to NackDelayMax. The defaults are 100ms, and the shorter one of 30s and half of ClaimAfter.
	NackDelay, NackDelayMax time.Duration
	// MaxDeliveries is how often an event is delivered to the group before it is parked: to all
	// members together, over restarts, and also to members that died before they answered. The
	// default is 10. A negative number never parks events.
	MaxDeliveries int
	// OnGap is called when events of the topic may be gone from the log before the group had read
	// them. Of all members, one is called. If it fails, it is called again as after a nack. The
	// default logs the gap.
	OnGap func(ctx context.Context, topic string, gap Gap) error
	// OnBadEvent is called for an entry that does not decode. The default logs it. The entry is
	// parked in either case.
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
	if c.NackDelayMax == 0 {
		c.NackDelayMax = max(min(30*time.Second, c.ClaimAfter/2), c.NackDelay)
	}
	if c.MaxDeliveries == 0 {
		c.MaxDeliveries = 10
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
	case c.NackDelayMax < c.NackDelay:
		return fmt.Errorf("nack delay from %s to %s is not valid: want the first delay at most the last", c.NackDelay, c.NackDelayMax)
	}
	return errors.Join(validateName(c.Group), validateName(c.Consumer))
}

// GroupSubscriber reads one topic, the stream of one type of event, as a member of a Redis consumer
// group. The members share the work.
//
// An event that is nacked is delivered again, to the same member, up to MaxDeliveries. Then it is
// parked: in one step, it is acknowledged and goes to the stream cb:stream:parked with the reason, and
// an operator decides with `claudebench parked`. The same happens to an event whose members died, and
// at once to an entry that does not decode. While that stream is full, the event is not parked but
// delivered on. The other subscribers do not park: the order of the log is their contract, so each of
// their handlers decides itself whether to skip an event.
//
// A topic keeps only its last events. A group that falls behind gets what was trimmed from the log,
// before it goes on with the topic. Where the log was trimmed or flushed too, OnGap is called.
//
// Some limits remain, so it is unfit for anything that needs order:
//   - Two members handle events concurrently, and what a dead member held comes after ClaimAfter,
//     behind newer events.
//   - Delivery is at least once: an event whose handler takes longer than ClaimAfter goes to
//     another member too, and a recreated group starts at the first event kept.
//   - An event that fails holds up its member until it is handled or parked, about 50 seconds with the
//     defaults. The other members go on.
//   - Each event costs a round trip.
type GroupSubscriber struct {
	*lifecycle
	client  redis.UniversalClient
	scripts lua.Scripts
	space   keys.Space
	config  GroupSubscriberConfig
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
	return &GroupSubscriber{
		lifecycle: newLifecycle(), client: client, scripts: lua.NewRunner(client).On(space.Log()), space: space, config: config,
	}, nil
}

// Subscribe reads the topic of one type of event. Messages are those of [Subscriber]. The error
// wraps ErrNoTopic if there is no such topic now; one that is dropped later only falls silent.
// Without Redis, the subscription waits for it, unless FromNow is set: then Subscribe fails, because
// FromNow means the time of Subscribe.
func (s *GroupSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	filter, err := ParseFilter(topic)
	if err != nil || len(filter.types) != 1 || filter.all || len(filter.prefixes) > 0 {
		return nil, fmt.Errorf("subscribe to %q: a consumer group reads the topic of one event type", topic)
	}
	topics, err := s.client.HGet(ctx, s.space.Log(), "topics").Result()
	if err == nil && !strings.Contains(topics, ","+topic+",") {
		return nil, fmt.Errorf("subscribe to %s: %w; follow the log instead", topic, ErrNoTopic)
	}
	sub := &groupSubscription{GroupSubscriber: s, topic: topic, out: make(chan *message.Message)}
	// The first call creates the group.
	if sub.first, err = sub.take(ctx); err != nil && s.config.FromNow {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	err = s.start(ctx, func(ctx context.Context) {
		defer close(sub.out)
		sub.run(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return sub.out, nil
}

// Close ends all subscriptions and waits for their goroutines and reads, for up to Block. It does
// not close the Redis client.
func (s *GroupSubscriber) Close() error {
	s.stop()
	return nil
}
