package events

import (
	"context"
	"log/slog"
	"time"
)

// fed is a batch, or the error that ends the feed.
type fed struct {
	batch Batch
	err   error
}

// feed reads on from an event, one batch ahead of its consumer, and waits during outages of Redis.
type feed struct {
	reader BatchReader
	logger *slog.Logger
}

// run sends batches until ctx ends or the log is broken, then closes out.
func (f feed) run(ctx context.Context, after ID, out chan<- fed) {
	defer close(out)
	down := outage{logger: f.logger, step: "reading the event log"}
	retry := backoff{first: 50 * time.Millisecond, last: 2 * time.Second}
	for {
		batch, err := f.reader.Read(ctx, after)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !IsBroken(err) {
			down.failed(err)
			if retry.wait(ctx) != nil {
				return
			}
			continue
		}
		down.worked()
		retry.reset()
		select {
		case out <- fed{batch: batch, err: err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		after = batch.Last()
	}
}

// follow runs the feed and passes each batch to handle, until ctx ends, handle fails, or the log is
// broken. It returns that error and leaves no goroutine behind.
func (f feed) follow(ctx context.Context, after ID, handle func(Batch) error) error {
	ctx, cancel := context.WithCancel(ctx)
	ch := make(chan fed)
	go f.run(ctx, after, ch)
	defer func() {
		cancel()
		for range ch { // until run has ended
		}
	}()
	for next := range ch {
		if next.err != nil {
			return next.err
		}
		if next.batch.Skipped > 0 {
			f.logger.Info("the log was flushed or trimmed, and some events were removed before they were read",
				"skipped", next.batch.Skipped, "after", next.batch.After, "next", next.batch.next())
		}
		if err := handle(next.batch); err != nil {
			return err
		}
	}
	return ctx.Err()
}
