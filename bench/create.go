package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/claudebench/claudebench/bench/wire"
)

const (
	singleCallers = 32
	batchCallers  = 8
	batchSize     = 100
	pipelineDepth = 32
	// bareConns is how many connections keep Redis busy with pipelines.
	bareConns = 8
)

// flooding returns the side that repeats steps.
func flooding(name string, steps []step) side {
	return side{name, func(ctx context.Context, t *turn, d time.Duration) error {
		t.start()
		n, err := flood(ctx, d, steps)
		t.stop(n)
		return err
	}}
}

// singles compares single calls over HTTP with the bare script, one call at a time.
func (b *bench) singles(ctx context.Context) error {
	return b.with(ctx, "single", func(st *stack) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		command, err := bareCreate(ctx, st, "bare")
		if err != nil {
			return err
		}
		reference, err := pipelines(ctx, st, singleCallers, 1, fixed(command, 1))
		if err != nil {
			return err
		}
		p, err := st.serve(ctx, coordinator{namespace: "single"})
		if err != nil {
			return err
		}
		ours, err := callers(ctx, p, singleCallers, single(p.addr, "task.create", createParams), 1)
		if err != nil {
			return err
		}
		rows, err := b.alternate(ctx, st, p.settled, flooding("EVALSHA, 32 connections", reference), flooding("HTTP, 32 callers", ours))
		if err != nil {
			return err
		}
		b.rate("single task.create over HTTP / bare script", compare(rows, 1, 0), 0.65)
		return nil
	})
}

// batches compares batches over HTTP, without and with projections, with the bare script in
// pipelines.
func (b *bench) batches(ctx context.Context) error {
	return b.with(ctx, "batch", func(st *stack) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		command, err := bareCreate(ctx, st, "bare")
		if err != nil {
			return err
		}
		reference, err := pipelines(ctx, st, bareConns, pipelineDepth, fixed(command, pipelineDepth))
		if err != nil {
			return err
		}
		sides := []side{flooding("EVALSHA, pipelined by 32", reference)}
		var on *program
		for _, c := range []coordinator{{namespace: "batch-off", bare: true}, {namespace: "batch-on"}} {
			p, err := st.serve(ctx, c)
			if err != nil {
				return err
			}
			ours, err := callers(ctx, p, batchCallers, batch(p.addr, "task.create", batchSize, same(createParams)), batchSize)
			if err != nil {
				return err
			}
			name := "batches, projections on"
			if c.bare {
				name = "batches, projections off"
			} else {
				on = p
			}
			sides = append(sides, flooding(name, ours))
		}
		rows, err := b.alternate(ctx, st, on.settled, sides...)
		if err != nil {
			return err
		}
		b.rate("task.create in batches, projections off / bare script pipelined", compare(rows, 1, 0), 0.85)
		b.rate("task.create in batches, projections on / bare script pipelined", compare(rows, 2, 0), 0.5)
		return nil
	})
}

// minimal does only what any queue with a log must do. It builds the key of the hash in the script,
// as ours does.
const minimal = `
local key = 'ref:task:' .. ARGV[1]
redis.call('HSET', key, 'id', ARGV[1], 'text', ARGV[2], 'status', 'pending', 'priority', ARGV[3], 'attempt', '0',
  'createdAt', ARGV[4], 'updatedAt', ARGV[4], 'seq', ARGV[1])
redis.call('ZADD', 'ref:pending', ARGV[1], ARGV[1])
redis.call('XADD', 'ref:events', '*', 'data', ARGV[5])
return ARGV[1]`

// script compares the bare script with a minimal one.
func (b *bench) script(ctx context.Context) error {
	return b.with(ctx, "script", func(st *stack) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		command, err := bareCreate(ctx, st, "bare")
		if err != nil {
			return err
		}
		ours, err := pipelines(ctx, st, bareConns, pipelineDepth, fixed(command, pipelineDepth))
		if err != nil {
			return err
		}
		sha, err := st.client.ScriptLoad(ctx, minimal).Result()
		if err != nil {
			return fmt.Errorf("load the minimal script: %w", err)
		}
		var reference []step
		var last atomic.Int64
		for range bareConns {
			var commands []byte
			one, err := pipelines(ctx, st, 1, pipelineDepth, func() []byte {
				commands = commands[:0]
				first := last.Add(pipelineDepth)
				for i := range int64(pipelineDepth) {
					n := strconv.FormatInt(first+i, 10)
					commands = wire.AppendCommand(commands, "EVALSHA", sha, "0", n, taskText, "50", "2026-01-02T03:04:05.678Z", envelope)
				}
				return commands
			})
			if err != nil {
				return err
			}
			reference = append(reference, one...)
		}
		rows, err := b.alternate(ctx, st, nil, flooding("minimal script", reference), flooding("create_task", ours))
		if err != nil {
			return err
		}
		b.rate("bare create_task / minimal script, both pipelined", compare(rows, 1, 0), 0.4)
		return nil
	})
}

// envelope is as long as that of a task.created.
const envelope = `{"id":"1700000000000-12345678","seq":12345678,"type":"task.created","v":1,"timestamp":1700000000000,` +
	`"actor":"127.0.0.1","cause":"1","trace":null,"payload":{"id":"t-12345678","text":"` + taskText + `","status":"pending",` +
	`"priority":50,"assignedTo":null,"attempt":0,"metadata":null,"result":null,"error":null,` +
	`"createdAt":"2026-01-02T03:04:05.678Z","updatedAt":"2026-01-02T03:04:05.678Z","completedAt":null}}`
