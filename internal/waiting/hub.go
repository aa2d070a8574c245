package waiting

import (
	"container/list"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claudebench/claudebench/lua"
)

// Options configure a Hub.
type Options struct {
	Scripts lua.Scripts
	// Runner has the client that reads the stream of wake-ups, whose key is Wakeups.
	Runner  *lua.Runner
	Wakeups string
}

// Hub holds the waiting calls of a coordinator. It is safe for concurrent use.
type Hub struct {
	options Options
	ctx     context.Context // ends when the Hub stops
	stop    context.CancelFunc
	running sync.WaitGroup

	attempts atomic.Int64

	mu         sync.Mutex
	session    *session // nil while no call waits
	all        map[*call]struct{}
	byInstance map[string]*list.List // of *call, all of an instance
	groups     map[string]*group     // by the instance's roles as JSON text
	busy       *list.List            // of *call: those that attempt to claim
	missed     bool                  // wake-ups may be missing
	refused    bool                  // attempts did not reach Redis, so their wake-ups are missing
	looks      int                   // how many groups look for tasks at a tick without a wake-up
	rotation   int                   // of these groups
}

// session is a time in which calls wait.
type session struct {
	ready  chan struct{} // closed when scripts write wake-ups, or when Redis is unavailable
	last   string        // ID of the last wake-up read; "" before Redis has replied
	seq    int64         // of the log's last event
	unused int           // ticks since the last call left
}

// New returns a Hub without calls. It does nothing until the first call waits.
func New(o Options) *Hub {
	ctx, stop := context.WithCancel(context.Background())
	return &Hub{
		options: o, ctx: ctx, stop: stop, looks: looks,
		all: map[*call]struct{}{}, byInstance: map[string]*list.List{}, groups: map[string]*group{}, busy: list.New(),
	}
}

// Stop ends all calls that wait, as if their time were over. Later calls do not wait.
func (h *Hub) Stop() {
	h.mu.Lock() // so that no session begins once the Hub has stopped
	defer h.mu.Unlock()
	h.stop()
}

// Close stops the Hub and waits until it no longer uses Redis.
func (h *Hub) Close() {
	h.Stop()
	h.running.Wait()
}

// Waiting returns how many calls wait or attempt to claim.
func (h *Hub) Waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all)
}

// Attempts returns how many attempts to claim the calls have made.
func (h *Hub) Attempts() int64 { return h.attempts.Load() }

// Reply is the reply of an attempt to claim.
type Reply struct {
	Result json.RawMessage // of the method
	Final  bool            // the call ends with this result: it claimed a task, or repeats an answer
	Roles  string          // of the instance, as JSON text
	TTL    time.Duration   // of the instance's registration
	Sets   []string        // role set of each claimed task
}

// Attempt makes one attempt to claim tasks.
type Attempt func(context.Context) (Reply, error)

// Claim attempts to claim at once, and again for each wake-up that is for this instance, until an
// attempt claims a task. It returns the last attempt's result when the time is over or the Hub
// stops. An error is that of an attempt, or that of ctx. If Redis is unavailable in a later attempt
// than the first, or the method's circuit breaker is open, the call goes on to wait, and returns that
// error if the time ends meanwhile.
//
// With last, the call attempts once more when the time is over. Another call with the same
// idempotency key, whose caller may be gone, can have claimed a task meanwhile, and this call then
// returns it. Nothing else would tell the worker of that task.
func (h *Hub) Claim(ctx context.Context, instance string, until time.Time, last bool, attempt Attempt) (Reply, error) {
	c := newCall(instance)
	h.enter(ctx, c)
	defer h.leave(c)
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for first := true; ; first = false {
		h.attempts.Add(1)
		reply, err := attempt(ctx)
		again, over := h.attempted(c, reply, err, first)
		if over {
			return reply, err
		}
		if again {
			continue
		}
		select {
		case <-c.woken:
		case <-timer.C:
			if !last {
				return reply, err
			}
			h.attempts.Add(1)
			reply, err = attempt(ctx)
			h.claimed(c, reply)
			return reply, err
		case <-h.ctx.Done():
			return reply, err
		case <-ctx.Done():
			return reply, fmt.Errorf("wait for a task: %w: %w", lua.ErrUnavailable, ctx.Err())
		}
	}
}

// claimed notes which wake-ups an attempt has used up. The others are left to be passed on.
func (h *Hub) claimed(c *call, reply Reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.current = unclaimed(c.current, reply.Sets)
}

// enter adds a call, which then attempts to claim. It returns when wake-ups are written, so that the
// attempt can miss no task that is created later. If Redis is unavailable it returns too: the
// attempt fails then.
func (h *Hub) enter(ctx context.Context, c *call) {
	h.mu.Lock()
	h.all[c] = struct{}{}
	if h.byInstance[c.instance] == nil {
		h.byInstance[c.instance] = list.New()
	}
	c.sibling = h.byInstance[c.instance].PushBack(c)
	c.place = h.busy.PushBack(c)
	s := h.session
	if s == nil && h.ctx.Err() == nil {
		s = &session{ready: make(chan struct{})}
		h.session = s
		h.running.Go(func() { h.run(s) })
	}
	h.mu.Unlock()
	if s == nil {
		return
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
	case <-h.ctx.Done():
	}
}

// leave removes a call and passes its wake-ups on.
func (h *Hub) leave(c *call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, c)
	siblings := h.byInstance[c.instance]
	if siblings.Remove(c.sibling); siblings.Len() == 0 {
		delete(h.byInstance, c.instance)
	}
	if c.idle {
		c.group.idle.Remove(c.place)
	} else {
		h.busy.Remove(c.place)
	}
	h.join(c, nil)
	for _, w := range append(c.current, c.pending...) {
		h.deliver(w)
	}
}

// attempted notes the outcome of an attempt. over reports that the call ends; again that it must
// attempt at once, because it got wake-ups meanwhile. Otherwise the call is idle.
func (h *Hub) attempted(c *call, reply Reply, err error, first bool) (again, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		if first || !unavailable(err) {
			return false, true // leave passes the wake-ups on
		}
		// The attempt changed nothing. Once Redis is back, the Hub looks for tasks again: for this
		// instance by its renewal.
		h.refused, c.renewal = true, time.Time{}
	} else {
		c.heard(reply)
		if reply.Final {
			c.current = unclaimed(c.current, reply.Sets)
			return false, true
		}
		h.join(c, h.groupOf(reply.Roles))
	}
	// Roles that have changed meanwhile leave wake-ups to others: those of this attempt too, which has
	// not looked for their tasks.
	var current, foreign []wakeup
	for _, w := range c.current {
		if !c.takes(w) {
			foreign = append(foreign, w)
		}
	}
	for _, w := range c.pending {
		if c.takes(w) {
			current = append(current, w)
		} else {
			foreign = append(foreign, w)
		}
	}
	c.current, c.pending = current, nil
	for _, w := range foreign {
		h.deliver(w)
	}
	if len(c.current) > 0 && err == nil {
		return true, false
	}
	h.busy.Remove(c.place)
	c.current, c.idle, c.place = nil, true, c.group.idle.PushBack(c)
	return false, false
}
