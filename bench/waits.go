package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// openFiles is how many files the coordinator and this program may need at once. The Go runtime
// raises the soft limit to the hard one.
const openFiles = idleWaiters + 500

// waits measures claims that wait for a task.
func (b *bench) waits(ctx context.Context) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if limit.Max < openFiles {
		b.notRun("claims that wait for a task", fmt.Sprintf("ulimit -n %d", openFiles), 0)
		return nil
	}
	if err := b.with(ctx, "wakes", func(st *stack) error { return b.wakes(ctx, st) }); err != nil {
		return fmt.Errorf("time to wake: %w", err)
	}
	if err := b.with(ctx, "idle", func(st *stack) error { return b.idle(ctx, st) }); err != nil {
		return fmt.Errorf("idle: %w", err)
	}
	if err := b.with(ctx, "busy", func(st *stack) error { return b.busy(ctx, st) }); err != nil {
		return fmt.Errorf("busy: %w", err)
	}
	return nil
}

const (
	wakeRate    = 100 // tasks a second
	wakeWorkers = 16
	leastWakes  = 500 // of a turn, so that a p99 is more than the slowest three
)

// wakes measures the time from sending task.create to the answer of the claim that waited for it.
// The worker waits at the same coordinator or at another one, in turns.
func (b *bench) wakes(ctx context.Context, st *stack) error {
	const namespace = "waits-wakes"
	var programs []*program
	for range 2 {
		p, err := st.serve(ctx, coordinator{namespace: namespace})
		if err != nil {
			return err
		}
		programs = append(programs, p)
	}
	if err := enlist(ctx, programs[0], "waiter", "worker", wakeWorkers, longTTL); err != nil {
		return err
	}
	var p50, p99 [2][]time.Duration
	order := []int{0, 1}
	for range b.rounds {
		for _, at := range order {
			times, err := wakeTimes(ctx, programs[0], programs[at], max(leastWakes, int(b.duration.Seconds()*wakeRate)))
			if err != nil {
				return err
			}
			slices.Sort(times)
			p50[at], p99[at] = append(p50[at], middle(times)), append(p99[at], times[len(times)*99/100])
			b.say("    %-36s p50 %v, p99 %v, max %v", [...]string{"same coordinator", "another coordinator"}[at],
				p50[at][len(p50[at])-1], p99[at][len(p99[at])-1], times[len(times)-1])
		}
		slices.Reverse(order)
	}
	b.span("task.create to a waiting claim's answer at 100/s, p50", middle(p50[0]), 2*time.Millisecond)
	b.span("the same, p99", middle(p99[0]), 10*time.Millisecond)
	b.span("the same, worker at another coordinator, p99", middle(p99[1]), 15*time.Millisecond)
	return nil
}

var taskLabel = []byte(`"text":"wake `)

// wakeTimes creates n tasks at wakeRate at a coordinator, while workers wait at another or the same
// one, and returns how long each task took.
func wakeTimes(ctx context.Context, at, workersAt *program, n int) ([]time.Duration, error) {
	began := time.Now()
	sent, arrived := make([]atomic.Int64, n), make([]atomic.Int64, n)
	workers := &crew{fleet: "waiter", n: wakeWorkers, took: func(answer []byte) {
		now := time.Since(began)
		_, label, _ := bytes.Cut(answer, taskLabel)
		if i, err := strconv.Atoi(string(label[:bytes.IndexByte(label, '"')])); err == nil {
			arrived[i].Store(int64(now))
		}
	}}
	working, end, err := workers.start(ctx, workersAt)
	if err != nil {
		return nil, err
	}
	err = workersAt.waiting(working, wakeWorkers)
	if err == nil {
		err = paced(working, at, time.Second/wakeRate, n, func(i int) []byte {
			request := single(at.addr, "task.create", fmt.Sprintf(`{"text":"wake %d"}`, i))
			sent[i].Store(int64(time.Since(began)))
			return request
		})
	}
	if err == nil {
		err = workers.finish(working, n)
	}
	if err = errors.Join(err, end()); err != nil {
		return nil, err
	}
	times := make([]time.Duration, n)
	for i := range times {
		times[i] = time.Duration(arrived[i].Load() - sent[i].Load())
	}
	return times, workersAt.waiting(ctx, 0)
}

const (
	busyWorkers = 1000
	busyRate    = 2000 // tasks a second
	// Tasks are created by several callers, in small batches so that the generator is cheap.
	busyCallers = 4
	busyBatch   = 10
	// busyPoll is how long a polling worker that found no task pauses.
	busyPoll = time.Second
)

// busy compares workers that wait with workers that poll, while tasks are created at a fixed rate.
func (b *bench) busy(ctx context.Context, st *stack) error {
	p, err := st.serve(ctx, coordinator{namespace: "waits-busy"})
	if err != nil {
		return err
	}
	if err := enlist(ctx, p, "busy", "worker", busyWorkers, longTTL); err != nil {
		return err
	}
	var waited, polled []float64 // claims for each task, the warm-up included
	sides := []side{
		{"1,000 workers that wait", func(ctx context.Context, t *turn, d time.Duration) error {
			claims, err := busyTurn(ctx, p, &crew{fleet: "busy", n: busyWorkers}, t, d)
			waited = append(waited, claims)
			return err
		}},
		{"1,000 workers that poll", func(ctx context.Context, t *turn, d time.Duration) error {
			claims, err := busyTurn(ctx, p, &crew{fleet: "busy", n: busyWorkers, poll: busyPoll}, t, d)
			polled = append(polled, claims)
			return err
		}},
	}
	rows, err := b.alternate(ctx, st, p.settled, sides...)
	if err != nil {
		return err
	}
	b.rate("tasks at 2,000/s done by 1,000 waiting workers / polling once a second", compare(rows, 0, 1), 0)
	// In hundredths: the coordinator's looks for tasks once a second are not caused by tasks.
	ours, theirs := math.Round(100*median(waited[1:]))/100, median(polled[1:])
	b.results = append(b.results, result{
		figure: "the same, claims for each task", ours: fmt.Sprintf("%.2f", ours), reference: fmt.Sprintf("%.2f", theirs),
		mark: "≤ 2", reached: ours <= 2,
	})
	return nil
}

// busyTurn creates tasks at busyRate for d, and returns how many claims were made for each task when
// the last one is completed.
func busyTurn(ctx context.Context, p *program, workers *crew, t *turn, d time.Duration) (claims float64, err error) {
	working, end, err := workers.start(ctx, p)
	if err != nil {
		return 0, err
	}
	waiting := workers.poll == 0
	attempts := func() (float64, error) {
		if waiting {
			return p.metric(working, "claudebench_claim_attempts_total")
		}
		return float64(workers.claims.Load()), nil
	}
	claims, err = func() (float64, error) {
		if waiting {
			err = p.waiting(working, workers.n)
		} else {
			err = pause(working, 2*workers.poll) // all of them have begun
		}
		if err != nil {
			return 0, err
		}
		before, err := attempts()
		if err != nil {
			return 0, err
		}
		t.start()
		n, err := createAtRate(working, p, d)
		if err != nil {
			return 0, err
		}
		err = workers.finish(working, n)
		t.stop(n)
		if err != nil {
			return 0, err
		}
		after, err := attempts()
		return (after - before) / float64(n), err
	}()
	if err = errors.Join(err, end()); err != nil {
		return 0, err
	}
	return claims, p.waiting(ctx, 0)
}

// createAtRate creates tasks at busyRate for d and returns how many.
func createAtRate(ctx context.Context, p *program, d time.Duration) (n int, err error) {
	const interval = time.Second * busyCallers * busyBatch / busyRate
	batches := max(1, int(d/interval))
	request := batch(p.addr, "task.create", busyBatch, same(createParams))
	err = each(ctx, busyCallers, func(ctx context.Context, i int) error {
		if err := pause(ctx, interval*time.Duration(i)/busyCallers); err != nil {
			return err
		}
		return paced(ctx, p, interval, batches, func(int) []byte { return request })
	})
	return busyCallers * busyBatch * batches, err
}
