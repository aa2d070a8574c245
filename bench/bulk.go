package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/claudebench/claudebench/bench/wire"
)

const (
	createMany = 1000 // tasks in a task.create_many
	claimMany  = 100  // tasks in a task.claim and in a task.complete_many
)

// bulk compares a task's whole life by the methods for many tasks with that of a job in River and in
// BullMQ, and by single calls with that in BullMQ.
func (b *bench) bulk(ctx context.Context) error {
	return b.with(ctx, "bulk", func(st *stack) error {
		off, err := st.serve(ctx, coordinator{namespace: "bulk-off", bare: true})
		if err != nil {
			return err
		}
		on, err := st.serve(ctx, coordinator{namespace: "bulk-on"})
		if err != nil {
			return err
		}
		for _, p := range []*program{off, on} {
			if err := registerWorkers(ctx, p, "agent", singleCallers, 1000); err != nil {
				return err
			}
		}
		pool, err := openRiver(ctx, st)
		if err != nil {
			return err
		}
		defer pool.Close()
		sides := []side{
			{"River, InsertManyFast", func(ctx context.Context, t *turn, d time.Duration) error { return riverLives(ctx, t, pool, tasksOf(d)) }},
			{"bulk, projections off", func(ctx context.Context, t *turn, d time.Duration) error { return bulkLives(ctx, t, off, tasksOf(d)) }},
			{"bulk, projections on", func(ctx context.Context, t *turn, d time.Duration) error { return bulkLives(ctx, t, on, tasksOf(d)) }},
			{"asynq", func(ctx context.Context, t *turn, d time.Duration) error { return asynqLives(ctx, t, tasksOf(d)) }},
			{"single calls, claims of 10", func(ctx context.Context, t *turn, d time.Duration) error { return singleLives(ctx, t, on, tasksOf(d)/4) }},
		}
		dir, err := installBullMQ(ctx, st.site)
		if err != nil && !errors.Is(err, errNoNode) {
			return err
		}
		if err == nil {
			for _, mode := range []string{"bulk", "single"} {
				sides = append(sides, side{"BullMQ, " + mode, func(ctx context.Context, t *turn, d time.Duration) error {
					return bullmqLives(ctx, t, dir, tasksOf(d), mode)
				}})
			}
		} else {
			b.say("    BullMQ is not compared: %s", err)
		}
		rows, err := b.alternate(ctx, st, on.settled, sides...)
		if err != nil {
			return err
		}
		for _, line := range []struct {
			name            string
			ours, reference int
			mark            float64
		}{
			{"life in bulk, projections on / River InsertManyFast", 2, 0, 0.8},
			{"life in bulk, projections off / River InsertManyFast", 1, 0, 1},
			{"life in bulk, projections on / asynq", 2, 3, 1.6},
			{"life in bulk, projections on / BullMQ addBulk", 2, 5, 1.4},
			{"life by single calls, claims of 10, projections on / BullMQ add", 4, 6, 1},
		} {
			if line.reference < len(sides) {
				b.rate(line.name, compare(rows, line.ours, line.reference), line.mark)
			}
		}
		return nil
	})
}

// bulkLives creates n tasks by task.create_many, claims them by hundreds, completes them by
// task.complete_many.
func bulkLives(ctx context.Context, t *turn, p *program, n int) error {
	create := single(p.addr, "task.create_many", `{"tasks":[`+strings.TrimSuffix(strings.Repeat(createParams+",", createMany), ",")+`]}`)
	return life(ctx, t, p, batchCallers, n, createMany, claimMany, create, func(request, ids []byte) []byte {
		return wire.AppendPost(request, p.addr, "/rpc", appendCall(nil, 1, "task.complete_many", `{"items":[`+string(ids)+`]}`))
	})
}

// singleLives creates n tasks one a call, claims them by tens, and completes them one a call.
func singleLives(ctx context.Context, t *turn, p *program, n int) error {
	return life(ctx, t, p, singleCallers, n, 1, 10, single(p.addr, "task.create", createParams), nil)
}

// life creates n tasks in lots, then claims and completes them, with so many callers. complete
// returns the request that completes items, each an object of task.complete; nil sends one call for
// each item.
func life(ctx context.Context, t *turn, p *program, callers, n, lot, perClaim int, create []byte, complete func(request, items []byte) []byte) error {
	conns := make([]*wire.HTTP, callers)
	for i := range conns {
		var err error
		if conns[i], err = wire.DialHTTP(ctx, p.addr); err != nil {
			return err
		}
		defer conns[i].Close()
	}
	n -= n % lot
	var created, taken, done atomic.Int64
	t.start()
	err := each(ctx, callers, func(ctx context.Context, i int) error {
		for created.Add(int64(lot)) <= int64(n) && ctx.Err() == nil {
			answer, err := conns[i].Call(create)
			if err == nil && lot > 1 {
				err = allDone(answer)
			}
			if err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	err = each(ctx, callers, func(ctx context.Context, i int) error {
		worker := workerName("agent", i)
		claim := single(p.addr, "task.claim", fmt.Sprintf(`{"workerId":%q,"maxTasks":%d}`, worker, perClaim))
		var request []byte
		for taken.Add(int64(perClaim)) <= int64(n) && ctx.Err() == nil {
			answer, err := conns[i].Call(claim)
			if err != nil {
				return err
			}
			var items [][]byte
			for id := range claimedIDs(answer, true) {
				items = append(items, fmt.Appendf(nil, `{"id":"%s","workerId":%q,"attempt":1}`, id, worker))
			}
			if len(items) != perClaim {
				return fmt.Errorf("claimed %d tasks instead of %d", len(items), perClaim)
			}
			done.Add(int64(len(items)))
			if complete != nil {
				items = [][]byte{joined(items)}
			}
			for _, item := range items {
				if complete != nil {
					request = complete(request[:0], item)
				} else {
					request = wire.AppendPost(request[:0], p.addr, "/rpc", appendCall(nil, 1, "task.complete", string(item)))
				}
				answer, err := conns[i].Call(request)
				if err == nil && complete != nil {
					err = allDone(answer)
				}
				if err != nil {
					return err
				}
			}
		}
		return ctx.Err()
	})
	t.stop(n)
	if err == nil && done.Load() != int64(n) {
		err = fmt.Errorf("%d tasks of %d are done", done.Load(), n)
	}
	return err
}

// allDone returns an error if an item of a call failed.
func allDone(answer []byte) error {
	if bytes.Contains(answer, []byte(`"failed":0,`)) {
		return nil
	}
	return fmt.Errorf("items failed: %.300s", answer)
}

func joined(items [][]byte) []byte {
	var all []byte
	for i, item := range items {
		if i > 0 {
			all = append(all, ',')
		}
		all = append(all, item...)
	}
	return all
}
