// Package monitor looks for instances that died, once an interval, for as long as the coordinator
// runs. Every coordinator runs one: the work itself is an idempotent script, so they need not know
// of each other. While Redis is away the monitor says so once and goes on trying.
package monitor

import (
	"context"
	"log/slog"
	"time"
)

// Run calls sweep once an interval until ctx ends.
func Run(ctx context.Context, sweep func(context.Context) error, interval time.Duration, logger *slog.Logger) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// Many orphans take longer than an interval; a Redis that hangs must not take for ever.
		tick, cancel := context.WithTimeout(ctx, max(10*time.Second, 10*interval))
		err := sweep(tick)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			logger.WarnContext(ctx, "the monitor cannot look for dead instances; it goes on trying", "error", err)
		case err == nil && failing:
			logger.InfoContext(ctx, "the monitor looks for dead instances again")
		}
		failing = err != nil
	}
}
