package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/redisconn"
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

const (
	lateSubscribers = 100
	slowRate        = 100 // events a second
	fastRate        = 1000
	leastDeliveries = 500 // events of a turn, so that a p99 is more than the slowest few
	manySubscribers = 1000
	manyRate        = 500
	manyFor         = 10 * time.Second
	idleSubscribers = 5000
)

var eventLabel = []byte(`"text":"event `)

// lateness measures the time from sending task.create to the event at subscribers over HTTP.
func (b *bench) lateness(ctx context.Context, st *stack) error {
	p, err := st.serve(ctx, coordinator{namespace: "streams-late"})
	if err != nil {
		return err
	}
	var slow, fast, raw, rawMany []time.Duration
	for range b.rounds {
		for _, turn := range []struct {
			name  string
			at    *[]time.Duration
			times func() ([]time.Duration, error)
		}{
			{"SSE, 100 events/s", &slow, func() ([]time.Duration, error) { return eventTimes(ctx, p, slowRate, b.duration) }},
			{"XADD to XREAD, 100/s", &raw, func() ([]time.Duration, error) { return bareTimes(ctx, st, 1, b.duration) }},
			{"XADD to 100 XREADs, 100/s", &rawMany, func() ([]time.Duration, error) { return bareTimes(ctx, st, lateSubscribers, b.duration) }},
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
	b.results = append(b.results, result{
		figure: "the same / XADD to 100 blocked XREADs", ours: middle(slow).Round(time.Microsecond).String(), reference: middle(rawMany).Round(time.Microsecond).String(),
		ratio: fmt.Sprintf("%.2f", float64(middle(slow))/float64(middle(rawMany))),
	})
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

// bareTimes adds entries to a stream at slowRate, and returns how long each took to each of the
// blocked XREADs.
func bareTimes(ctx context.Context, st *stack, readers int, d time.Duration) ([]time.Duration, error) {
	const stream = "bare"
	if err := st.client.Del(ctx, stream).Err(); err != nil {
		return nil, err
	}
	n := max(leastDeliveries, int(d.Seconds()*slowRate))
	sent := make([]atomic.Int64, n)
	times := make([][]time.Duration, readers)
	began := time.Now()
	reading, ctx := errgroup.WithContext(ctx)
	for r := range readers {
		reading.Go(func() error {
			client, err := redisconn.Open(st.server.URL(), "") // of its own, because a blocked call occupies a connection
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			for after := "0"; len(times[r]) < n; {
				reply, err := client.XRead(ctx, &redis.XReadArgs{Streams: []string{stream, after}, Block: patience}).Result()
				if err != nil {
					return err
				}
				for _, e := range reply[0].Messages {
					after = e.ID
					i, _ := strconv.Atoi(fmt.Sprint(e.Values["i"]))
					times[r] = append(times[r], time.Since(began)-time.Duration(sent[i].Load()))
				}
			}
			return nil
		})
	}
	tick := time.NewTicker(time.Second / slowRate)
	defer tick.Stop()
	for i := range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), reading.Wait())
		}
		sent[i].Store(int64(time.Since(began)))
		if err := st.client.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: []any{"i", i, "text", taskText}}).Err(); err != nil {
			return nil, err
		}
	}
	if err := reading.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(times...), nil
}

// manyStreams measures what 1,000 subscribers get and cost at 500 events a second.
func (b *bench) manyStreams(ctx context.Context, st *stack) error {
	p, err := st.serve(ctx, coordinator{namespace: "streams-many"})
	if err != nil {
		return err
	}
	if _, err := p.memory(); os.IsNotExist(err) {
		b.notRun("1,000 subscribers over HTTP", "/proc", 0)
		return nil
	}
	var one, most int64
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
			now, err := p.memory()
			switch {
			case subscribers > 1:
				most = max(most, now)
			case one == 0:
				one = now
			}
			return err
		}
	}
	rows, err := b.alternate(ctx, st, p.settled, side{"one subscriber", run(1)}, side{"1,000 subscribers", run(manySubscribers)})
	if err != nil {
		return err
	}
	var rates, with, without []float64
	for _, row := range rows {
		rates = append(rates, row[1].rate())
		with, without = append(with, row[1].used[kindRedis].Seconds()), append(without, row[0].used[kindRedis].Seconds())
	}
	b.results = append(b.results, result{figure: "events delivered to 1,000 SSE subscribers at 500 events/s", ours: perSecond(median(rates)), reference: "500000/s asked for"})
	each := float64(most-one) / manySubscribers / (1 << 10)
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
