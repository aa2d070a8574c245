// Package monitor repeats what a coordinator does beside its calls, as long as it runs. Run looks for
// dead instances at an interval. Packages timers and schedule run a Loop of their own. Each coordinator
// runs them. They need no coordination, because the work is an idempotent script. While Redis is
// unavailable a loop logs that once and keeps trying.
package monitor

import (
	"context"
	"log/slog"
	"time"
)

// Loop repeats a step.
type Loop struct {
	// Step does the work, and returns how long to pause after it, also after an error.
	Step func(context.Context) (pause time.Duration, err error)
	// First is the pause before the first step.
	First time.Duration
	// Look ends a pause early. Nil never does.
	Look <-chan struct{}
	// Patience is how long a step may take.
	Patience time.Duration
	// Fails is logged when a step fails after one that did not, and Works when one succeeds again.
	Fails, Works string
	Logger       *slog.Logger
}

// Run repeats the step until ctx ends.
func (l Loop) Run(ctx context.Context) {
	timer := time.NewTimer(l.First)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.Look:
		}
		step, cancel := context.WithTimeout(ctx, l.Patience)
		pause, err := l.Step(step)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			l.Logger.WarnContext(ctx, l.Fails, "error", err)
		case err == nil && failing:
			l.Logger.InfoContext(ctx, l.Works)
		}
		failing = err != nil
		timer.Reset(pause)
	}
}

// Run calls sweep at each interval until ctx ends.
func Run(ctx context.Context, sweep func(context.Context) error, interval time.Duration, logger *slog.Logger) {
	Loop{
		Step: func(ctx context.Context) (time.Duration, error) {
			next := time.Now().Add(interval)
			err := sweep(ctx)
			return time.Until(next), err
		},
		First: interval,
		// Many orphaned tasks take longer than an interval, but a Redis that hangs must not block
		// the monitor for ever.
		Patience: max(10*time.Second, 10*interval),
		Fails:    "the monitor cannot check for dead instances; retrying",
		Works:    "the monitor checks for dead instances again",
		Logger:   logger,
	}.Run(ctx)
}
