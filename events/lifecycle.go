package events

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// ErrClosed is returned by Subscribe after Close.
var ErrClosed = errors.New("subscriber closed")

// lifecycle ends a subscriber's goroutines together.
type lifecycle struct {
	closing context.Context
	close   context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex
	closed bool
	err    error
}

func newLifecycle() *lifecycle {
	l := &lifecycle{}
	l.closing, l.close = context.WithCancel(context.Background())
	return l
}

// start runs f in a goroutine whose context ends with ctx or on stop.
func (l *lifecycle) start(ctx context.Context, f func(context.Context)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(l.closing, cancel)
	l.wg.Go(func() {
		defer cancel()
		defer unhook()
		f(ctx)
	})
	return nil
}

// stop ends every goroutine and waits for them. It may be called more than once.
func (l *lifecycle) stop() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.close()
	l.wg.Wait()
}

// fail records the first error that ended a subscription.
func (l *lifecycle) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

func (l *lifecycle) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// backoff waits longer each time, from first to last.
type backoff struct {
	first, last, next time.Duration
}

func (b *backoff) wait(ctx context.Context) error {
	if b.next == 0 {
		b.next = b.first
	}
	d := b.next
	b.next = min(2*d, b.last)
	return sleep(ctx, d)
}

func (b *backoff) reset() { b.next = 0 }

// outage logs when a step starts to fail and when it works again, instead of at each attempt.
type outage struct {
	logger *slog.Logger
	step   string
	since  time.Time
}

func (o *outage) failed(err error) {
	if o.since.IsZero() {
		o.since = time.Now()
		o.logger.Error(o.step+" failed; retrying", "error", err)
	}
}

func (o *outage) worked() {
	if !o.since.IsZero() {
		o.logger.Info(o.step+" works again", "after", time.Since(o.since).Round(time.Millisecond))
		o.since = time.Time{}
	}
}
