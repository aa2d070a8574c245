package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/lease"
)

// loop runs one projection: it waits for the lease, runs a session while it holds the lease, and
// starts again.
type loop struct {
	projection Projection
	cfg        RunnerConfig
	reader     *events.Reader
	batches    events.BatchReader // of this projection; shares its readings with the others
	log        *slog.Logger
	tracer     *tracer // nil if traces are off
	lease      lease.Lease
	progress
}

func (l *loop) run(ctx context.Context) {
	for ctx.Err() == nil {
		held, err := l.lease.Acquire(ctx)
		if err != nil {
			l.failed(ctx, l.log, stageLease, fmt.Errorf("take the lease: %w", err))
		} else {
			l.worked(l.log, stageLease)
		}
		if !held {
			if err == nil {
				l.relieved()
			}
			pause(ctx, lease.AskEvery)
			continue
		}
		l.hold(true)
		session, end := context.WithCancel(ctx)
		keeper := make(chan struct{})
		go func() {
			defer close(keeper)
			defer end()
			l.keep(session)
		}()
		if err := l.session(session); err != nil {
			l.failed(ctx, l.log, stageStart, err)
			pause(session, retryLast)
		}
		end()
		<-keeper
		l.hold(false)
		if l.keepsFailing() {
			pause(ctx, yieldFor)
		}
		if view, ok := l.projection.(interface{ back() }); ok {
			view.back() // this process does not see what others apply from now on
		}
	}
	l.yield(ctx)
}

// keep renews the lease until the session ends. It ends the session when the lease is lost, or when
// the stored checkpoint is not the session's: the projection was then reset while the log was
// quiet.
func (l *loop) keep(ctx context.Context) {
	var strayed int
	began := time.Now()
	for {
		pause(ctx, lease.RenewEvery)
		if ctx.Err() != nil {
			return
		}
		held, err := l.lease.Acquire(ctx)
		if errors.As(err, new(*events.NewerLogError)) {
			return // run reports it
		}
		if err == nil && !held {
			l.log.Info("lost the lease; another coordinator runs the projection, or a flush is deleting keys")
			return
		}
		if time.Since(began) > lease.TTL && l.keepsFailing() {
			// Perhaps only this coordinator cannot reach the store, or is too old for an event.
			l.yield(ctx)
			return
		}
		before := l.at()
		stored, err := l.stored(ctx)
		if err != nil || stored == before || l.at() != before {
			strayed = 0
			continue
		}
		// A batch that is being written looks like this for a moment; twice in a row is a reset.
		if strayed++; strayed == 2 {
			l.log.Info("another program changed the checkpoint; continuing from it", "was", before, "is", stored)
			return
		}
	}
}

// yield releases the lease to the next coordinator that asks for it.
func (l *loop) yield(ctx context.Context) {
	if err := l.lease.Release(ctx); err != nil {
		l.log.Debug("cannot release the lease; it expires by itself", "error", err)
	}
}

// stored returns the checkpoint, or an error if the store takes so long that the lease would
// expire.
func (l *loop) stored(ctx context.Context) (events.ID, error) {
	ctx, cancel := context.WithTimeout(ctx, lease.RenewEvery)
	defer cancel()
	return l.projection.Checkpoint(ctx)
}

// session runs the projection as a handler of a Watermill router until ctx ends.
func (l *loop) session(ctx context.Context) error {
	subscriber, err := events.NewBatchSubscriber(l.cfg.Client, events.BatchSubscriberConfig{
		ReaderConfig: readerConfig(l.cfg), Reader: l.batches,
		Name: l.projection.Name(), Start: l.start, OnBroken: l.broken,
		RetryDelay: retryFirst, RetryDelayMax: retryLast,
	})
	if err != nil {
		return err
	}
	defer subscriber.Close()
	// At info, the router logs about itself at each change of the lease.
	logger := watermill.NewSlogLoggerWithLevelMapping(l.log, map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug})
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: applyLimit}, logger)
	if err != nil {
		return fmt.Errorf("make the router: %w", err)
	}
	router.AddMiddleware(
		l.report,
		middleware.Retry{
			// A short failure is over after a retry. After a longer one the batch goes back to the
			// subscriber, which reads the checkpoint again before each new attempt.
			MaxRetries: 2, InitialInterval: retryFirst, MaxInterval: 4 * retryFirst, Multiplier: 2,
			ShouldRetry: func(p middleware.RetryParams) bool { return !hopeless(p.Err) },
		}.Middleware,
		middleware.Recoverer,
	)
	router.AddConsumerHandler(l.projection.Name(), events.All, subscriber, l.handle)
	if err := router.Run(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("run the projection: %w", err)
	}
	return nil
}

// hopeless reports whether the same batch would fail with the same error again.
func hopeless(err error) bool {
	return errors.Is(err, ErrCheckpointMoved) || errors.Is(err, events.ErrMalformed) ||
		errors.Is(err, events.ErrUnknownType) || errors.Is(err, events.ErrUnknownVersion) || errors.Is(err, context.Canceled)
}

// start prepares the store, if it is not prepared, and returns the event to read after.
func (l *loop) start(ctx context.Context) (events.ID, error) {
	if !l.isPrepared() {
		if err := l.projection.Prepare(ctx); err != nil {
			l.failed(ctx, l.log, stageStart, err)
			return events.ID{}, err
		}
		l.prepare(true)
	}
	at, err := l.projection.Checkpoint(ctx)
	if err != nil {
		l.prepare(false)
		l.failed(ctx, l.log, stageStart, err)
		return events.ID{}, err
	}
	l.worked(l.log, stageStart)
	l.moveTo(at)
	return at, nil
}

func (l *loop) handle(m *message.Message) error {
	batch, ok := events.BatchFrom(m)
	if !ok {
		return fmt.Errorf("message %s contains no batch", m.UUID)
	}
	ctx, cancel := context.WithTimeout(m.Context(), applyLimit)
	defer cancel()
	began := time.Now()
	if err := l.projection.Apply(ctx, batch); err != nil {
		return err
	}
	l.tracer.applied(batch, began)
	return nil
}

// report is the outermost middleware: it records the outcome of a batch in the status, and logs a
// failure once. It nacks the message itself, because the router would log the error at every
// attempt.
func (l *loop) report(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		_, err := next(m)
		batch, _ := events.BatchFrom(m)
		switch {
		case err == nil:
			l.applied(l.log, batch)
			return nil, nil
		case errors.Is(err, ErrCheckpointMoved):
			l.log.Debug("the checkpoint has changed; reading it again", "reason", err) // once a batch in a rebuild
		default:
			l.prepare(false)
			l.failed(m.Context(), l.log, stageBatch, err)
		}
		m.Nack()
		return nil, nil
	}
}

// broken handles a log that is not the one read before. If the log lost its end, it also lost
// events that the projection was made from, so the projection is rebuilt. At a gap the projection
// stops, because a missing event may change everything after it.
func (l *loop) broken(ctx context.Context, broken error) error {
	var rolledBack *events.RolledBackError
	if !errors.As(broken, &rolledBack) {
		l.failed(ctx, l.log, stageBatch, broken)
		pause(ctx, gapCheckEvery)
		return nil
	}
	// A store that was restored together with the log has a checkpoint that the log contains:
	// nothing is wrong with it.
	stored, err := l.projection.Checkpoint(ctx)
	if err != nil {
		return fmt.Errorf("check the checkpoint after the log was rolled back: %w", err)
	}
	if stored != rolledBack.Checkpoint {
		fits, err := l.reader.Fits(ctx, stored)
		if err != nil {
			return fmt.Errorf("check the checkpoint after the log was rolled back: %w", err)
		}
		if fits {
			return nil
		}
	}
	bounds, err := prove(ctx, l.reader, l.projection, nil)
	if err == nil {
		l.log.Warn("rebuilding from the log", "events", bounds.Seq-bounds.Base+1, "because", broken)
		err = l.projection.Reset(ctx, bounds.Base)
	}
	if err == nil {
		l.rebuilt()
		return nil
	}
	err = fmt.Errorf("rebuild because %w: %w", broken, err)
	l.failed(ctx, l.log, stageBatch, err)
	if errors.Is(err, ErrIncompleteLog) || errors.Is(err, events.ErrForeignLog) {
		pause(ctx, gapCheckEvery)
		return nil
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
