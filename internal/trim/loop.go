package trim

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/lease"
	"github.com/claudebench/claudebench/internal/monitor"
	"github.com/claudebench/claudebench/lua"
)

const (
	// every is the time between two rounds.
	every = 10 * time.Second
	// roundLimit ends a round, which the next one continues, so that Status is current.
	roundLimit = 30 * time.Second
	// named is the number of holders in Status.
	named = 5
)

// Status is what a Loop knows of its rounds.
type Status struct {
	// Removed counts the entries that this coordinator has removed from the log.
	Removed int64
	// HeldBack is the number of events that the log keeps beyond the retention, and Holders the
	// worst of those that need them. They are empty while another coordinator trims.
	HeldBack int64
	Holders  []Holder
	// Err is why the last round failed.
	Err error
}

// Loop trims the log while this coordinator holds the lease `trim`.
type Loop struct {
	trimmer *Trimmer
	policy  Policy
	lease   lease.Lease
	logger  *slog.Logger
	next    time.Time // of the next round
	renewed time.Time

	mu     sync.Mutex
	status Status
}

// NewLoop returns an error if the policy cannot work. It does not call Redis.
func NewLoop(client redis.UniversalClient, space keys.Space, p Policy, logger *slog.Logger) (*Loop, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	t, err := New(client, space)
	if err != nil {
		return nil, err
	}
	held := lease.Lease{Scripts: t.scripts, Name: "trim", Holder: lease.NewHolder(), Reader: t.log}
	return &Loop{trimmer: t, policy: p, lease: held, logger: logger}, nil
}

// Status returns what the loop knows of its rounds. A nil Loop knows nothing.
func (l *Loop) Status() Status {
	if l == nil {
		return Status{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Holders = slices.Clone(s.Holders)
	return s
}

// Run trims until ctx ends, and then gives back the lease.
func (l *Loop) Run(ctx context.Context) {
	monitor.Loop{
		Step: l.step, Patience: 2 * roundLimit, Logger: l.logger,
		Fails: "cannot trim the log; trying again", Works: "the log is trimmed again",
	}.Run(ctx)
	if err := l.lease.Release(ctx); err != nil {
		l.logger.Debug("cannot release the lease of trimming; it expires by itself", "error", err)
	}
}

// errOver ends a round without a failure: its time is over, or another coordinator trims.
var errOver = errors.New("the round is over")

// step renews the lease, and does a round if it is time.
func (l *Loop) step(ctx context.Context) (time.Duration, error) {
	held, err := l.lease.Acquire(ctx)
	if err != nil || !held {
		l.record(Report{}, nil)
		return lease.RenewEvery, err
	}
	l.renewed = time.Now()
	if time.Now().Before(l.next) {
		return lease.RenewEvery, l.Status().Err
	}
	end := time.Now().Add(roundLimit)
	report, err := l.trimmer.Trim(ctx, l.policy, func(ctx context.Context) error { return l.keep(ctx, end) })
	over := errors.Is(err, errOver)
	if over || errors.Is(err, ErrFlushing) || errors.Is(err, lua.ErrUnavailable) && ctx.Err() != nil {
		err = nil
	}
	l.record(report, err)
	if !over {
		l.next = time.Now().Add(every)
	}
	return lease.RenewEvery, err
}

// keep renews the lease before a slice.
func (l *Loop) keep(ctx context.Context, end time.Time) error {
	if time.Now().After(end) {
		return errOver
	}
	if time.Since(l.renewed) < lease.RenewEvery {
		return nil
	}
	held, err := l.lease.Acquire(ctx)
	if err == nil && !held {
		err = errOver
	}
	l.renewed = time.Now()
	return err
}

func (l *Loop) record(r Report, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.Removed += r.Removed
	l.status.HeldBack, l.status.Holders, l.status.Err = r.HeldBack, r.Holders[:min(len(r.Holders), named)], err
}
