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
	// Reader reads the log. Several subscribers may share one. The default is a Reader made from
	// the ReaderConfig.
	Reader BatchReader
	// Start returns the event to read after: the handler's own checkpoint, from its own store. It
	// is called at the start, after a nack and after OnBroken. If it fails, it is called again with
	// growing delays. Required.
	Start func(ctx context.Context) (ID, error)
	// OnBroken is called when the log was rolled back or has a gap ([*RolledBackError],
	// [*GapError]), so that the handler can adjust its checkpoint. Start is called after it. If it
	// fails, it is called again with growing delays. The default ends the subscription; see Err.
	OnBroken func(ctx context.Context, err error) error
	// RetryDelay is the delay after a nack or a failure of Start or OnBroken. It doubles each time
	// up to RetryDelayMax. The defaults are 100ms and 5s.
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

// BatchSubscriber follows the log and sends one Watermill message for each batch. It is for
// handlers that save their checkpoint in the same transaction as their results, such as
// projections. The batch is in the message's context, see [BatchFrom]. The message's UUID is the
// last event's ID; its payload is a note for logs.
//
// After an ack it continues after the batch; the next batch is read in advance. During an outage of
// Redis it waits.
type BatchSubscriber struct {
	*lifecycle
	config BatchSubscriberConfig
	reader BatchReader
}

var _ message.Subscriber = (*BatchSubscriber)(nil)

// NewBatchSubscriber checks the configuration. It does not call Redis and does not take ownership
// of the client.
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
		return nil, fmt.Errorf("new event batch subscriber: retry delay from %s to %s is not valid: want 0 or more, and the first delay at most the last",
			config.RetryDelay, config.RetryDelayMax)
	}
	return &BatchSubscriber{lifecycle: newLifecycle(), config: config, reader: reader}, nil
}

type batchKey struct{}

// BatchFrom returns the batch of a [BatchSubscriber]'s message, or false if the message has none.
func BatchFrom(m *message.Message) (Batch, bool) {
	b, ok := m.Context().Value(batchKey{}).(Batch)
	return b, ok
}

// Subscribe starts a subscription. The topic must be [All], because a batch without some of its
// events would have gaps.
func (s *BatchSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if topic != All {
		return nil, fmt.Errorf("subscribe to batches of %q: the only topic is %q", topic, All)
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

// Err returns the error that ended a subscription. It is nil while the subscriptions run and after
// Close.
func (s *BatchSubscriber) Err() error { return s.failure() }

// Close ends all subscriptions and waits for their goroutines, for up to the reader's Block. It
// does not close the Redis client.
func (s *BatchSubscriber) Close() error {
	s.stop()
	return nil
}

// errNacked restarts a subscription.
var errNacked = errors.New("the batch was nacked")

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
			logger.Error("the event log has changed since it was read", "error", err)
			if s.config.OnBroken == nil {
				s.fail(err)
				return
			}
			if err := s.config.OnBroken(ctx, err); err != nil && ctx.Err() == nil {
				logger.Error("cannot handle a broken event log; retrying", "error", err)
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
