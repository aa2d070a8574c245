package lua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrUnavailable means that Redis could not be reached or did not run the script, or that the reply
// of a script that only reads was lost. Nothing has changed.
var ErrUnavailable = errors.New("redis unavailable")

// ErrOutcomeUnknown means that the script was sent and its reply was lost. It may or may not have
// run.
var ErrOutcomeUnknown = errors.New("outcome unknown")

// Error is an error that a script returned. Nothing has changed. Detail is JSON.
type Error struct{ Code, Detail string }

func (e *Error) Error() string { return e.Code + " " + e.Detail }

const (
	// maxBatch is the maximum number of calls in one round trip. More would only add latency.
	maxBatch = 128
	// maxInFlight is the maximum number of concurrent round trips: while Redis runs one, the next
	// is written.
	maxInFlight = 2
	// retryFor is how long a retriable call is repeated: long enough for a restart of Redis, and
	// shorter than the timeouts of methods, except that of hook.record.
	retryFor = 1500 * time.Millisecond
	// reachTimeout bounds the PING that checks whether Redis can be reached.
	reachTimeout = time.Second
	// sendTimeout bounds a round trip, and so how long calls queue behind a Redis that hangs.
	sendTimeout = 5 * time.Second
)

// Runner runs scripts. Calls made at the same time share round trips. A call that may have changed
// something is never sent again. The client must not retry by itself either (MaxRetries -1).
type Runner struct {
	client   redis.UniversalClient
	readOnly bool

	mu       sync.Mutex
	waiting  []*pending
	inFlight int
	// doubt is set until Redis has replied, and again after a connection broke. Calls are then sent
	// only after a successful PING, so that a failed connect leaves no outcome unknown.
	doubt bool
}

// NewRunner returns a Runner on a client.
func NewRunner(client redis.UniversalClient) *Runner { return &Runner{client: client, doubt: true} }

// NewReadOnlyRunner returns a Runner for a Redis user who may only read, or for a replica. It refuses
// scripts that write, and runs the others by EVALSHA_RO. EVALSHA needs the right to write every key
// that it names.
func NewReadOnlyRunner(client redis.UniversalClient) *Runner {
	r := NewRunner(client)
	r.readOnly = true
	return r
}

// Client returns the client that the scripts run on.
func (r *Runner) Client() redis.UniversalClient { return r.client }

type callState int

const (
	waiting callState = iota
	sent
	abandoned
)

// pending is a call until it has its reply.
type pending struct {
	script *Script
	keys   []string
	args   []any
	joined bool      // to be sent in the round trip of the call before it
	state  callState // guarded by Runner.mu
	done   chan struct{}
	reply  any
	err    error
}

// errReplyLost is ErrUnavailable for a script that only reads and may have run.
var errReplyLost = fmt.Errorf("%w: the reply was lost", ErrUnavailable)

// Run runs a script and returns its reply. Its error wraps ErrUnavailable or ErrOutcomeUnknown, is
// an *Error, or is a defect of the script or of the call. It returns when ctx ends.
func (r *Runner) Run(ctx context.Context, script *Script, keys []string, args ...any) (any, error) {
	if err := r.accepts(script, len(args)); err != nil {
		return nil, err
	}
	attempts := newAttempts(ctx)
	for {
		reply, err := r.runOnce(ctx, script, keys, args)
		if !attempts.again(script, &err) {
			return reply, err
		}
	}
}

// accepts returns an error if the runner cannot run a script with so many arguments.
func (r *Runner) accepts(script *Script, args int) error {
	if r.readOnly && !script.ReadOnly {
		return fmt.Errorf("run %s: it writes, and this runner only reads", script.Name)
	}
	return script.fits(args)
}

// attempts decides whether a failed call is sent again.
type attempts struct {
	ctx      context.Context
	deadline time.Time
	wait     time.Duration
	refused  error // last refusal of Redis that has a cause
}

func newAttempts(ctx context.Context) *attempts {
	return &attempts{ctx: ctx, deadline: time.Now().Add(retryFor), wait: 10 * time.Millisecond}
}

// retriable reports whether a call that ended with an error may be sent again: it certainly has not
// run, or it only reads and counts for no rate limit.
func retriable(script *Script, err error) bool {
	return errors.Is(err, ErrUnavailable) && !(script.Counts && errors.Is(err, errReplyLost))
}

// again waits before the next attempt and reports whether there is one. If there is none, it
// replaces an error that names no cause by an earlier one that does.
func (a *attempts) again(script *Script, err *error) bool {
	if errors.Is(*err, ErrUnavailable) {
		if Cause(*err) != "" {
			a.refused = *err
		} else if a.refused != nil {
			*err = a.refused // the retries ran out of time, which explains less
		}
	}
	if !retriable(script, *err) || a.ctx.Err() != nil || time.Now().After(a.deadline) {
		return false
	}
	select {
	case <-time.After(a.wait):
		a.wait = min(2*a.wait, 200*time.Millisecond)
		return true
	case <-a.ctx.Done():
		return false
	}
}

func (r *Runner) runOnce(ctx context.Context, script *Script, keys []string, args []any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("run %s: %w: %w", script.Name, ErrUnavailable, err)
	}
	c := &pending{script: script, keys: keys, args: args, done: make(chan struct{})}
	r.enqueue(c)
	return r.await(ctx, c)
}

// enqueue appends calls to the queue. It starts a goroutine that sends them, unless maxInFlight
// already run.
func (r *Runner) enqueue(calls ...*pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, calls...)
	if r.inFlight < maxInFlight {
		r.inFlight++
		go r.sendWaiting()
	}
}

// await returns the reply of a call in the queue. When ctx ends, a call that was not sent yet is
// abandoned and never runs.
func (r *Runner) await(ctx context.Context, c *pending) (any, error) {
	select {
	case <-c.done:
	case <-ctx.Done():
		r.mu.Lock()
		was := c.state
		if was == waiting {
			c.state = abandoned
		}
		r.mu.Unlock()
		if was == waiting {
			return nil, fmt.Errorf("run %s: %w: %w", c.script.Name, ErrUnavailable, ctx.Err())
		}
		select {
		case <-c.done: // the reply arrived at the same moment
		default:
			return nil, fmt.Errorf("run %s: %w: %w", c.script.Name, errorOfLostReply(c.script), ctx.Err())
		}
	}
	if c.err != nil {
		return nil, fmt.Errorf("run %s: %w", c.script.Name, c.err)
	}
	return c.reply, nil
}

// sendWaiting sends the waiting calls until none is left.
func (r *Runner) sendWaiting() {
	for {
		key, ok := r.next()
		if !ok {
			return
		}
		if err := r.reach(key); err != nil {
			for _, c := range r.take() {
				c.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
				close(c.done)
			}
			continue
		}
		r.send(r.take())
	}
}

// next returns the key of the first waiting call, which selects the node. If no call waits, ok is
// false and sendWaiting must end.
func (r *Runner) next() (key string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		r.inFlight--
		return "", false
	}
	return r.waiting[0].keys[0], true
}

// reach checks with a PING that Redis replies, if there is doubt. A call that is abandoned
// meanwhile is never sent.
func (r *Runner) reach(key string) error {
	r.mu.Lock()
	doubt := r.doubt
	r.mu.Unlock()
	if !doubt {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), reachTimeout)
	defer cancel()
	node, err := r.node(ctx, key)
	if err == nil {
		// In a pipeline, because the client has a separate connection pool for pipelines, which
		// send uses.
		_, err = node.Pipelined(ctx, func(pipe redis.Pipeliner) error { return pipe.Ping(ctx).Err() })
	}
	var answered redis.Error
	if errors.As(err, &answered) && !redis.IsMaxClientsError(err) {
		err = nil // Redis can be reached; the script gets its error
	}
	if err == nil {
		r.setDoubt(false)
	}
	return err
}

func (r *Runner) setDoubt(doubt bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doubt = doubt
}

// take removes up to maxBatch calls from the queue. It keeps joined calls together.
func (r *Runner) take() []*pending {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.waiting), maxBatch)
	for n < len(r.waiting) && r.waiting[n].joined {
		n--
	}
	batch := make([]*pending, 0, n)
	for _, c := range r.waiting[:n] {
		if c.state == waiting {
			c.state = sent
			batch = append(batch, c)
		}
	}
	rest := copy(r.waiting, r.waiting[n:])
	clear(r.waiting[rest:])
	r.waiting = r.waiting[:rest]
	return batch
}

// send runs a batch in one round trip, and in a second one the scripts that Redis did not know by
// their hash.
func (r *Runner) send(batch []*pending) {
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
	defer cancel()
	node, err := r.node(ctx, batch[0].keys[0])
	if err != nil {
		for _, c := range batch {
			c.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
			close(c.done)
		}
		return
	}
	unknown := r.exchange(ctx, node, lots(batch), func(pipe redis.Pipeliner, l lot) *redis.Cmd {
		if r.readOnly {
			return pipe.EvalShaRO(ctx, l.script.SHA, l.calls[0].keys, l.args()...)
		}
		return pipe.EvalSha(ctx, l.script.SHA, l.calls[0].keys, l.args()...)
	})
	if len(unknown) == 0 {
		return
	}
	unknown = r.exchange(ctx, node, unknown, func(pipe redis.Pipeliner, l lot) *redis.Cmd {
		if r.readOnly {
			return pipe.EvalRO(ctx, l.script.Source, l.calls[0].keys, l.args()...)
		}
		return pipe.Eval(ctx, l.script.Source, l.calls[0].keys, l.args()...)
	})
	for _, l := range unknown { // EVAL never replies NOSCRIPT
		l.settle(nil, fmt.Errorf("%w: the script could not be loaded", ErrUnavailable))
	}
}

// exchange sends lots, settles those with a reply, and returns those whose script Redis does not
// know.
func (r *Runner) exchange(ctx context.Context, node redis.UniversalClient, lots []lot,
	add func(redis.Pipeliner, lot) *redis.Cmd,
) []lot {
	pipe := node.Pipeline()
	cmds := make([]*redis.Cmd, len(lots))
	for i, l := range lots {
		cmds[i] = add(pipe, l)
	}
	_, _ = pipe.Exec(ctx) // each command holds its own error
	var unknown []lot
	for i, l := range lots {
		reply, err := cmds[i].Result()
		if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
			unknown = append(unknown, l)
			continue
		}
		if moved(err) {
			r.reload(ctx)
		}
		if err != nil && !isReply(err) {
			r.setDoubt(true)
		}
		l.settle(reply, err)
	}
	return unknown
}

// node returns the client to send to. On a cluster it is the master of the keys' slot, used
// directly because the cluster client repeats a pipeline after a lost connection.
func (r *Runner) node(ctx context.Context, key string) (redis.UniversalClient, error) {
	if cluster, ok := r.client.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, key)
	}
	return r.client, nil
}

func (r *Runner) reload(ctx context.Context) {
	if cluster, ok := r.client.(*redis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
}

// isReply reports whether an error is a reply of Redis and not one of the connection.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

func moved(err error) bool {
	return err != nil && (redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "ASK") || redis.HasErrorPrefix(err, "READONLY"))
}

// classify returns the error with which a sent call fails.
func classify(script *Script, err error) error {
	if err == nil || errors.Is(err, redis.Nil) {
		return nil
	}
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	var reply redis.Error
	if errors.As(err, &reply) {
		if refusedInside(err) {
			return fmt.Errorf("%w: %w", errorOfLostReply(script), err)
		}
		if refused, _ := refusal(err); refused {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		code, detail, ok := strings.Cut(reply.Error(), " ")
		if ok && strings.HasPrefix(detail, "{") {
			return &Error{Code: code, Detail: detail}
		}
		return err
	}
	if neverSent(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", errorOfLostReply(script), err)
}

// neverSent reports whether an error occurred before anything was sent.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, redis.ErrPoolTimeout) ||
		errors.Is(err, redis.ErrPoolExhausted) || errors.Is(err, redis.ErrClosed)
}

// errorOfLostReply returns the error of a call whose reply is lost. A script that only reads has
// changed nothing.
func errorOfLostReply(script *Script) error {
	if script.ReadOnly {
		return errReplyLost
	}
	return ErrOutcomeUnknown
}
