package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// The causes for which the context of a handler ends, as context.Cause returns them.
var (
	// ErrLeaseLost means that the task is no longer this worker's: it was given to another worker,
	// claimed again, deleted, finished by somebody else, or taken away because its time limit or the
	// grace of its cancellation was over. What the handler returns is not reported.
	ErrLeaseLost = errors.New("the task is no longer this worker's")
	// ErrShutdown means that the worker's grace is over. If the handler then returns an error, its
	// task goes back to the queue.
	ErrShutdown = errors.New("the worker shuts down")
	// ErrStopped means that WorkerOptions.Stop has ended. Nothing is reported, and the task goes back
	// to the queue.
	ErrStopped = errors.New("the worker was stopped")
)

// ErrGiveBack is for handlers to return, wrapped or not: the task goes back to its queue, and nothing
// is reported. This worker may get it again.
var ErrGiveBack = errors.New("the task is given back")

// Handler does a task. Its result becomes the task's, as JSON; a json.RawMessage is sent byte for
// byte. An error makes the task failed, or scheduled if its retry policy has a try left, with the
// error's text or with the JSON of a [*Failure];
// ErrGiveBack does not. ctx ends when the task is no longer the worker's, when it was called off, or
// when the worker has to end; context.Cause says which. The handler must then return soon. [Progress]
// says how far it is.
type Handler func(ctx context.Context, t *Task) (result any, err error)

// Failure is an error of a handler that describes the failure as JSON instead of text.
type Failure struct {
	// Data is any value that encodes to JSON other than null. It becomes the task's error.
	Data any
	// Final says that the task must not be tried again, although its retry policy has a try left.
	Final bool
}

// Error returns the data as text.
func (f *Failure) Error() string { return fmt.Sprint("task failed: ", f.Data) }

// WorkerOptions configure a Worker. The zero value is a worker for one task at a time.
type WorkerOptions struct {
	// ID is the instance's id. The default is made of the host's name, the process, and chance. Two
	// running workers must not share one.
	ID string
	// Roles are the instance's roles; the default is worker. Without the role worker, the instance
	// still claims, but no task is assigned to it.
	Roles []string
	// Metadata has further members of the instance's metadata.
	Metadata map[string]any
	// Concurrency is the number of handlers that run at the same time, 1 to 100; the default is 1.
	Concurrency int
	// TTL is how long the instance counts as alive without a sign of life, 5 s to 1 h; the default
	// is 30 s. The worker sends a heartbeat three times as often, and at least every 10 s, by which it
	// learns that a task was called off.
	TTL time.Duration
	// SessionID identifies this run of the worker. An instance that registers again with the same
	// session keeps its tasks. The default is random.
	SessionID string
	// Wait is how long a claim waits for a task, up to 60 s; the default is 30 s.
	Wait time.Duration
	// Limit is the number of tasks after which the worker ends; 0 is no limit.
	Limit int
	// UntilEmpty makes the worker end when there is no task for it and none of its handlers runs.
	UntilEmpty bool
	// Grace is how long handlers may continue after the worker's context has ended; the default is
	// 30 s. Negative means not at all.
	Grace time.Duration
	// Stop ends the worker at once, without grace. Nil is never.
	Stop context.Context
	// Logger gets what happens besides the handlers. Nil discards it.
	Logger *slog.Logger
}

const (
	defaultTTL     = 30 * time.Second
	defaultWait    = 30 * time.Second
	defaultGrace   = 30 * time.Second
	maxConcurrency = 100
	minTTL, maxTTL = 5 * time.Second, time.Hour
	maxWait        = time.Minute
	beatsPerTTL    = 3
	maxBeat        = 10 * time.Second // a heartbeat also says which tasks were called off
	leavePatience  = 5 * time.Second  // to give tasks back, and to unregister
	stopPatience   = time.Second      // for handlers to return after Stop
	reportPatience = 5 * time.Minute  // to report a result while the coordinator is away
)

// Worker claims tasks and runs a handler for each.
type Worker struct {
	client  *Client
	options WorkerOptions
}

// NewWorker returns a worker. It does nothing before Run.
func NewWorker(c *Client, o WorkerOptions) *Worker { return &Worker{client: c, options: o} }

// Run registers the worker, and claims and does tasks until ctx ends. Then it claims no more, lets
// the handlers finish for the grace, ends the context of those that are left, gives back what is not
// done, unregisters, and returns nil.
//
// While it runs, it registers again when it is told that it is not registered, and it waits for a
// coordinator that is away. It returns an error at once if the options are invalid, and if the first
// registration fails: within the client's patience no coordinator answers, or the token is not
// valid. Later it returns an error if the coordinator rejects it for good, for example because its
// token was revoked.
//
// A Worker may run again after Run has returned, but not twice at a time.
func (w *Worker) Run(ctx context.Context, handle Handler) error {
	o, err := w.options.checked()
	if err != nil {
		return err
	}
	alive, die := context.WithCancelCause(context.WithoutCancel(ctx))
	defer die(nil)
	if o.Stop != nil {
		defer context.AfterFunc(o.Stop, func() { die(ErrStopped) })()
	}
	once := *w.client
	once.patience = 0 // it has loops of its own, which do not give up
	r := newRun(alive, &once, o, handle)
	defer r.close()
	starting, started := context.WithCancel(ctx)
	defer started()
	defer context.AfterFunc(alive, started)()
	if err := r.register(starting, w.client); err != nil {
		if isOver(starting, err) {
			return nil
		}
		return err
	}
	r.Logger.InfoContext(ctx, "the worker is registered", "instance", o.ID, "session", o.SessionID, "coordinator", w.client.url)
	beating, beaten := context.WithCancel(alive)
	beats := make(chan struct{})
	go func() { defer close(beats); r.heartbeats(beating) }()
	err = r.claims(starting)
	r.finish()
	beaten()
	<-beats
	return errors.Join(err, r.leave(ctx))
}

func newRun(alive context.Context, c *Client, o WorkerOptions, handle Handler) *run {
	r := &run{
		WorkerOptions: o, client: c, handle: handle, alive: alive,
		held: map[*lease]struct{}{}, ended: make(chan struct{}),
		free: make(chan struct{}, o.Concurrency), look: make(chan struct{}, 1), registering: make(chan struct{}, 1),
	}
	r.closing, r.close = context.WithCancel(alive)
	r.registering <- struct{}{}
	for range o.Concurrency {
		r.free <- struct{}{}
	}
	return r
}

// checked returns the options with their defaults, or an error that names what is wrong.
func (o WorkerOptions) checked() (WorkerOptions, error) {
	if o.ID == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "worker"
		}
		o.ID = fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:6])
	}
	if len(o.Roles) == 0 {
		o.Roles = []string{"worker"}
	}
	if o.SessionID == "" {
		o.SessionID = rand.Text()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.Concurrency, 1)
	setDefault(&o.TTL, defaultTTL)
	setDefault(&o.Wait, defaultWait)
	setDefault(&o.Grace, defaultGrace)
	switch {
	case o.Concurrency < 1 || o.Concurrency > maxConcurrency:
		return o, fmt.Errorf("worker %s: concurrency is %d; it must be 1 to %d", o.ID, o.Concurrency, maxConcurrency)
	case o.TTL < minTTL || o.TTL > maxTTL:
		return o, fmt.Errorf("worker %s: TTL is %s; it must be %s to %s", o.ID, o.TTL, minTTL, maxTTL)
	case o.Wait < 0 || o.Wait > maxWait:
		return o, fmt.Errorf("worker %s: wait is %s; it must be at most %s", o.ID, o.Wait, maxWait)
	case o.Limit < 0:
		return o, fmt.Errorf("worker %s: limit is %d; it must be 0 or more", o.ID, o.Limit)
	}
	return o, nil
}

func setDefault[N int | time.Duration](option *N, value N) {
	if *option == 0 {
		*option = value
	}
}
