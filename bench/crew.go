package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/bench/wire"
)

const (
	// crewBuffer is the read buffer of a crew's connection, for an answer with one task.
	crewBuffer = 2 << 10
	// longestWait is the highest waitMs.
	longestWait = time.Minute
	// longTTL outlasts a figure, so that nobody needs heartbeats.
	longTTL = time.Hour
	// metricEvery is how often /metrics is read, which runs a script in Redis.
	metricEvery = 50 * time.Millisecond
)

// crew is workers that claim one task after another and complete each of them. Each worker has its
// own connection.
type crew struct {
	fleet string // of registered workers, for workerName
	n     int
	// poll is how long a worker that claimed nothing pauses before it claims again. If it is 0, the
	// claims wait for a task instead.
	poll time.Duration
	// took, if it is not nil, is called with each answer that has a task, as soon as it arrives.
	took func(answer []byte)

	claims, done atomic.Int64 // answered claims and completed tasks
}

// start connects the workers to a coordinator. end closes their connections and returns the first
// error before that, and ctx ends with this error.
func (c *crew) start(ctx context.Context, p *program) (working context.Context, end func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	g, working := errgroup.WithContext(ctx)
	for i := range c.n {
		conn, err := wire.DialHTTPBuffer(ctx, p.addr, crewBuffer)
		if err != nil {
			cancel()
			return nil, nil, errors.Join(err, g.Wait())
		}
		context.AfterFunc(working, func() { _ = conn.Close() })
		g.Go(func() error {
			// The first polls are spread over the time between two.
			err := pause(working, c.poll*time.Duration(i)/time.Duration(c.n))
			for err == nil {
				err = c.next(working, conn, p.addr, workerName(c.fleet, i))
			}
			if ctx.Err() != nil {
				return nil //nolint:nilerr // hanging up broke the call
			}
			return err
		})
	}
	return working, func() error { cancel(); return g.Wait() }, nil
}

// next makes one claim and completes its task.
func (c *crew) next(ctx context.Context, conn *wire.HTTP, addr, worker string) error {
	params := fmt.Sprintf(`{"workerId":%q,"waitMs":%d}`, worker, longestWait.Milliseconds())
	if c.poll > 0 {
		params = fmt.Sprintf(`{"workerId":%q}`, worker)
	}
	answer, err := conn.Call(single(addr, "task.claim", params))
	if err != nil {
		return err
	}
	if bytes.Contains(answer, taskID) && c.took != nil {
		c.took(answer)
	}
	c.claims.Add(1)
	for id := range claimedIDs(answer, false) {
		if _, err := conn.Call(single(addr, "task.complete", fmt.Sprintf(`{"id":%q,"workerId":%q}`, id, worker))); err != nil {
			return err
		}
		c.done.Add(1)
		return nil
	}
	return pause(ctx, c.poll)
}

// finish waits until the workers have completed n tasks.
func (c *crew) finish(ctx context.Context, n int) error {
	return until(ctx, time.Millisecond, func() (bool, error) { return c.done.Load() >= int64(n), nil })
}

// paced makes n requests on one connection, one each interval. A late one does not delay the others.
func paced(ctx context.Context, p *program, interval time.Duration, n int, request func(i int) []byte) error {
	conn, err := wire.DialHTTP(ctx, p.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	began := time.Now()
	for i := range n {
		if err := pause(ctx, time.Until(began.Add(time.Duration(i)*interval))); err != nil {
			return err
		}
		if _, err := conn.Call(request(i)); err != nil {
			return err
		}
	}
	return nil
}

// pause returns after d, or with an error when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enlist registers the workers name-0 to name-(n-1) of a fleet.
func enlist(ctx context.Context, p *program, fleet, role string, n int, ttl time.Duration) error {
	return inBatches(ctx, p, "system.register", n, func(i int) string {
		return fmt.Sprintf(`{"id":%q,"roles":[%q],"ttlMs":%d}`, workerName(fleet, i), role, ttl.Milliseconds())
	})
}

// dismiss unregisters them.
func dismiss(ctx context.Context, p *program, fleet string, n int) error {
	return inBatches(ctx, p, "system.unregister", n, func(i int) string {
		return fmt.Sprintf(`{"instanceId":%q}`, workerName(fleet, i))
	})
}

func inBatches(ctx context.Context, p *program, method string, n int, params func(i int) string) error {
	for from := 0; from < n; from += batchSize {
		request := batch(p.addr, method, min(batchSize, n-from), func(i int) string { return params(from + i) })
		if err := once(ctx, p, request); err != nil {
			return err
		}
	}
	return nil
}

// waiting waits until n calls wait at a coordinator.
func (p *program) waiting(ctx context.Context, n int) error {
	return until(ctx, metricEvery, func() (bool, error) {
		value, err := p.metric(ctx, "claudebench_claims_waiting")
		return value == float64(n), err
	})
}

// metric returns a value of /metrics that has no labels.
func (p *program) metric(ctx context.Context, name string) (value float64, err error) {
	text, err := get(ctx, "http://"+p.addr+"/metrics")
	if err != nil {
		return 0, err
	}
	_, rest, found := bytes.Cut(text, []byte("\n"+name+" "))
	if !found {
		return 0, fmt.Errorf("/metrics has no %s", name)
	}
	if _, err := fmt.Sscan(string(rest[:bytes.IndexByte(rest, '\n')]), &value); err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	return value, nil
}
