package main

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// step does a piece of work and returns how many operations it was.
type step func() (int, error)

// flood repeats each step in its own goroutine for d, and returns operations a second.
func flood(ctx context.Context, d time.Duration, steps []step) (float64, error) {
	var total atomic.Int64
	var over atomic.Bool
	timer := time.AfterFunc(d, func() { over.Store(true) })
	defer timer.Stop()
	g, ctx := errgroup.WithContext(ctx)
	start := time.Now()
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
	return float64(total.Load()) / time.Since(start).Seconds(), err
}

// side is one side of a comparison: it works for d and returns operations a second.
type side struct {
	name string
	run  func(ctx context.Context, d time.Duration) (float64, error)
}

// alternate measures the sides in turns, so that other load on the machine affects all of them.
// Before each turn it waits until the turn before has settled. It returns a row for each round.
func (b *bench) alternate(ctx context.Context, st *stack, settle func(context.Context) error, sides ...side) ([][]float64, error) {
	for _, s := range sides {
		if _, err := s.run(ctx, warmUp); err != nil {
			return nil, err
		}
	}
	var rows [][]float64
	for range b.rounds {
		row := make([]float64, len(sides))
		for i, s := range sides {
			if settle != nil {
				if err := settle(ctx); err != nil {
					return nil, err
				}
			}
			before, start := st.usage(), time.Now()
			rate, err := s.run(ctx, b.duration)
			if err != nil {
				return nil, err
			}
			row[i] = rate
			b.say("    %-28s %8.0f/s   %s", s.name, rate, st.usage().per(rate*time.Since(start).Seconds(), before))
		}
		rows = append(rows, row)
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
func compare(rows [][]float64, ours, reference int) compared {
	var a, b, ratio []float64
	for _, row := range rows {
		a, b, ratio = append(a, row[ours]), append(b, row[reference]), append(ratio, row[ours]/row[reference])
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
