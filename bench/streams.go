package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
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

// streams measures who follows the log: readers in Go, and subscribers over HTTP.
func (b *bench) streams(ctx context.Context) error {
	for _, part := range []struct {
		name    string
		measure func(*bench, context.Context, *stack) error
	}{
		{"streams-read", (*bench).readLog},
		{"streams-late", (*bench).lateness},
		{"streams-many", (*bench).manyStreams},
		{"streams-idle", (*bench).idleStreams},
	} {
		if err := b.with(ctx, part.name, func(st *stack) error { return part.measure(b, ctx, st) }); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

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

const (
	lateSubscribers  = 100
	slowRate         = 100 // events a second
	fastRate         = 1000
	leastDeliveries  = 500 // events of a turn, so that a p99 is more than the slowest few
	manySubscribers  = 1000
	manyRate         = 500
	manyFor          = 10 * time.Second
	idleSubscribers  = 5000
	subscriberBuffer = 16 << 10
)

var eventLabel = []byte(`"text":"event `)

// lateness measures the time from sending task.create to the event at subscribers over HTTP.
func (b *bench) lateness(ctx context.Context, st *stack) error {
	p, err := st.serve(ctx, coordinator{namespace: "streams-late"})
	if err != nil {
		return err
	}
	var slow, fast, raw []time.Duration
	for range b.rounds {
		for _, turn := range []struct {
			name  string
			at    *[]time.Duration
			times func() ([]time.Duration, error)
		}{
			{"SSE, 100 events/s", &slow, func() ([]time.Duration, error) { return eventTimes(ctx, p, slowRate, b.duration) }},
			{"XADD to XREAD, 100/s", &raw, func() ([]time.Duration, error) { return bareTimes(ctx, st, b.duration) }},
			{"SSE, 1,000 events/s", &fast, func() ([]time.Duration, error) { return eventTimes(ctx, p, fastRate, b.duration) }},
		} {
			times, err := turn.times()
			if err != nil {
				return fmt.Errorf("%s: %w", turn.name, err)
			}
			slices.Sort(times)
			*turn.at = append(*turn.at, times[len(times)*99/100])
			b.say("    %-36s p50 %v, p99 %v, max %v", turn.name, middle(times), times[len(times)*99/100], times[len(times)-1])
			if err := p.settled(ctx); err != nil {
				return err
			}
		}
	}
	b.ratio("task.create to 100 SSE subscribers at 100/s, p99 / XADD to a blocked XREAD", middle(slow), middle(raw), 4)
	b.span("the same at 1,000/s, p99", middle(fast), 30*time.Millisecond)
	return nil
}

// eventTimes creates tasks at a rate, and returns how long each event took to each of the
// subscribers.
func eventTimes(ctx context.Context, p *program, rate int, d time.Duration) ([]time.Duration, error) {
	n := max(leastDeliveries, int(d.Seconds()*float64(rate)))
	began := time.Now()
	sent := make([]atomic.Int64, n)
	times := make([][]time.Duration, lateSubscribers)
	var all sync.WaitGroup
	all.Add(lateSubscribers * n)
	subscribers, err := subscribe(ctx, p, lateSubscribers, "types=task.created", func(i int, line []byte) {
		_, label, ok := bytes.Cut(line, eventLabel)
		if !ok {
			return
		}
		if e, err := strconv.Atoi(string(label[:bytes.IndexByte(label, '"')])); err == nil {
			times[i] = append(times[i], time.Since(began)-time.Duration(sent[e].Load()))
			all.Done()
		}
	})
	if err != nil {
		return nil, err
	}
	defer subscribers.close()
	err = paced(ctx, p, time.Second/time.Duration(rate), n, func(i int) []byte {
		request := single(p.addr, "task.create", fmt.Sprintf(`{"text":"event %d"}`, i))
		sent[i].Store(int64(time.Since(began)))
		return request
	})
	if err != nil {
		return nil, err
	}
	arrived := make(chan struct{})
	go func() {
		all.Wait()
		close(arrived)
	}()
	select {
	case <-arrived:
		return slices.Concat(times...), nil
	case <-time.After(patience):
		return nil, fmt.Errorf("not all of %d events arrived at %d subscribers", n, lateSubscribers)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bareTimes adds entries to a stream at slowRate, and returns how long each took to a blocked XREAD.
func bareTimes(ctx context.Context, st *stack, d time.Duration) ([]time.Duration, error) {
	const stream = "bare"
	if err := st.client.Del(ctx, stream).Err(); err != nil {
		return nil, err
	}
	n := max(leastDeliveries, int(d.Seconds()*slowRate))
	sent, times := make([]atomic.Int64, n), make([]time.Duration, 0, n)
	began := time.Now()
	failed := make(chan error, 1)
	go func() {
		after := "0"
		for len(times) < n {
			reply, err := st.client.XRead(ctx, &redis.XReadArgs{Streams: []string{stream, after}, Block: patience}).Result()
			if err != nil {
				failed <- err
				return
			}
			for _, e := range reply[0].Messages {
				after = e.ID
				i, _ := strconv.Atoi(fmt.Sprint(e.Values["i"]))
				times = append(times, time.Since(began)-time.Duration(sent[i].Load()))
			}
		}
		failed <- nil
	}()
	tick := time.NewTicker(time.Second / slowRate)
	defer tick.Stop()
	for i := range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		sent[i].Store(int64(time.Since(began)))
		if err := st.client.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: []any{"i", i, "text", taskText}}).Err(); err != nil {
			return nil, err
		}
	}
	return times, <-failed
}

// manyStreams measures what 1,000 subscribers get and cost at 500 events a second.
func (b *bench) manyStreams(ctx context.Context, st *stack) error {
	p, err := st.serve(ctx, coordinator{namespace: "streams-many"})
	if err != nil {
		return err
	}
	memory, err := p.memory()
	if os.IsNotExist(err) {
		b.notRun("1,000 subscribers over HTTP", "/proc", 0)
		return nil
	}
	if err != nil {
		return err
	}
	var grown int64
	run := func(subscribers int) func(context.Context, *turn, time.Duration) error {
		return func(ctx context.Context, t *turn, _ time.Duration) error {
			var got atomic.Int64
			s, err := subscribe(ctx, p, subscribers, "types=task.created", func(_ int, line []byte) {
				if bytes.HasPrefix(line, []byte("data: ")) {
					got.Add(1)
				}
			})
			if err != nil {
				return err
			}
			defer s.close()
			const together = 10
			request := batch(p.addr, "task.create", together, same(createParams))
			n := int(manyFor.Seconds()) * manyRate
			t.start()
			if err := paced(ctx, p, time.Second*together/manyRate, n/together, func(int) []byte { return request }); err != nil {
				return err
			}
			want := int64(n * subscribers)
			if err := until(ctx, pollEvery, func() (bool, error) { return got.Load() >= want, s.err() }); err != nil {
				return fmt.Errorf("%d of %d deliveries: %w", got.Load(), want, err)
			}
			t.stop(int(want))
			if subscribers > 1 {
				now, err := p.memory()
				grown = max(grown, now-memory)
				return err
			}
			return nil
		}
	}
	rows, err := b.alternate(ctx, st, p.settled, side{"1,000 subscribers", run(manySubscribers)}, side{"one subscriber", run(1)})
	if err != nil {
		return err
	}
	var rates, with, without []float64
	for _, row := range rows {
		rates = append(rates, row[0].rate())
		with, without = append(with, row[0].used[kindRedis].Seconds()), append(without, row[1].used[kindRedis].Seconds())
	}
	b.results = append(b.results, result{figure: "events delivered to 1,000 SSE subscribers at 500 events/s", ours: perSecond(median(rates)), reference: "500000/s asked for"})
	each := float64(grown) / manySubscribers / (1 << 10)
	b.results = append(b.results, result{
		figure: "memory of the coordinator for each of them, at most", ours: fmt.Sprintf("%.1f KiB", each), mark: "≤ 64 KiB", reached: each <= 64,
	})
	ratio := median(with) / median(without)
	b.results = append(b.results, result{
		figure: "CPU time of Redis for these events / with one subscriber", ours: fmt.Sprintf("%.2f s", median(with)), reference: fmt.Sprintf("%.2f s", median(without)),
		ratio: fmt.Sprintf("%.2f", ratio), mark: "≤ 1.2", reached: ratio <= 1.2,
	})
	return nil
}

// idleStreams measures what 5,000 subscribers cost to whom nothing is sent.
func (b *bench) idleStreams(ctx context.Context, st *stack) error {
	p, err := st.serve(ctx, coordinator{namespace: "streams-idle"})
	if err != nil {
		return err
	}
	const filter = "types=system.flushed"
	before, err := p.memory()
	if os.IsNotExist(err) {
		b.notRun("5,000 idle subscribers", "/proc", 0)
		return nil
	}
	if err != nil {
		return err
	}
	ignore := func(int, []byte) {}
	idle, err := subscribe(ctx, p, idleSubscribers, filter, ignore)
	if err != nil {
		return err
	}
	after, err := p.memory()
	idle.close()
	if err != nil {
		return err
	}
	grown := float64(after-before) / (1 << 20)
	b.results = append(b.results, result{
		figure: "memory of the coordinator for 5,000 idle SSE subscribers", ours: fmt.Sprintf("%.0f MiB", grown), mark: "≤ 200 MiB", reached: grown <= 200,
	})
	rows, err := b.alternate(ctx, st, p.settled,
		side{"commands beside 5,000 idle subscribers", func(ctx context.Context, t *turn, d time.Duration) error {
			idle, err := subscribe(ctx, p, idleSubscribers, filter, ignore)
			if err != nil {
				return err
			}
			defer idle.close()
			return errors.Join(build(ctx, p, t, d), idle.err())
		}},
		side{"commands beside none", func(ctx context.Context, t *turn, d time.Duration) error { return build(ctx, p, t, d) }},
	)
	if err != nil {
		return err
	}
	b.rate("commands beside 5,000 idle subscribers / without them", compare(rows, 0, 1), 1/1.1)
	return nil
}

// subscribers are streams of a coordinator's events over HTTP.
type subscribers struct {
	conns  []net.Conn
	over   atomic.Bool
	failed atomic.Pointer[error]
	done   sync.WaitGroup
}

// subscribe opens n streams and returns when all have begun. took gets each line of each stream.
func subscribe(ctx context.Context, p *program, n int, query string, took func(i int, line []byte)) (*subscribers, error) {
	s := &subscribers{conns: make([]net.Conn, n)}
	began := make(chan struct{}, n)
	err := each(ctx, n, func(ctx context.Context, i int) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
		if err != nil {
			return err
		}
		s.conns[i] = conn
		_, err = fmt.Fprintf(conn, "GET /events?%s HTTP/1.1\r\nHost: %s\r\n\r\n", query, p.addr)
		return err
	})
	if err != nil {
		s.close()
		return nil, err
	}
	for i, conn := range s.conns {
		s.done.Go(func() { s.follow(i, conn, began, took) })
	}
	for range n {
		select {
		case <-began:
		case <-time.After(patience):
			s.close()
			return nil, errors.Join(errors.New("not all streams began"), s.err())
		case <-ctx.Done():
			s.close()
			return nil, ctx.Err()
		}
	}
	return s, nil
}

// follow reads a stream until it is closed. A line that is longer than the buffer comes in parts.
func (s *subscribers) follow(i int, conn net.Conn, began chan<- struct{}, took func(int, []byte)) {
	in := bufio.NewReaderSize(conn, subscriberBuffer)
	for first := true; ; {
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if !s.over.Load() {
				err = fmt.Errorf("stream %d ended: %w", i, err)
				s.failed.CompareAndSwap(nil, &err)
			}
			return
		}
		if first && bytes.HasPrefix(line, []byte(": claudebench")) {
			first = false
			began <- struct{}{}
		}
		took(i, line)
	}
}

// err returns why a stream has ended by itself.
func (s *subscribers) err() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *subscribers) close() {
	s.over.Store(true)
	for _, conn := range s.conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
	s.done.Wait()
}
