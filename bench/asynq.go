package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"github.com/claudebench/claudebench/bench/wire"
)

const (
	asynqWorkers = 32
	// asynqTasks is how many tasks go through each side.
	asynqTasks = 20_000
)

// asynq compares a task's whole life with that of a task in asynq.
func (b *bench) asynq(ctx context.Context) error {
	return b.with(ctx, "asynq", func(st *stack) error {
		// asynq has nothing like the projections, but a user of ours runs them, so both figures are
		// shown.
		off, err := st.serve(ctx, coordinator{namespace: "asynq-off", bare: true})
		if err != nil {
			return err
		}
		on, err := st.serve(ctx, coordinator{namespace: "asynq-on"})
		if err != nil {
			return err
		}
		for _, p := range []*program{off, on} {
			if err := registerWorkers(ctx, p, "agent", batchCallers, 1000); err != nil {
				return err
			}
		}
		lives := func(p *program, perClaim int) side {
			name := fmt.Sprintf("projections on, claims of %d", perClaim)
			if p == off {
				name = fmt.Sprintf("projections off, claims of %d", perClaim)
			}
			return side{name, func(ctx context.Context, t *turn, d time.Duration) error {
				return lives(ctx, t, p, tasksOf(d), perClaim)
			}}
		}
		reference := side{"asynq", func(ctx context.Context, t *turn, d time.Duration) error { return asynqLives(ctx, t, tasksOf(d)) }}
		rows, err := b.alternate(ctx, st, on.settled, reference, lives(off, 1), lives(off, 10), lives(on, 1), lives(on, 10))
		if err != nil {
			return err
		}
		for i, line := range []struct {
			name string
			mark float64
		}{
			{"create + claim of 1 + complete / asynq, tasks, projections off", 1.3},
			{"create + claim of 10 + complete / asynq, tasks, projections off", 2},
			{"create + claim of 1 + complete / asynq, tasks, projections on", 1.3},
			{"create + claim of 10 + complete / asynq, tasks, projections on", 2},
		} {
			b.rate(line.name, compare(rows, i+1, 0), line.mark)
		}
		return nil
	})
}

// tasksOf makes the warm-up short.
func tasksOf(d time.Duration) int {
	if d == warmUp {
		return asynqTasks / 10
	}
	return asynqTasks
}

// asynqLives enqueues n tasks and processes them. The turn stops when asynq has recorded the last
// task as done.
func asynqLives(ctx context.Context, t *turn, n int) error {
	options := asynq.RedisClientOpt{Addr: t.st.server.Addr(), Password: t.st.server.Password(), PoolSize: 2 * asynqWorkers}
	client := asynq.NewClient(options)
	defer client.Close()
	var handled atomic.Int64
	worker := asynq.NewServer(options, asynq.Config{Concurrency: asynqWorkers, LogLevel: asynq.FatalLevel})

	t.start()
	err := each(ctx, asynqWorkers, func(ctx context.Context, i int) error {
		for range share(n, asynqWorkers, i) {
			if _, err := client.EnqueueContext(ctx, asynq.NewTask("task", []byte(taskText))); err != nil {
				return fmt.Errorf("enqueue to asynq: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = worker.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		handled.Add(1)
		return nil
	}))
	if err != nil {
		return fmt.Errorf("start asynq: %w", err)
	}
	defer worker.Shutdown()
	err = until(ctx, pollEvery/5, func() (bool, error) {
		if handled.Load() < int64(n) {
			return false, nil
		}
		left, err := t.st.client.LLen(ctx, "asynq:{default}:active").Result()
		return left == 0, err
	})
	t.stop(n)
	if err == nil && handled.Load() != int64(n) {
		err = fmt.Errorf("asynq handled %d tasks of %d", handled.Load(), n)
	}
	return err
}

// share returns how many of n belong to the i-th of several workers.
func share(n, of, i int) int { return (i+1)*n/of - i*n/of }

// lives creates n tasks in batches, and claims and completes them in batches.
func lives(ctx context.Context, t *turn, p *program, n, perClaim int) error {
	conns := make([]*wire.HTTP, batchCallers)
	for i := range conns {
		var err error
		if conns[i], err = wire.DialHTTP(ctx, p.addr); err != nil {
			return err
		}
		defer conns[i].Close()
	}
	create := batch(p.addr, "task.create", batchSize, same(createParams))
	var created, taken, done atomic.Int64
	t.start()
	err := each(ctx, batchCallers, func(ctx context.Context, i int) error {
		for created.Add(batchSize) <= int64(n) && ctx.Err() == nil {
			if _, err := conns[i].Call(create); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	err = each(ctx, batchCallers, func(ctx context.Context, i int) error {
		worker := workerName("agent", i)
		claim := batch(p.addr, "task.claim", batchSize/perClaim, same(fmt.Sprintf(`{"workerId":%q,"maxTasks":%d}`, worker, perClaim)))
		var body, request []byte
		for taken.Add(batchSize) <= int64(n) && ctx.Err() == nil {
			answer, err := conns[i].Call(claim)
			if err != nil {
				return err
			}
			claimed := 0
			body = append(body[:0], '[')
			for id := range claimedIDs(answer, perClaim > 1) {
				if claimed++; claimed > 1 {
					body = append(body, ',')
				}
				body = append(body, `{"jsonrpc":"2.0","id":1,"method":"task.complete","params":{"id":"`...)
				body = append(append(body, id...), `","workerId":"`...)
				body = append(append(body, worker...), `","attempt":1}}`...)
			}
			if claimed != batchSize {
				return fmt.Errorf("claimed %d tasks instead of %d", claimed, batchSize)
			}
			request = wire.AppendPost(request[:0], p.addr, "/rpc", append(body, ']'))
			if _, err := conns[i].Call(request); err != nil {
				return err
			}
			done.Add(int64(claimed))
		}
		return ctx.Err()
	})
	t.stop(n)
	if err == nil && done.Load() != int64(n) {
		err = fmt.Errorf("%d tasks of %d are done", done.Load(), n)
	}
	return err
}
