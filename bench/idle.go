package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/claudebench/claudebench/bench/wire"
)

const (
	idleWaiters = 5000
	// idleTTL is the default of --instance-ttl. It decides how often the coordinator renews the
	// registrations of waiting workers.
	idleTTL = 30 * time.Second
	// idleFor is longer than two thirds of idleTTL, so that each registration is renewed twice.
	idleFor = 22 * time.Second
	// idleBuilders is how many callers work beside the waiting workers.
	idleBuilders = 16
)

// idle measures what 5,000 workers cost that wait and get no task: calls of Redis, memory of the
// coordinator, and what the rate of other commands loses.
func (b *bench) idle(ctx context.Context, st *stack) error {
	with, err := st.serve(ctx, coordinator{namespace: "waits-with"})
	if err != nil {
		return err
	}
	if err := b.idleCost(ctx, st, with); err != nil {
		return err
	}
	// The other side has a namespace of its own. Scripts of a namespace in which calls waited go on
	// to write wake-ups for a while.
	without, err := st.serve(ctx, coordinator{namespace: "waits-without"})
	if err != nil {
		return err
	}
	if err := enlist(ctx, without, "waiter", "worker", idleWaiters, longTTL); err != nil {
		return err
	}
	sides := []side{
		{"commands beside 5,000 waiting", func(ctx context.Context, t *turn, d time.Duration) error {
			return besideWaiters(ctx, with, func(ctx context.Context) error { return build(ctx, with, t, d) })
		}},
		{"commands beside none", func(ctx context.Context, t *turn, d time.Duration) error {
			return build(ctx, without, t, d)
		}},
	}
	settle := func(ctx context.Context) error { return errors.Join(with.settled(ctx), without.settled(ctx)) }
	rows, err := b.alternate(ctx, st, settle, sides...)
	if err != nil {
		return err
	}
	b.rate("commands beside 5,000 waiting workers / without them", compare(rows, 0, 1), 0.95)
	return nil
}

// besideWaiters runs do while idleWaiters workers wait at a coordinator.
func besideWaiters(ctx context.Context, p *program, do func(context.Context) error) error {
	if err := enlist(ctx, p, "waiter", "worker", idleWaiters, idleTTL); err != nil {
		return err
	}
	workers := &crew{fleet: "waiter", n: idleWaiters}
	working, end, err := workers.start(ctx, p)
	if err != nil {
		return err
	}
	// The projections have the registrations behind them, so the workers are idle.
	if err = errors.Join(p.waiting(working, idleWaiters), p.settled(working)); err == nil {
		err = do(working)
	}
	if err = errors.Join(err, end()); err != nil {
		return err
	}
	if err := p.waiting(ctx, 0); err != nil {
		return err
	}
	// Otherwise they would be declared dead in the middle of another turn.
	return dismiss(ctx, p, "waiter", idleWaiters)
}

// build repeats commands that have nothing to do with the waiting workers.
func build(ctx context.Context, p *program, t *turn, d time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := enlist(ctx, p, "builder", "builder", idleBuilders, longTTL); err != nil {
		return err
	}
	steps := make([]step, idleBuilders)
	for i := range steps {
		// Connect only now, because a server closes connections that stay idle.
		conn, err := wire.DialHTTP(ctx, p.addr)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		steps[i] = builder(conn, p.addr, workerName("builder", i))
	}
	t.start()
	n, err := flood(ctx, d, steps)
	t.stop(n)
	return err
}

// builder returns a step of four commands: a heartbeat, and the creation, claim and completion of a
// task for another role.
func builder(conn *wire.HTTP, addr, name string) step {
	beat := single(addr, "system.heartbeat", fmt.Sprintf(`{"instanceId":%q}`, name))
	create := single(addr, "task.create", `{"text":"`+taskText+`","metadata":{"roles":["builder"]}}`)
	claim := single(addr, "task.claim", fmt.Sprintf(`{"workerId":%q}`, name))
	return func() (int, error) {
		for _, request := range [][]byte{beat, create} {
			if _, err := conn.Call(request); err != nil {
				return 0, err
			}
		}
		answer, err := conn.Call(claim)
		if err != nil {
			return 0, err
		}
		for id := range claimedIDs(answer, false) {
			_, err := conn.Call(single(addr, "task.complete", fmt.Sprintf(`{"id":%q,"workerId":%q}`, id, name)))
			return 4, err
		}
		return 0, fmt.Errorf("%s claimed nothing: %s", name, answer)
	}
}

// idleCost measures how many calls of Redis and how much memory waiting workers cost a coordinator
// that does nothing else.
func (b *bench) idleCost(ctx context.Context, st *stack, p *program) error {
	// Registered, so that the workers exist in both measurements.
	if err := enlist(ctx, p, "waiter", "worker", idleWaiters, idleTTL); err != nil {
		return err
	}
	if err := p.settled(ctx); err != nil {
		return err
	}
	memory, err := p.memory()
	if os.IsNotExist(err) {
		b.notRun("5,000 waiting workers", "/proc", 0)
		return nil
	}
	if err != nil {
		return err
	}
	without, err := st.calls(ctx, idleFor/4)
	if err != nil {
		return err
	}
	var with float64
	var grown int64
	err = besideWaiters(ctx, p, func(ctx context.Context) error {
		if err := p.settled(ctx); err != nil {
			return err
		}
		if with, err = st.calls(ctx, idleFor); err != nil {
			return err
		}
		grown, err = p.memory()
		grown -= memory
		return err
	})
	if err != nil {
		return err
	}
	b.results = append(b.results, result{
		figure: "calls of Redis for 5,000 waiting workers, idle", ours: fmt.Sprintf("%.1f/s", with), reference: fmt.Sprintf("%.1f/s", without),
		ratio: fmt.Sprintf("+%.1f/s", with-without), mark: "≤ 10/s", reached: with-without <= 10,
	})
	each := float64(grown) / idleWaiters / (1 << 10)
	b.results = append(b.results, result{
		figure: "memory of the coordinator for each of them", ours: fmt.Sprintf("%.1f KiB", each), mark: "≤ 64 KiB", reached: each <= 64,
	})
	return nil
}

// memory returns the resident memory of a coordinator in bytes.
func (p *program) memory() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("read statm: %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// calls returns how many commands a second clients send to Redis, counted for d with MONITOR. It
// leaves out the commands that scripts call.
func (st *stack) calls(ctx context.Context, d time.Duration) (float64, error) {
	conn, err := st.dial(ctx)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(conn.Send(wire.AppendCommand(nil, "MONITOR")), conn.Skip(1)); err != nil {
		return 0, errors.Join(err, conn.Close())
	}
	var over atomic.Bool
	timer := time.AfterFunc(d, func() {
		over.Store(true)
		_ = conn.Close()
	})
	defer timer.Stop()
	for n := 0; ; {
		line, err := conn.Line()
		if over.Load() {
			return float64(n) / d.Seconds(), ctx.Err()
		}
		if err != nil {
			return 0, err
		}
		// +1339518083.107412 [0 127.0.0.1:60866] "PING", or [0 lua] for a command of a script
		client, _, _ := bytes.Cut(line, []byte("]"))
		if !bytes.HasSuffix(client, []byte(" lua")) {
			n++
		}
	}
}
