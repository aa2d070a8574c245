package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
)

// BatchReader reads the log as [Reader.Read] does.
type BatchReader interface {
	Read(ctx context.Context, after ID) (Batch, error)
}

// BatchSubscriberConfig configures a [BatchSubscriber].
type BatchSubscriberConfig struct {
	ReaderConfig

	Name string // for the logs
	// Reader reads the log in place of one made from the ReaderConfig, so that several subscribers
	// can read together.
	Reader BatchReader
	// Start returns the event after which to read: the handler's own checkpoint, as its store has
	// it. It is asked at the start, after a nack, and after OnBroken; on its error it is asked
	// again, later and later. Required.
	Start func(ctx context.Context) (ID, error)
	// OnBroken is told that the log was rolled back or has a gap ([*RolledBackError], [*GapError]),
	// so that the handler makes its checkpoint fit (or not); then Start is asked. On its error this
	// happens again, later and later. Default: the subscription ends, see Err.
	OnBroken func(ctx context.Context, err error) error
	// RetryDelay is the wait after a nack or an error of Start or OnBroken; it doubles each time up
	// to RetryDelayMax. Defaults 100ms and 5s.
	RetryDelay, RetryDelayMax time.Duration
}

func (c *BatchSubscriberConfig) setDefaults() {
	c.ReaderConfig.setDefaults()
	if c.RetryDelay == 0 {
		c.RetryDelay = 100 * time.Millisecond
	}
	if c.RetryDelayMax == 0 {
		c.RetryDelayMax = max(5*time.Second, c.RetryDelay)
	}
}

// BatchSubscriber follows the log and gives one Watermill message a batch, for handlers that keep
// their checkpoint themselves, in the transaction of what they write: projections. The batch is in
// the message's context, see
// [BatchFrom]; its UUID is the last event's ID, its payload a note for logs.
//
// After an ack it goes on behind the batch; the next one is read meanwhile. It waits out an outage
// of Redis.
type BatchSubscriber struct {
	*lifecycle
	config BatchSubscriberConfig
	reader BatchReader
}

var _ message.Subscriber = (*BatchSubscriber)(nil)

// NewBatchSubscriber checks the configuration; it does not call Redis. The client stays the
// caller's.
func NewBatchSubscriber(client redis.UniversalClient, config BatchSubscriberConfig) (*BatchSubscriber, error) {
	config.setDefaults()
	reader := config.Reader
	if reader == nil {
		var err error
		if reader, err = NewReader(client, config.ReaderConfig); err != nil {
			return nil, err
		}
	}
	switch {
	case config.Start == nil:
		return nil, errors.New("new event batch subscriber: Start is required")
	case config.RetryDelay < 0 || config.RetryDelayMax < config.RetryDelay:
		return nil, fmt.Errorf("new event batch subscriber: retry delay from %s to %s makes no sense",
			config.RetryDelay, config.RetryDelayMax)
	}
	return &BatchSubscriber{lifecycle: newLifecycle(), config: config, reader: reader}, nil
}

type batchKey struct{}

// BatchFrom returns the batch that a [BatchSubscriber]'s message brings; false if it brings none.
func BatchFrom(m *message.Message) (Batch, bool) {
	b, ok := m.Context().Value(batchKey{}).(Batch)
	return b, ok
}

// Subscribe starts a subscription; topic must be [All], since a batch without some of its events
// would be one with gaps.
func (s *BatchSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if topic != All {
		return nil, fmt.Errorf("subscribe to batches of %q: only %q can be had", topic, All)
	}
	out := make(chan *message.Message)
	err := s.start(ctx, func(ctx context.Context) {
		defer close(out)
		s.run(ctx, out)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to batches: %w", err)
	}
	return out, nil
}

// Err says why a subscription ended by itself; nil while all is well and after Close.
func (s *BatchSubscriber) Err() error { return s.failure() }

// Close ends all subscriptions and waits until their goroutines are gone, which takes up to the
// reader's Block. It does not close the Redis client.
func (s *BatchSubscriber) Close() error {
	s.stop()
	return nil
}

// errNacked makes a subscription start again.
var errNacked = errors.New("the batch was refused")

func (s *BatchSubscriber) run(ctx context.Context, out chan<- *message.Message) {
	logger := s.config.Logger.With("subscriber", s.config.Name)
	retry := backoff{first: s.config.RetryDelay, last: s.config.RetryDelayMax}
	down := outage{logger: logger, step: "loading the checkpoint"}
	feed := feed{reader: s.reader, logger: logger}
	for ctx.Err() == nil {
		after, err := s.config.Start(ctx)
		if err == nil {
			down.worked()
			err = feed.follow(ctx, after, func(b Batch) error {
				acked, err := offer(ctx, out, batchMessage(b))
				if err == nil && !acked {
					return errNacked
				}
				retry.reset()
				return err
			})
		} else if ctx.Err() == nil {
			down.failed(err)
		}
		if ctx.Err() != nil {
			return
		}
		if IsBroken(err) {
			logger.Error("the event log is not what was read before", "error", err)
			if s.config.OnBroken == nil {
				s.fail(err)
				return
			}
			if err := s.config.OnBroken(ctx, err); err != nil && ctx.Err() == nil {
				logger.Error("handling a broken event log", "error", err)
			}
		}
		if retry.wait(ctx) != nil {
			return
		}
	}
}

func batchMessage(b Batch) *message.Message {
	note := fmt.Sprintf(`{"first":"%s","last":"%s","events":%d}`, b.Entries[0].ID, b.Last(), len(b.Entries))
	m := message.NewMessage(b.Last().String(), message.Payload(note))
	m.SetContext(context.WithValue(context.Background(), batchKey{}, b))
	return m
}
