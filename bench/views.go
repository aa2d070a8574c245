package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/bench/wire"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/lua"
)

const (
	rebuildEvents = 200_000
	// rebuildLot is how many tasks are created before the first of them is claimed, and claimed
	// before the first is completed. It is larger than a projection's batch, so that each event
	// changes a row instead of being folded into the event before.
	rebuildLot = 20_000
	lagAfter   = 30 * time.Second
)

// rebuild measures `claudebench rebuild tasks` on a log of created, claimed and completed.
func (b *bench) rebuild(ctx context.Context) error {
	return b.with(ctx, "rebuild", func(st *stack) error {
		const namespace = "rebuild"
		n, err := history(ctx, st, namespace)
		if err != nil {
			return err
		}
		var rates []float64
		for range b.rounds {
			before, start := st.usage(), time.Now()
			args := []string{"rebuild", "tasks", "--redis-url", st.server.URL(), "--database-url", st.postgres.URL(), "--namespace", namespace}
			cmd := exec.CommandContext(ctx, st.binary, args...)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("claudebench rebuild: %w\n%s", err, out)
			}
			st.ended[kindCoordinator] += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			rates = append(rates, float64(n)/time.Since(start).Seconds())
			b.say("    %-28s %8.0f/s   %s", "claudebench rebuild tasks", rates[len(rates)-1], st.usage().since(before).per(int(n)))
		}
		rate := median(rates)
		b.results = append(b.results, result{
			figure: fmt.Sprintf("rebuild of the Postgres tasks from %d events", n), ours: perSecond(rate), mark: "≥ 25000/s", reached: rate >= 25_000,
		})
		return nil
	})
}

// history writes a log of about rebuildEvents events with the real scripts, and returns how many.
func history(ctx context.Context, st *stack, namespace string) (int64, error) {
	const worker = "agent"
	space, err := keys.New(namespace)
	if err != nil {
		return 0, err
	}
	prepare := func(name string, args ...string) ([]byte, error) {
		return bareScript(ctx, st, lua.Named(name), namespace, args...)
	}
	register, err := prepare("register_instance", "", "0", worker, `["worker"]`, "1", "", "", "10", "3600000", "", "")
	if err != nil {
		return 0, err
	}
	if err := pipeline(ctx, st, 1, func(b []byte, _ int) []byte { return append(b, register...) }); err != nil {
		return 0, err
	}
	claim, err := prepare("claim_task", "", "0", "", "", worker, "1", "", "0")
	if err != nil {
		return 0, err
	}
	finish := lua.Named("complete_task")
	if err := st.client.ScriptLoad(ctx, finish.Source).Err(); err != nil {
		return 0, fmt.Errorf("load complete_task: %w", err)
	}
	for left := rebuildEvents / 3; left > 0; left -= rebuildLot {
		n := min(left, rebuildLot)
		last, err := st.client.HGet(ctx, space.Log(), "seq").Int()
		if err != nil {
			return 0, fmt.Errorf("read where the log stands: %w", err)
		}
		if err := createTasks(ctx, st, namespace, n); err != nil {
			return 0, err
		}
		if err := pipeline(ctx, st, n, func(b []byte, _ int) []byte { return append(b, claim...) }); err != nil {
			return 0, err
		}
		err = pipeline(ctx, st, n, func(b []byte, i int) []byte {
			return wire.AppendCommand(b, "EVALSHA", finish.SHA, "1", space.Log(), `"actor":"agent","cause":"1","trace":null`, "", "0", "", "",
				"t-"+strconv.Itoa(last+1+i), worker, "1", `{"pages":3,"words":1200}`, "", "604800000", "", "0", "0")
		})
		if err != nil {
			return 0, err
		}
	}
	return st.client.XLen(ctx, space.Events()).Result()
}

// lag floods a coordinator with batches and then waits until the task view has caught up.
func (b *bench) lag(ctx context.Context) error {
	return b.with(ctx, "lag", func(st *stack) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		p, err := st.serve(ctx, coordinator{namespace: "lag"})
		if err != nil {
			return err
		}
		steps, err := callers(ctx, p, batchCallers, batch(p.addr, "task.create", batchSize, same(createParams)), batchSize)
		if err != nil {
			return err
		}
		start := time.Now()
		n, err := flood(ctx, lagAfter, steps)
		if err != nil {
			return err
		}
		rate := float64(n) / time.Since(start).Seconds()
		start = time.Now()
		behind, err := p.lag(ctx, "tasks")
		if err != nil {
			return err
		}
		took := time.Since(start)
		b.say("    %.0f tasks a second; the view was %d events behind", rate, behind)
		b.span(fmt.Sprintf("lag of the task view after %s at %.0f/s: gone after", lagAfter, rate), took, 2*time.Second)
		return nil
	})
}
