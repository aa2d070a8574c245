package stream

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/claudebench/claudebench/events"
)

// keepIdle is how long a tail goes on without subscriptions. A client that connects again and again
// then does not start a tail each time.
const keepIdle = 5 * time.Second

// tail reads the log for all subscriptions.
type tail struct {
	hub    *Hub
	chain  *chain
	cancel context.CancelFunc
	users  int         // subscriptions; guarded by Hub.mu
	idle   *time.Timer // drops the tail; nil while there are users; guarded by Hub.mu
	down   atomic.Bool // Redis is unavailable

	debt  float64 // writes that are ahead of the rate
	paced time.Time
}

// acquire returns the tail, which it starts if necessary, and the end of the log as it was before
// the call returned. The caller must call release.
func (h *Hub) acquire(ctx context.Context) (*tail, events.ID, error) {
	end, err := h.end(ctx)
	if err != nil {
		return nil, events.ID{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tail == nil {
		ctx, cancel := context.WithCancel(h.ctx)
		t := &tail{hub: h, chain: newChain(end, h.options.maxEntries, h.options.maxBytes), cancel: cancel}
		h.tail = t
		h.running.Go(func() { t.run(ctx, end) })
	}
	if h.tail.users++; h.tail.idle != nil {
		h.tail.idle.Stop()
		h.tail.idle = nil
	}
	return h.tail, end, nil
}

func (h *Hub) release(t *tail) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.users--; t.users == 0 {
		t.idle = time.AfterFunc(keepIdle, func() { h.drop(t) })
	}
}

// drop stops a tail that nobody uses.
func (h *Hub) drop(t *tail) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.users == 0 && h.tail == t {
		t.cancel()
		h.tail = nil
	}
}

// end returns the position behind the last event.
func (h *Hub) end(ctx context.Context) (events.ID, error) {
	last, err := h.log.Last(ctx)
	if err != nil || !last.IsZero() {
		return last, err
	}
	// Either nothing has ever happened, or a flush has removed everything and not yet written its
	// event. The position must be behind what it removed.
	bounds, err := h.log.Bounds(ctx)
	if err != nil || !bounds.Last.IsZero() {
		return bounds.Last, err
	}
	return events.ID{Seq: bounds.Seq}, nil
}

// run reads the log after a position until ctx ends.
func (t *tail) run(ctx context.Context, at events.ID) {
	logger := t.hub.options.Logger
	pause := time.Duration(0)
	var since time.Time
	for t.pace(ctx) == nil {
		batch, err := t.hub.log.Read(ctx, at)
		list, err := nodes(ctx, t.hub.log, at, batch, err, t.chain)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if since.IsZero() {
				since = time.Now()
				logger.ErrorContext(ctx, "cannot read the event log for the streams; retrying", "error", err)
			}
			t.down.Store(true)
			pause = min(max(2*pause, 20*time.Millisecond), time.Second)
			if sleep(ctx, pause) != nil {
				return
			}
			continue
		}
		if !since.IsZero() {
			logger.InfoContext(ctx, "reading the event log for the streams works again", "after", time.Since(since).Round(time.Millisecond))
			since, pause = time.Time{}, 0
			t.down.Store(false)
		}
		for _, n := range list {
			if n.gap != nil {
				logger.WarnContext(ctx, "subscribers miss events", "reason", n.gap.Reason, "from", n.gap.From, "to", n.gap.To)
			}
			t.chain.add(n)
			at = n.last
		}
	}
}

const (
	// writesPerCPU is how many writes to subscribers a CPU may make in a second. Beyond that, the
	// tail waits, and each write takes more events.
	writesPerCPU = 10_000
	// burst is how many writes for each subscriber may be made at once.
	burst = 2
)

// pace waits if the subscribers were written to more often than they should be. At a low rate of
// events it does not wait.
func (t *tail) pace(ctx context.Context) error {
	t.hub.mu.Lock()
	users := float64(t.users)
	t.hub.mu.Unlock()
	rate := float64(writesPerCPU * runtime.GOMAXPROCS(0))
	now := time.Now()
	if !t.paced.IsZero() {
		t.debt += float64(t.hub.load.Swap(0)) - rate*now.Sub(t.paced).Seconds()
		t.debt = max(t.debt, -burst*users)
	}
	t.paced = now
	if t.debt <= 0 {
		return ctx.Err()
	}
	return sleep(ctx, time.Duration(t.debt/rate*float64(time.Second)))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
