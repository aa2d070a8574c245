package main

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// step does a piece of work and returns how many operations it was.
type step func() (int, error)

// flood repeats each step in its own goroutine for d, and returns the number of operations.
func flood(ctx context.Context, d time.Duration, steps []step) (int, error) {
	var total atomic.Int64
	var over atomic.Bool
	timer := time.AfterFunc(d, func() { over.Store(true) })
	defer timer.Stop()
	g, ctx := errgroup.WithContext(ctx)
	for _, do := range steps {
		g.Go(func() error {
			count := 0
			for !over.Load() && ctx.Err() == nil {
				n, err := do()
				if err != nil {
					return err
				}
				count += n
			}
			total.Add(int64(count))
			return ctx.Err()
		})
	}
	err := g.Wait()
	return int(total.Load()), err
}

// turn is one measurement of a side. Its clock and its counters of CPU time run from start to stop.
type turn struct {
	st     *stack
	before usage
	began  time.Time

	done int // operations
	took time.Duration
	used usage
}

// start starts the clock and the counters.
func (t *turn) start() {
	runtime.GC() // the garbage of the turn before does not belong to this one
	t.before, t.began = t.st.usage(), time.Now()
}

// stop stops the clock and the counters after this number of operations since start.
func (t *turn) stop(operations int) {
	t.took, t.done = time.Since(t.began), operations
	t.used = t.st.usage().since(t.before)
}

// rate returns operations a second.
func (t *turn) rate() float64 { return float64(t.done) / t.took.Seconds() }

// side is one side of a comparison.
type side struct {
	name string
	// run works for d, or does a fixed amount of work, and starts and stops the turn. A side without
	// it is left out.
	run func(ctx context.Context, t *turn, d time.Duration) error
}

// alternate measures the sides in turns, so that other load on the machine affects all of them.
// Every second round runs in reverse order, so that no side always follows the same other side.
// Before each turn it waits until the turn before has settled. It returns a row for each
// round, with nil for a side that is left out.
func (b *bench) alternate(ctx context.Context, st *stack, settle func(context.Context) error, sides ...side) ([][]*turn, error) {
	var order []int
	for i, s := range sides {
		if s.run == nil {
			continue
		}
		order = append(order, i)
		if err := s.run(ctx, &turn{st: st}, warmUp); err != nil {
			return nil, err
		}
	}
	var rows [][]*turn
	for range b.rounds {
		row := make([]*turn, len(sides))
		for _, i := range order {
			if settle != nil {
				if err := settle(ctx); err != nil {
					return nil, err
				}
			}
			t := &turn{st: st}
			if err := sides[i].run(ctx, t, b.duration); err != nil {
				return nil, err
			}
			row[i] = t
			b.say("    %-36s %8.0f/s   %s", sides[i].name, t.rate(), t.used.per(t.done))
		}
		rows = append(rows, row)
		slices.Reverse(order)
	}
	return rows, nil
}

const warmUp = time.Second

// compared is the result of a comparison of two rates over all rounds.
type compared struct {
	ours, reference, ratio float64 // medians
	least, most            float64 // of the rounds' ratios
}

// compare divides column ours by column reference, round by round.
func compare(rows [][]*turn, ours, reference int) compared {
	var a, b, ratio []float64
	for _, row := range rows {
		us, them := row[ours].rate(), row[reference].rate()
		a, b, ratio = append(a, us), append(b, them), append(ratio, us/them)
	}
	return compared{median(a), median(b), median(ratio), slices.Min(ratio), slices.Max(ratio)}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// middle returns the median.
func middle(times []time.Duration) time.Duration {
	values := make([]float64, len(times))
	for i, d := range times {
		values[i] = float64(d)
	}
	return time.Duration(median(values))
}

// each runs a function for 0 to n-1 concurrently.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}
