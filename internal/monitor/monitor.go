// Package monitor looks for dead instances at an interval, as long as the coordinator runs. Each
// coordinator runs its own monitor. They need no coordination, because the work is an idempotent
// script. While Redis is unavailable the monitor logs that once and keeps trying.
package monitor

import (
	"context"
	"log/slog"
	"time"
)

// Run calls sweep at each interval until ctx ends.
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
		// Many orphaned tasks take longer than an interval, but a Redis that hangs must not block
		// the monitor for ever.
		tick, cancel := context.WithTimeout(ctx, max(10*time.Second, 10*interval))
		err := sweep(tick)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			logger.WarnContext(ctx, "the monitor cannot check for dead instances; retrying", "error", err)
		case err == nil && failing:
			logger.InfoContext(ctx, "the monitor checks for dead instances again")
		}
		failing = err != nil
	}
}
