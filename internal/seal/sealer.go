package seal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/lease"
	"github.com/claudebench/claudebench/internal/sealtree"
	"github.com/claudebench/claudebench/lua"
)

const (
	// commitEvery is how often a checkpoint is published while events come.
	commitEvery = 500 * time.Millisecond
	// commitAt is the number of leaves that are committed without waiting for commitEvery.
	commitAt = 65_536
	// maxPending bounds the leaves that wait to be written, about 25 MB. Reading then waits.
	maxPending = 4 * commitAt

	// retryEvery is how often a step that failed is tried again.
	retryEvery = time.Second
	// lookEvery is how often a folder that does not fit is looked at again.
	lookEvery = 5 * time.Second

	batchSize = 2000
	linger    = 20 * time.Millisecond
	block     = 500 * time.Millisecond
)

// Config configures a Sealer. Client, Scripts, Dir and Signer are required.
type Config struct {
	Client  redis.UniversalClient
	Scripts lua.Scripts // of the log
	Keys    keys.Space
	Dir     string
	Signer  sealtree.Signer
	// Batches reads the log. It may be shared with others that follow the log. The default is a
	// reader of its own.
	Batches events.BatchReader
	// Holder identifies this coordinator in the lease. The default is lease.NewHolder().
	Holder string
	Logger *slog.Logger // default slog.Default()
	// At is called before each step of a commit. An error makes the step fail. It is for tests.
	At func(step string) error
}

// Sealer seals a log while this coordinator holds the lease.
type Sealer struct {
	cfg   Config
	lease lease.Lease
	log   *slog.Logger
	dir   *sealtree.Dir // nil until the folder is locked

	mu     sync.Mutex
	status Status
	failed map[string]int64
}

// Status is what a Sealer does.
type Status struct {
	Dir string
	// Holder reports that this coordinator seals.
	Holder bool
	// Size and Last are the published checkpoint's, while Holder is set.
	Size int64
	Last events.ID
	// Problem is why it does not seal, or fails; "" if all is well, or another coordinator seals.
	Problem string
	Since   time.Time // of the problem
	// Refused reports that only an operator can solve the problem.
	Refused bool
	// CommitTook is how long the last commit took.
	CommitTook time.Duration
}

// New returns a Sealer. It reads neither the folder nor Redis.
func New(cfg Config) (*Sealer, error) {
	if cfg.Client == nil || cfg.Scripts == nil || cfg.Dir == "" || cfg.Signer.Signer == nil {
		return nil, errors.New("new sealer: a Redis client, a script runner, a folder and a key are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Holder == "" {
		cfg.Holder = lease.NewHolder()
	}
	reader, err := events.NewReader(cfg.Client, events.ReaderConfig{
		Namespace: cfg.Keys.Namespace(), BatchSize: batchSize, Block: block, Linger: linger, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	if cfg.Batches == nil {
		cfg.Batches = reader
	}
	return &Sealer{
		cfg: cfg, log: cfg.Logger.With("seals", cfg.Dir), failed: map[string]int64{},
		lease:  lease.Lease{Scripts: cfg.Scripts, Name: LeaseName, Holder: cfg.Holder, Reader: reader},
		status: Status{Dir: cfg.Dir},
	}, nil
}

// Run seals until ctx ends. Then it releases the lease and the folder. It may be called once.
func (s *Sealer) Run(ctx context.Context) {
	defer s.unlock()
	defer func() { _ = s.lease.Release(ctx) }() // it expires by itself
	for ctx.Err() == nil {
		err := s.once(ctx)
		wait := retryEvery
		var refused *RefusedError
		var stopped *StoppedError
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNotMine):
			wait = lease.AskEvery
		case errors.As(err, &refused), errors.As(err, &stopped):
			wait = lookEvery
		}
		pause(ctx, wait)
	}
}

// RunOnce seals up to the end of the log, or returns why that is not possible.
func (s *Sealer) RunOnce(ctx context.Context) error {
	state, err := Read(ctx, s.cfg.Scripts, "")
	if err != nil {
		return err
	}
	return s.RunUntil(ctx, func(st Status) bool { return st.Holder && st.Last.Seq >= state.Seq })
}

// RunUntil seals until done reports true. It returns an error if an operator must act, or ctx ends.
func (s *Sealer) RunUntil(ctx context.Context, done func(Status) bool) error {
	running, end := context.WithCancel(ctx)
	defer end()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		s.Run(running)
	}()
	defer func() { end(); <-finished }()
	for running.Err() == nil {
		st := s.Status()
		if st.Refused {
			return &RefusedError{st.Problem}
		}
		if done(st) {
			return nil
		}
		pause(running, 20*time.Millisecond)
	}
	return ctx.Err()
}

// Finish waits until everything in the log at the call is sealed, if this coordinator seals.
func (s *Sealer) Finish(ctx context.Context) {
	if !s.Status().Holder {
		return
	}
	state, err := Read(ctx, s.cfg.Scripts, "")
	for err == nil && ctx.Err() == nil {
		if st := s.Status(); !st.Holder || st.Problem != "" || st.Last.Seq >= state.Seq {
			return
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// Status returns what the Sealer does.
func (s *Sealer) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Failures returns how many steps have failed, by where: disk, redis, sign or log.
func (s *Sealer) Failures() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[string]int64{"disk": 0, "redis": 0, "sign": 0, "log": 0}
	for at, n := range s.failed {
		counts[at] = n
	}
	return counts
}

// errNotMine means that another coordinator seals.
var errNotMine = errors.New("another coordinator seals")

// once locks the folder, compares it, takes the lease, and seals until something fails.
func (s *Sealer) once(ctx context.Context) error {
	if s.dir == nil {
		dir, err := sealtree.LockDir(s.cfg.Dir)
		if errors.Is(err, sealtree.ErrInUse) {
			s.worked()
			return errNotMine
		}
		if err != nil {
			return s.problem("disk", err)
		}
		s.dir = dir
	}
	// A coordinator whose folder does not fit must not hold the lease, because another one's may.
	if _, err := s.open(ctx); err != nil {
		return s.problem("log", err)
	}
	held, err := s.lease.Acquire(ctx)
	if err != nil {
		return s.problem("redis", fmt.Errorf("take the lease: %w", err))
	}
	if !held {
		s.worked()
		return errNotMine
	}
	o, err := s.begin(ctx)
	if err != nil {
		_ = s.lease.Release(ctx)
		return s.problem("log", err)
	}
	s.hold(o)
	err = s.session(ctx, o)
	s.mu.Lock()
	s.status.Holder = false
	s.mu.Unlock()
	if errors.Is(err, errNotMine) {
		s.worked()
		return err
	}
	if err != nil && ctx.Err() == nil {
		_ = s.lease.Release(ctx)
		return s.problem("log", err)
	}
	return nil
}

// begin opens the folder under the lease, and completes what a killed sealer has left.
func (s *Sealer) begin(ctx context.Context) (opened, error) {
	o, err := s.open(ctx)
	if err != nil {
		return o, err
	}
	if o.fresh {
		if err := s.dir.WriteInfo(sealtree.Info{Identity: o.identity, Namespace: s.cfg.Keys.Namespace(), Verifier: s.cfg.Signer.Verifier}); err != nil {
			return o, err
		}
	}
	if o.note == nil {
		if o.note, err = sealtree.Sign(s.cfg.Signer, o.head); err != nil {
			return o, err
		}
	}
	old := tlog.Tree{N: o.record.Size}
	if o.record.Verifier != "" {
		if old.Hash, err = tlog.ParseHash(o.record.Root); err != nil {
			return o, err
		}
	}
	if err := s.record(ctx, o.identity, old, o.record.Verifier == "", o.head, o.last, o.note); err != nil {
		return o, err
	}
	if o.fresh || o.behind {
		if err := s.dir.Publish(o.note); err != nil {
			return o, err
		}
	}
	s.dir.Discard(o.head.N)
	return o, nil
}

// record writes a checkpoint to Redis.
func (s *Sealer) record(ctx context.Context, identity string, old tlog.Tree, none bool, head tlog.Tree, last events.ID, signed []byte) error {
	args := recordSealArgs{
		Holder: s.cfg.Holder, Verifier: s.cfg.Signer.Verifier, Identity: identity,
		OldSize: old.N, OldRoot: old.Hash.String(), Size: head.N, Root: head.Hash.String(), Note: signed,
	}
	if none {
		args.OldSize, args.OldRoot = 0, ""
	}
	if !last.IsZero() {
		args.Last = last.String()
	}
	_, err := recordSeal.Run(ctx, s.cfg.Scripts, args)
	switch {
	case err == nil:
		return nil
	case hasCode(err, "LOG_ROLLED_BACK"):
		state, readErr := Read(ctx, s.cfg.Scripts, "")
		if readErr != nil {
			return readErr
		}
		return &lostError{args.Last, state.Seq}
	case hasCode(err, "SEAL_KEY_USED"):
		return errKeyUsed
	}
	return fmt.Errorf("record the checkpoint: %w", err)
}

// lostError means that the log lost an event that was about to be sealed.
type lostError struct {
	id  string
	seq int64 // of the log's last event
}

func (e *lostError) Error() string {
	return fmt.Sprintf("the log was rolled back: event %s was read and is missing now; the log ends at seq %d", e.id, e.seq)
}

func (s *Sealer) hold(o opened) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = Status{Dir: s.cfg.Dir, Holder: true, Size: o.head.N, Last: o.last}
}

// problem notes a failure, and logs it when it begins or changes.
func (s *Sealer) problem(at string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, lua.ErrUnavailable) || errors.Is(err, lua.ErrOutcomeUnknown) {
		at = "redis"
	}
	var refused *RefusedError
	var stopped *StoppedError
	hopeless := errors.As(err, &refused) || errors.As(err, &stopped)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed[at]++
	if s.status.Problem != err.Error() {
		level := slog.LevelWarn
		if hopeless {
			level = slog.LevelError
		}
		s.log.Log(context.Background(), level, "cannot seal the log", "error", err)
	}
	if s.status.Problem == "" {
		s.status.Since = time.Now()
	}
	s.status.Problem, s.status.Refused = err.Error(), hopeless
	return err
}

func (s *Sealer) worked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.Problem != "" {
		s.log.Info("sealing works again")
	}
	s.status.Problem, s.status.Refused, s.status.Since = "", false, time.Time{}
}

func (s *Sealer) unlock() {
	if s.dir != nil {
		_ = s.dir.Close()
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
