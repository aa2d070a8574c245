package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/claudebench/claudebench/bench/wire"
	"github.com/claudebench/claudebench/internal/keys"
)

// dependentTasks is how many tasks depend on one.
const dependentTasks = 10_000

// dependents completes a task on which dependentTasks depend. Each round has its own Redis.
func (b *bench) dependents(ctx context.Context) error {
	var spans, scripts []time.Duration
	for round := range b.rounds {
		name := "dependents-" + strconv.Itoa(round+1)
		err := b.with(ctx, name, func(st *stack) error {
			span, script, err := releaseOnce(ctx, st, name)
			if err != nil {
				return err
			}
			b.say("    released in %s, longest script %s", span, script)
			spans, scripts = append(spans, span), append(scripts, script)
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.span("10,000 dependents of a completed task: all released after", middle(spans), 2*time.Second)
	b.span("10,000 dependents of a completed task: longest script in SLOWLOG", middle(scripts), 5*time.Millisecond)
	return nil
}

// releaseOnce returns the time from task.completed to the last task.unblocked, by the log, and the
// longest script from the completion on.
func releaseOnce(ctx context.Context, st *stack, namespace string) (span, script time.Duration, err error) {
	space, err := keys.New(namespace)
	if err != nil {
		return 0, 0, err
	}
	p, err := st.serve(ctx, coordinator{namespace: namespace})
	if err != nil {
		return 0, 0, err
	}
	if err := registerWorkers(ctx, p, "agent", 1, 1); err != nil {
		return 0, 0, err
	}
	conn, err := wire.DialHTTP(ctx, p.addr)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	if _, err := conn.Call(single(p.addr, "task.create", createParams)); err != nil {
		return 0, 0, err
	}
	answer, err := conn.Call(single(p.addr, "task.claim", fmt.Sprintf(`{"workerId":%q}`, workerName("agent", 0))))
	if err != nil {
		return 0, 0, err
	}
	var id string
	for claimed := range claimedIDs(answer, false) {
		id = string(claimed)
	}
	dependent := fmt.Sprintf(`{"text":%q,"dependsOn":[%q]}`, taskText, id)
	if err := createInLots(ctx, p, dependentTasks, same(dependent)); err != nil {
		return 0, 0, err
	}
	if err := p.settled(ctx); err != nil {
		return 0, 0, err
	}
	if err := st.holds(ctx, space.Blocked(), dependentTasks); err != nil {
		return 0, 0, err
	}
	if err := watchScripts(ctx, st); err != nil {
		return 0, 0, err
	}
	complete := fmt.Sprintf(`{"id":%q,"workerId":%q,"attempt":1}`, id, workerName("agent", 0))
	if err := once(ctx, p, single(p.addr, "task.complete", complete)); err != nil {
		return 0, 0, err
	}
	err = until(ctx, pollEvery, func() (bool, error) {
		left, err := st.client.Exists(ctx, space.Settling()).Result()
		return left == 0, err
	})
	if err != nil {
		return 0, 0, err
	}
	if err := st.holds(ctx, space.Blocked(), 0); err != nil {
		return 0, 0, err
	}
	first, err := lastEvent(ctx, st, space, "task.completed")
	if err != nil {
		return 0, 0, err
	}
	last, err := lastEvent(ctx, st, space, "task.unblocked")
	if err != nil {
		return 0, 0, err
	}
	script, err = longestScript(ctx, st)
	return last.Sub(first), script, err
}

// lastEvent returns when the last event of a type was added to the log, by Redis's clock.
func lastEvent(ctx context.Context, st *stack, space keys.Space, kind string) (time.Time, error) {
	entries, err := st.client.XRevRangeN(ctx, space.Topic(kind), "+", "-", 1).Result()
	if err != nil {
		return time.Time{}, fmt.Errorf("read the last %s: %w", kind, err)
	}
	if len(entries) == 0 {
		return time.Time{}, fmt.Errorf("the log has no %s", kind)
	}
	text, _, _ := strings.Cut(entries[0].ID, "-")
	ms, err := strconv.ParseInt(text, 10, 64)
	return time.UnixMilli(ms), err
}

// cancelledTasks is how many of twice as many pending tasks the filter selects.
const cancelledTasks = 10_000

// cancellation calls off cancelledTasks tasks by a filter for their text.
func (b *bench) cancellation(ctx context.Context) error {
	return b.with(ctx, "cancellation", func(st *stack) error {
		p, err := st.serve(ctx, coordinator{namespace: "cancellation"})
		if err != nil {
			return err
		}
		var spans []time.Duration
		for round := range b.rounds {
			took, err := cancelOnce(ctx, p, fmt.Sprintf("delivery %d", round))
			if err != nil {
				return err
			}
			b.say("    cancelled in %s", took)
			spans = append(spans, took)
		}
		b.span("task.cancel_many: 10,000 tasks by a filter", middle(spans), 3*time.Second)
		return nil
	})
}

// cancelOnce creates the tasks, waits until the view has them, and returns how long the call took.
func cancelOnce(ctx context.Context, p *program, text string) (time.Duration, error) {
	err := createInLots(ctx, p, 2*cancelledTasks, func(i int) string {
		if i%2 == 0 {
			return createParams
		}
		return fmt.Sprintf(`{"text":"Prepare %s of the week"}`, text)
	})
	if err == nil {
		err = p.settled(ctx)
	}
	if err != nil {
		return 0, err
	}
	conn, err := wire.DialHTTP(ctx, p.addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	start := time.Now()
	answer, err := conn.Call(single(p.addr, "task.cancel_many", fmt.Sprintf(`{"filter":{"text":%q}}`, text)))
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	var reply struct{ Result struct{ Matched, Done int } }
	if err := json.Unmarshal(answer, &reply); err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	if reply.Result.Matched != cancelledTasks || reply.Result.Done != cancelledTasks {
		return 0, fmt.Errorf("the call did not cancel %d tasks: %.300s", cancelledTasks, answer)
	}
	return took, nil
}
