package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/claudebench/claudebench/bench/wire"
	"github.com/claudebench/claudebench/internal/keys"
)

// later measures work that waits: for a time, for other tasks, and to be called off.
func (b *bench) later(ctx context.Context) error {
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"claims beside scheduled tasks", b.besideScheduled},
		{"promotion", b.promotion},
		{"dependents", b.dependents},
		{"lateness", b.lateClaims},
		{"cancellation", b.cancellation},
	} {
		if err := part.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

const (
	scheduledTasks = 1_000_000
	// farAway is the delay of tasks that do not become due during a figure.
	farAway = 30 * 24 * time.Hour
)

// besideScheduled compares a claim while scheduledTasks tasks are scheduled with one while none is.
// The two coordinators have no projections, so that the figure need not wait until those have
// applied a million events.
func (b *bench) besideScheduled(ctx context.Context) error {
	return b.with(ctx, "scheduled", func(st *stack) error {
		none := &fleet{name: "none scheduled", instances: 1, times: map[string][]time.Duration{}}
		many := &fleet{name: "many scheduled", instances: 1, times: map[string][]time.Duration{}}
		for namespace, f := range map[string]*fleet{"time-none": none, "time-many": many} {
			var err error
			if f.program, err = st.serve(ctx, coordinator{namespace: namespace, bare: true}); err != nil {
				return err
			}
			if err := registerWorkers(ctx, f.program, "agent", f.instances, 10); err != nil {
				return err
			}
		}
		began := time.Now()
		err := createInLots(ctx, many.program, scheduledTasks, func(i int) string {
			return fmt.Sprintf(`{"text":%q,"priority":%d,"delayMs":%d}`, taskText, taskPriority, farAway.Milliseconds()+int64(i))
		})
		if err != nil {
			return err
		}
		space, err := keys.New("time-many")
		if err != nil {
			return err
		}
		if err := st.holds(ctx, space.Scheduled(), scheduledTasks); err != nil {
			return err
		}
		b.say("    scheduled %d tasks in %s", scheduledTasks, time.Since(began).Round(time.Millisecond))
		if err := b.calls(ctx, none, many); err != nil {
			return err
		}
		b.ratio("task.claim, 1,000,000 tasks scheduled / none", middle(many.times["task.claim"]), middle(none.times["task.claim"]), 1.1)
		return nil
	})
}

const (
	dueTasks = 100_000
	// dueAfter is how long dueTasks may take to be created and applied by the projections, before
	// they are due.
	dueAfter = 25 * time.Second
)

// promotion measures how fast tasks that are all scheduled for one moment become pending, without
// and with projections.
func (b *bench) promotion(ctx context.Context) error {
	for _, bare := range []bool{true, false} {
		projections := "on"
		if bare {
			projections = "off"
		}
		namespace := "promotion-" + projections
		err := b.with(ctx, namespace, func(st *stack) error {
			p, err := st.serve(ctx, coordinator{namespace: namespace, bare: bare})
			if err != nil {
				return err
			}
			var rates []float64
			for range b.rounds {
				took, err := promoteOnce(ctx, st, p, namespace)
				if err != nil {
					return err
				}
				rates = append(rates, dueTasks/took.Seconds())
				b.say("    %d tasks pending %s after they were due", dueTasks, took)
			}
			rate := median(rates)
			b.results = append(b.results, result{
				figure: "100,000 tasks due at one moment: promoted, projections " + projections,
				ours:   perSecond(rate), mark: "≥ 20000/s", reached: rate >= 20_000,
			})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// promoteOnce schedules dueTasks for one moment and returns the time from then to the last task.due,
// by the log.
func promoteOnce(ctx context.Context, st *stack, p *program, namespace string) (time.Duration, error) {
	space, err := keys.New(namespace)
	if err != nil {
		return 0, err
	}
	clock, err := readRedisClock(ctx, st)
	if err != nil {
		return 0, err
	}
	before, err := st.client.ZCard(ctx, space.Pending()).Result()
	if err != nil {
		return 0, fmt.Errorf("count the pending tasks: %w", err)
	}
	moment := clock.now().Add(dueAfter).Truncate(time.Millisecond)
	task := fmt.Sprintf(`{"text":%q,"priority":%d,"runAt":%q}`, taskText, taskPriority, moment.Format(momentFormat))
	if err := createInLots(ctx, p, dueTasks, same(task)); err != nil {
		return 0, err
	}
	if !p.bare {
		if err := p.settled(ctx); err != nil {
			return 0, err
		}
	}
	if !clock.now().Before(moment) {
		return 0, errors.New("the tasks were due before all were created: the machine is too busy to measure")
	}
	if err := st.holds(ctx, space.Scheduled(), dueTasks); err != nil {
		return 0, err
	}
	if err := pause(ctx, moment.Sub(clock.now())); err != nil {
		return 0, err
	}
	err = until(ctx, pollEvery, func() (bool, error) {
		left, err := st.client.ZCard(ctx, space.Scheduled()).Result()
		return left == 0, err
	})
	if err != nil {
		return 0, err
	}
	if err := st.holds(ctx, space.Pending(), before+dueTasks); err != nil {
		return 0, err
	}
	last, err := lastEvent(ctx, st, space, "task.due")
	return last.Sub(moment), err
}

const (
	lateRate    = 1000 // tasks a second
	lateWorkers = 100
	leastLate   = 5000 // of a turn
	// lateAfter is how long the tasks of a turn may take to be created and applied by the
	// projections, before the first of them is due.
	lateAfter = 5 * time.Second
)

// lateClaims measures the time from a task's runAt to the answer of a claim that waited for it, by
// Redis's clock, while lateRate tasks become due each second.
func (b *bench) lateClaims(ctx context.Context) error {
	return b.with(ctx, "lateness", func(st *stack) error {
		p, err := st.serve(ctx, coordinator{namespace: "lateness"})
		if err != nil {
			return err
		}
		if err := enlist(ctx, p, "late", "worker", lateWorkers, longTTL); err != nil {
			return err
		}
		var p99 []time.Duration
		for range b.rounds {
			times, err := lateTimes(ctx, st, p, max(leastLate, int(b.duration.Seconds()*lateRate)))
			if err != nil {
				return err
			}
			slices.Sort(times)
			p99 = append(p99, times[len(times)*99/100])
			b.say("    %-36s p50 %v, p99 %v, max %v", "lateness of due tasks", middle(times), p99[len(p99)-1], times[len(times)-1])
		}
		b.span("lateness of due tasks at 1,000/s, p99", middle(p99), 150*time.Millisecond)
		return nil
	})
}

var dueLabel = []byte(`"text":"due `)

// lateTimes schedules n tasks, lateRate for each second, and returns how late each was claimed by a
// worker that waited.
func lateTimes(ctx context.Context, st *stack, p *program, n int) ([]time.Duration, error) {
	clock, err := readRedisClock(ctx, st)
	if err != nil {
		return nil, err
	}
	arrived := make([]atomic.Int64, n) // Redis's clock, ns
	workers := &crew{fleet: "late", n: lateWorkers, took: func(answer []byte) {
		now := clock.now()
		_, label, _ := bytes.Cut(answer, dueLabel)
		if i, err := strconv.Atoi(string(label[:max(0, bytes.IndexByte(label, '"'))])); err == nil {
			arrived[i].Store(now.UnixNano())
		}
	}}
	working, end, err := workers.start(ctx, p)
	if err != nil {
		return nil, err
	}
	first := clock.now().Add(lateAfter).Truncate(time.Millisecond)
	runAt := func(i int) time.Time { return first.Add(time.Duration(i) * time.Second / lateRate) }
	err = p.waiting(working, lateWorkers)
	if err == nil {
		err = createInLots(working, p, n, func(i int) string {
			return fmt.Sprintf(`{"text":"due %d","runAt":%q}`, i, runAt(i).Format(momentFormat))
		})
	}
	if err == nil {
		err = p.settled(working)
	}
	if err == nil && !clock.now().Before(first) {
		err = errors.New("the tasks were due before all were created: the machine is too busy to measure")
	}
	if err == nil {
		err = workers.finish(working, n)
	}
	if err = errors.Join(err, end()); err != nil {
		return nil, err
	}
	times := make([]time.Duration, n)
	for i := range times {
		times[i] = time.Unix(0, arrived[i].Load()).Sub(runAt(i))
		// A millisecond for the reading of the clock. A task that nobody claimed has the arrival 0.
		if times[i] < -time.Millisecond {
			return nil, fmt.Errorf("task %d was claimed %v before its time, or by nobody", i, -times[i])
		}
	}
	return times, p.waiting(ctx, 0)
}

// momentFormat is ISO 8601 in milliseconds.
const momentFormat = "2006-01-02T15:04:05.000Z07:00"

// redisClock is a reading of Redis's clock.
type redisClock struct{ redis, read time.Time }

// now returns the time by Redis's clock.
func (c redisClock) now() time.Time { return c.redis.Add(time.Since(c.read)) }

// readRedisClock reads Redis's clock several times. The reading with the shortest round trip counts.
func readRedisClock(ctx context.Context, st *stack) (redisClock, error) {
	var best redisClock
	shortest := time.Duration(-1)
	for range 20 {
		sent := time.Now()
		at, err := st.client.Time(ctx).Result()
		if err != nil {
			return best, fmt.Errorf("read Redis's clock: %w", err)
		}
		if took := time.Since(sent); shortest < 0 || took < shortest {
			best, shortest = redisClock{at.UTC(), sent.Add(took / 2)}, took
		}
	}
	return best, nil
}

// holds checks that a queue has n tasks.
func (st *stack) holds(ctx context.Context, queue string, n int64) error {
	has, err := st.client.ZCard(ctx, queue).Result()
	if err != nil {
		return fmt.Errorf("count the tasks of %s: %w", queue, err)
	}
	if has != n {
		return fmt.Errorf("%s has %d tasks instead of %d", queue, has, n)
	}
	return nil
}

// createInLots creates n tasks by task.create_many, batchCallers lots at a time. task returns the
// params of task.create for the i-th.
func createInLots(ctx context.Context, p *program, n int, task func(i int) string) error {
	var next atomic.Int64
	return each(ctx, batchCallers, func(ctx context.Context, _ int) error {
		conn, err := wire.DialHTTP(ctx, p.addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		for ctx.Err() == nil {
			till := int(next.Add(createMany))
			from := till - createMany
			if from >= n {
				return nil
			}
			tasks := make([]string, min(till, n)-from)
			for i := range tasks {
				tasks[i] = task(from + i)
			}
			answer, err := conn.Call(single(p.addr, "task.create_many", `{"tasks":[`+strings.Join(tasks, ",")+`]}`))
			if err == nil {
				err = allDone(answer)
			}
			if err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}
