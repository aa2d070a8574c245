package archiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/events/archive"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/lease"
	"github.com/claudebench/claudebench/lua"
)

const (
	// Name is that of the lease.
	Name = "archive"

	batchSize = 2000
	linger    = 20 * time.Millisecond
	block     = 500 * time.Millisecond
	// commitEvery is how often the events are written to the disk on a busy log. It bounds how far the
	// archive is behind.
	commitEvery = 500 * time.Millisecond
	// closeAfter is how long a segment stays open, and closeForTrim how long it does at least if
	// events in it are beyond the retention of the log.
	closeAfter   = time.Hour
	closeForTrim = 5 * time.Second

	retryStore             = time.Second     // after an error of Redis
	retryHopeless          = 5 * time.Second // while an operator must decide
	retryDisk, retryDiskTo = 5 * time.Second, time.Minute
)

// The errors about which an operator must decide.
var (
	// ErrOtherArchive means that the log already has another archive.
	ErrOtherArchive = errors.New("the log has another archive")
	// ErrRolledBack means that the log does not have events that the archive has.
	ErrRolledBack = errors.New("the log has lost events that the archive has")
	// ErrGap means that neither the log nor the archive has some events.
	ErrGap = errors.New("events are neither in the log nor in the archive")
)

var noteArchive = lua.Bind[noteArchiveArgs]("note_archive")

type noteArchiveArgs struct {
	Holder, Archive, Place, Archived, Closed string
	Adopt                                    bool
}

// Config configures an Archiver. Client, Scripts and Dir are required.
type Config struct {
	Client  redis.UniversalClient
	Scripts lua.Scripts // of the log
	Keys    keys.Space  // of the log's namespace
	Dir     string      // the archive's folder
	Program string      // the program's version
	Holder  string      // the name in the lease; the default is the host, the process and a random part
	Logger  *slog.Logger

	// Adopt makes this archive the log's, if it has another one.
	Adopt bool
	// AcceptGap continues behind events that neither the log nor the archive has.
	AcceptGap bool
	// AcceptRollback cuts off the archive's events that the log has lost.
	AcceptRollback bool

	// segmentBytes and retry replace the constants in tests.
	segmentBytes int64
	retry        time.Duration
}

// Archiver archives a log. Run may be called once.
type Archiver struct {
	cfg    Config
	reader *events.Reader
	lease  lease.Lease
	place  string

	mu      sync.Mutex
	status  Status
	foreign bool // an entry that is no event was seen

	// kept is the first event that the log keeps by its retention, as Redis last said.
	kept events.ID
}

// Status is what an Archiver knows about itself.
type Status struct {
	Holder bool      // this process holds the lease
	Last   events.ID // the last event on the disk
	Closed events.ID // the last event in a closed segment
	Bytes  int64     // of all segments
	// Failing says what stops this process from archiving, "" if nothing does. It stays set until
	// it has archived again.
	Failing      string
	FailingSince time.Time
}

// New checks the configuration. It calls neither Redis nor the disk.
func New(cfg Config) (*Archiver, error) {
	if cfg.Client == nil || cfg.Scripts == nil || cfg.Dir == "" {
		return nil, errors.New("new archiver: a Redis client, a script runner and a folder are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Holder == "" {
		cfg.Holder = lease.NewHolder()
	}
	a := &Archiver{cfg: cfg}
	var err error
	a.reader, err = events.NewReader(cfg.Client, events.ReaderConfig{
		Namespace: cfg.Keys.Namespace(), BatchSize: batchSize, Block: block, Linger: linger, Logger: cfg.Logger,
		OnForeign: func(events.ForeignEntry) {
			a.mu.Lock()
			a.foreign = true
			a.mu.Unlock()
		},
	})
	if err != nil {
		return nil, err
	}
	a.lease = lease.Lease{Scripts: cfg.Scripts, Name: Name, Holder: cfg.Holder, Reader: a.reader}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("new archiver: %w", err)
	}
	a.place = host + ":" + dir
	return a, nil
}

// Status returns the current status.
func (a *Archiver) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

// Run archives until ctx ends, and tries again after each error. It then closes the archive and
// releases the lease.
func (a *Archiver) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := a.hold(ctx, false, a.retryDisk)
		wait := lease.AskEvery
		switch {
		case err == nil || ctx.Err() != nil:
		case hopeless(err):
			a.failed(err)
			wait = retryHopeless
		default:
			a.failed(err)
			wait = retryStore
		}
		if err != nil && a.cfg.retry > 0 {
			wait = a.cfg.retry
		}
		sleep(ctx, wait)
	}
}

// Follow archives until ctx ends, or with once until the archive has what is in the log now. It waits
// while another process archives. It returns an error about which an operator must decide, or one of
// the disk.
func (a *Archiver) Follow(ctx context.Context, once bool) error {
	for {
		err := a.hold(ctx, once, nil)
		switch {
		case errors.Is(err, errDone), stopped(ctx):
			return nil
		case err != nil && (once || hopeless(err) || errors.Is(err, archive.ErrFailed)):
			return err
		case err != nil:
			a.failed(err)
		}
		sleep(ctx, lease.AskEvery)
	}
}

// errDone ends a session that has archived what it was to archive.
var errDone = errors.New("done")

// hopeless reports whether an error stays until an operator does something.
func hopeless(err error) bool {
	var inUse *archive.InUseError
	return errors.Is(err, ErrOtherArchive) || errors.Is(err, ErrRolledBack) || errors.Is(err, ErrGap) || errors.Is(err, events.ErrForeignLog) ||
		errors.Is(err, archive.ErrDamaged) || errors.As(err, &inUse)
}

// failed records an error, and logs it once.
func (a *Archiver) failed(err error) {
	a.mu.Lock()
	fresh := a.status.Failing != err.Error()
	if a.status.Failing == "" {
		a.status.FailingSince = time.Now()
	}
	a.status.Failing = err.Error()
	a.mu.Unlock()
	if fresh {
		a.cfg.Logger.Error("the log is not archived", "error", err)
	}
}

// worked records what is on the disk, and unless an error may come again, that there is none.
func (a *Archiver) worked(w *archive.Writer, well bool) {
	a.mu.Lock()
	was := a.status.Failing
	if well {
		a.status.Failing, a.status.FailingSince = "", time.Time{}
	}
	a.status.Last, a.status.Closed, a.status.Bytes = w.Committed(), w.Closed(), w.Bytes()
	a.mu.Unlock()
	if was != "" && well {
		a.cfg.Logger.Info("the log is archived again", "archive", a.place, "last", w.Committed())
	}
}

// hold archives while this process holds the lease. It returns nil if another one holds it.
func (a *Archiver) hold(ctx context.Context, once bool, patience func(context.Context, error, *archive.Writer) error) error {
	held, err := a.lease.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("take the lease of the archive: %w", err)
	}
	if !held {
		a.mu.Lock()
		a.status.Failing, a.status.FailingSince = "", time.Time{} // another process archives
		a.mu.Unlock()
		return nil
	}
	a.setHolder(true)
	session, end := context.WithCancel(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		defer end()
		a.keep(session)
	}()
	err = a.session(session, once, patience)
	lost := session.Err() != nil && ctx.Err() == nil
	end()
	<-kept
	a.setHolder(false)
	if releaseErr := a.lease.Release(ctx); releaseErr != nil {
		a.cfg.Logger.Debug("cannot release the lease of the archive; it expires by itself", "error", releaseErr)
	}
	if lost || errors.Is(err, errLeaseLost) {
		return nil // what failed is that the lease was lost
	}
	return err
}

func (a *Archiver) setHolder(held bool) {
	a.mu.Lock()
	a.status.Holder = held
	a.mu.Unlock()
}

// keep renews the lease until ctx ends or the lease is lost.
func (a *Archiver) keep(ctx context.Context) {
	for renewed := time.Now(); sleep(ctx, lease.RenewEvery); {
		held, err := a.lease.Acquire(ctx)
		switch {
		case err == nil && !held, errors.As(err, new(*events.NewerLogError)):
			return
		case err == nil:
			renewed = time.Now()
		case time.Since(renewed) > lease.TTL:
			return
		}
	}
}

// session opens the archive and follows the log.
func (a *Archiver) session(ctx context.Context, once bool, patience func(context.Context, error, *archive.Writer) error) (err error) {
	identity, err := a.reader.Identity(ctx)
	if err != nil {
		return err
	}
	if identity == "" {
		return errors.New("the log has no identity yet; a coordinator sets it when it starts")
	}
	w, err := archive.OpenWriter(a.cfg.Dir, archive.WriterConfig{
		Log: identity, Namespace: a.cfg.Keys.Namespace(), Program: a.cfg.Program, SegmentBytes: a.cfg.segmentBytes,
	})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := w.Close(); err == nil || errors.Is(err, errDone) && closeErr != nil {
			err = closeErr
		}
	}()
	if n := w.Dropped(); n > 0 {
		a.cfg.Logger.Info("the archive's last process left an unfinished end, which is read from the log again", "bytes", n)
	}
	for {
		err := a.follow(ctx, w, once)
		if ctx.Err() != nil {
			// Stopped: what was read is archived.
			if commitErr := w.Commit(); commitErr != nil {
				return commitErr
			}
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = a.note(last, w, true) // the next process notes it
			return nil
		}
		if errors.Is(err, errAgain) {
			continue
		}
		if !errors.Is(err, archive.ErrFailed) || patience == nil {
			return err
		}
		if err := patience(ctx, err, w); err != nil {
			return err
		}
	}
}

// retryDisk waits until writing may work again.
func (a *Archiver) retryDisk(ctx context.Context, err error, w *archive.Writer) error {
	a.failed(fmt.Errorf("write to the archive %s: %w", a.place, err))
	wait := retryDisk
	if a.cfg.retry > 0 {
		wait = a.cfg.retry
	}
	for sleep(ctx, wait) {
		if w.Reset() == nil {
			return nil
		}
		wait = min(2*wait, retryDiskTo)
	}
	return ctx.Err()
}

// note writes to the log's hash what is on the disk. With well, the archiver no longer fails.
func (a *Archiver) note(ctx context.Context, w *archive.Writer, well bool) error {
	reply, err := noteArchive.Run(ctx, a.cfg.Scripts, noteArchiveArgs{
		Holder: a.cfg.Holder, Archive: w.Manifest().ID, Place: a.place,
		Archived: w.Committed().String(), Closed: w.Closed().String(), Adopt: a.cfg.Adopt,
	})
	if err != nil {
		return fmt.Errorf("note the archive's position: %w", err)
	}
	list, ok := reply.([]any)
	if !ok || len(list) != 2 {
		return fmt.Errorf("note_archive returned %v", reply)
	}
	switch lua.Integer(list[0]) {
	case 0:
		return errLeaseLost
	case -1:
		return fmt.Errorf("%w: %v; archive into that folder, or replace it with 'claudebench archive --adopt'", ErrOtherArchive, list[1])
	}
	a.kept = events.ID{}
	if text, _ := list[1].(string); text != "" {
		if a.kept, err = events.ParseID(text); err != nil {
			return fmt.Errorf("note_archive returned %v", reply)
		}
	}
	a.worked(w, well)
	return nil
}

// hinders reports whether the log keeps events beyond its retention because their segment is open.
func (a *Archiver) hinders(w *archive.Writer) bool {
	return w.Committed() != w.Closed() && a.kept.Seq > w.Closed().Seq+1
}

var errLeaseLost = errors.New("another process archives the log, or a flush deletes keys")

// sleep waits for d, and reports whether ctx did not end first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// stopped reports whether the archiver is to stop, which is not a failure.
func stopped(ctx context.Context) bool { return ctx.Err() != nil }
