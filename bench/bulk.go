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

	// How many tasks or jobs go through each side in a turn.
	bulkTasks   = 20_000
	singleTasks = 10_000
)

// The sides of bulk.
const (
	oursOn = iota
	oursOff
	oursLean
	riverFast
	riverMany
	asynqOne
	bullmqBulk
	oursSingle
	bullmqSingle
)

// bulkSides are the names of these sides.
var bulkSides = []string{
	oursOn:       "ours in bulk, projections on",
	oursOff:      "ours in bulk, projections off",
	oursLean:     "ours in bulk, projections on, no topics",
	riverFast:    "River InsertManyFast, 2,000 workers",
	riverMany:    "River InsertMany, 100 workers",
	asynqOne:     "asynq, 32 workers",
	bullmqBulk:   "BullMQ addBulk, concurrency 100",
	oursSingle:   "ours by single calls, projections on",
	bullmqSingle: "BullMQ add, concurrency 32",
}

// bulkLines are the comparisons of bulk. Without a mark there is no target.
var bulkLines = []struct {
	name            string
	ours, reference int
	mark            float64
}{
	{"life in bulk, projections on / River InsertManyFast", oursOn, riverFast, 0.8},
	{"life in bulk, projections off / River InsertManyFast", oursOff, riverFast, 1},
	{"life in bulk, projections on / River InsertMany, 100 workers", oursOn, riverMany, 0},
	{"life in bulk, projections on / asynq, 32 workers", oursOn, asynqOne, 1.6},
	{"life in bulk, projections on / BullMQ addBulk", oursOn, bullmqBulk, 1.4},
	{"life in bulk, projections on, no topics / with all topics", oursLean, oursOn, 0},
	{"life by single calls, claims of 10, projections on / BullMQ add", oursSingle, bullmqSingle, 1},
}

// lifeCost is how much CPU time a life of ours may take.
const lifeCost = 200 * time.Microsecond

// bulk compares a task's whole life by the methods for many tasks with that of a job in River, asynq
// and BullMQ, and by single calls with that in BullMQ.
func (b *bench) bulk(ctx context.Context) error {
	if server := b.lacks("redis-server", "postgres"); server != "" {
		b.bulkReport(nil, server)
		return nil
	}
	return b.with(ctx, "bulk", func(st *stack) (err error) {
		off, err := st.serve(ctx, coordinator{namespace: "bulk-off", bare: true})
		if err != nil {
			return err
		}
		on, err := st.serve(ctx, coordinator{namespace: "bulk-on"})
		if err != nil {
			return err
		}
		lean, err := st.serve(ctx, coordinator{namespace: "bulk-lean", topics: "none"})
		if err != nil {
			return err
		}
		for _, p := range []*program{off, on, lean} {
			if err := registerWorkers(ctx, p, "agent", singleCallers, 1000); err != nil {
				return err
			}
		}
		pool, err := openRiver(ctx, st)
		if err != nil {
			return err
		}
		defer pool.Close()
		lives := map[int]func(ctx context.Context, t *turn) error{
			oursOn:   func(ctx context.Context, t *turn) error { return bulkLives(ctx, t, on, bulkTasks) },
			oursOff:  func(ctx context.Context, t *turn) error { return bulkLives(ctx, t, off, bulkTasks) },
			oursLean: func(ctx context.Context, t *turn) error { return bulkLives(ctx, t, lean, bulkTasks) },
			riverFast: func(ctx context.Context, t *turn) error {
				return riverLives(ctx, t, pool, bulkTasks, riverWay{fast: true, workers: 2_000})
			},
			riverMany: func(ctx context.Context, t *turn) error {
				return riverLives(ctx, t, pool, bulkTasks, riverWay{workers: 100})
			},
			asynqOne:   func(ctx context.Context, t *turn) error { return asynqLives(ctx, t, bulkTasks) },
			oursSingle: func(ctx context.Context, t *turn) error { return singleLives(ctx, t, on, singleTasks) },
		}
		node := b.lacks("node", "npm")
		if node == "" {
			m, err := startBullMQ(ctx, st)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, m.stop()) }()
			lives[bullmqBulk] = func(ctx context.Context, t *turn) error { return m.lives(ctx, t, bulkTasks, "bulk") }
			lives[bullmqSingle] = func(ctx context.Context, t *turn) error { return m.lives(ctx, t, singleTasks, "single") }
		}
		sides := make([]side, len(bulkSides))
		for i, name := range bulkSides {
			sides[i].name = name
			if lives := lives[i]; lives != nil {
				sides[i].run = func(ctx context.Context, t *turn, _ time.Duration) error { return lives(ctx, t) }
			}
		}
		// The warm-up runs as many lives as a turn, because Node compiles code that has run often.
		rows, err := b.alternate(ctx, st, nil, sides...)
		if err != nil {
			return err
		}
		b.bulkReport(rows, node)
		return nil
	})
}

// bulkReport adds the lines and the costs. A side without turns did not run, because a program is
// missing.
func (b *bench) bulkReport(rows [][]*turn, missing string) {
	ran := func(i int) bool { return len(rows) > 0 && rows[0][i] != nil }
	for _, line := range bulkLines {
		if ran(line.ours) && ran(line.reference) {
			b.rate(line.name, compare(rows, line.ours, line.reference), line.mark)
		} else {
			b.notRun(line.name, missing, line.mark)
		}
	}
	for i, name := range bulkSides {
		c := cost{system: name, missing: missing}
		if ran(i) {
			c = costOf(name, rows, i)
		}
		if i == oursOn || i == oursOff || i == oursSingle {
			c.mark = lifeCost
		}
		b.costs = append(b.costs, c)
	}
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
// each item. The turn stops when the projections have applied the last event.
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
	if err == nil && !p.bare {
		err = p.settled(ctx)
	}
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
