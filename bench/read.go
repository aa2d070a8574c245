package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/redisconn"
)

const (
	readEvents = 500_000
	// stockMessages are fewer, because the stock subscriber takes a round trip or two for each.
	stockMessages = 20_000
)

// readLog compares the readers of package events with XREAD and with the stock Watermill subscriber.
func (b *bench) readLog(ctx context.Context, st *stack) error {
	const namespace = "read"
	space, err := keys.New(namespace)
	if err != nil {
		return err
	}
	if err := createTasks(ctx, st, namespace, readEvents); err != nil {
		return err
	}
	read, err := b.alternate(ctx, st, nil,
		side{"events.Reader", func(ctx context.Context, t *turn, _ time.Duration) error {
			r, err := events.NewReader(st.client, events.ReaderConfig{Namespace: namespace})
			if err != nil {
				return err
			}
			t.start()
			n := 0
			for after := (events.ID{}); n < readEvents; {
				batch, err := r.Read(ctx, after)
				if err != nil {
					return err
				}
				n, after = n+len(batch.Entries), batch.Last()
			}
			t.stop(n)
			return nil
		}},
		side{"XREAD COUNT 1000", func(ctx context.Context, t *turn, _ time.Duration) error {
			t.start()
			n := 0
			for after := "0"; n < readEvents; {
				reply, err := st.client.XRead(ctx, &redis.XReadArgs{Streams: []string{space.Events(), after}, Count: 1000, Block: -1}).Result()
				if err != nil {
					return err
				}
				page := reply[0].Messages
				n, after = n+len(page), page[len(page)-1].ID
			}
			t.stop(n)
			return nil
		}},
	)
	if err != nil {
		return err
	}
	b.rate("reading 500,000 events, envelopes decoded / XREAD COUNT 1000", compare(read, 0, 1), 0.5)

	if err := b.stockStream(ctx, st, space); err != nil {
		return err
	}
	watermillTurns, err := b.alternate(ctx, st, nil,
		side{"events.Subscriber", func(ctx context.Context, t *turn, _ time.Duration) error {
			sub, err := events.NewSubscriber(st.client, events.SubscriberConfig{ReaderConfig: events.ReaderConfig{Namespace: namespace}})
			if err != nil {
				return err
			}
			return consume(ctx, t, sub, "*", readEvents)
		}},
		side{"stock watermill-redisstream, consumer group", func(ctx context.Context, t *turn, _ time.Duration) error {
			client, err := redisconn.Open(st.server.URL(), "") // of its own, because Close closes it
			if err != nil {
				return err
			}
			sub, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
				Client: client, ConsumerGroup: "bench-" + strconv.FormatInt(time.Now().UnixNano(), 36),
			}, watermill.NopLogger{})
			if err != nil {
				return err
			}
			return consume(ctx, t, sub, stockStream, stockMessages)
		}},
	)
	if err != nil {
		return err
	}
	b.rate("the Watermill subscriber, one message an event / stock watermill-redisstream", compare(watermillTurns, 0, 1), 25)
	return nil
}

const stockStream = "stock"

// stockStream copies events into a stream that the stock subscriber understands.
func (b *bench) stockStream(ctx context.Context, st *stack, space keys.Space) error {
	entries, err := st.client.XRangeN(ctx, space.Events(), "-", "+", stockMessages).Result()
	if err != nil {
		return err
	}
	client, err := redisconn.Open(st.server.URL(), "") // of its own, because Close closes it
	if err != nil {
		return err
	}
	pub, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: client}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	for _, e := range entries {
		data, _ := e.Values["data"].(string)
		if err := pub.Publish(stockStream, message.NewMessage(e.ID, []byte(data))); err != nil {
			return err
		}
	}
	return pub.Close()
}

// consume receives and acknowledges n messages.
func consume(ctx context.Context, t *turn, sub message.Subscriber, topic string, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.start()
	messages, err := sub.Subscribe(ctx, topic)
	if err != nil {
		return err
	}
	for got := 0; got < n; got++ {
		select {
		case m, ok := <-messages:
			if !ok {
				return errors.New("the subscription ended")
			}
			m.Ack()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	t.stop(n)
	return sub.Close()
}
