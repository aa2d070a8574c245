package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/fold"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/projections"
)

// Options say what Verify compares. Redis is required.
type Options struct {
	Redis redis.UniversalClient
	Keys  keys.Space // of the namespace
	// ReadOnly runs the scripts so that the Redis user needs no right to write, and so that Redis may
	// be a replica.
	ReadOnly bool
	// Archive has the events that are no longer in Redis. Nil means that they are gone.
	Archive events.Archive
	// Postgres is a pool from projections.OpenPool. Nil leaves the task views out.
	Postgres *projections.Pool
	// Wait is how long Verify waits for a projection that is behind, and for a flush without
	// progress. The default is 10 s.
	Wait time.Duration
	// Step, if it is set, is called after at most a few hundred events or objects. It may wait, so
	// that a run takes less of the processor and of the stores, and its error ends the run.
	Step func(context.Context, Position) error
	// MaxBytes is about how much memory the fold may hold, besides what Step's caller has; 0 is no
	// limit. Beyond it, Verify returns ErrTooLarge.
	MaxBytes int64
	// Progress receives one line for each step. Nil discards them.
	Progress io.Writer
}

// Position is how far a run is.
type Position struct {
	Doing         string // what it does now
	Events, Total int64  // events that it has read, and those of the log when it began
}

// ErrTooLarge is wrapped by the error of Verify if the tasks of the log need more memory than
// Options.MaxBytes.
var ErrTooLarge = errors.New("the tasks of the log need too much memory")

const (
	// stepEvery is how many events or rows are read between two calls of Step.
	stepEvery   = 500
	defaultWait = 10 * time.Second
	// pollEvery is how often a projection that is behind is checked.
	pollEvery = 20 * time.Millisecond
	// taskLot and instanceLot are how many objects a script reads at once, which takes about a
	// millisecond.
	taskLot, instanceLot = 100, 50
)

// The scripts. None of them writes.
var (
	readTasks     = lua.Named("read_tasks")
	readInstances = lua.Named("read_instances")
	readQueues    = lua.Named("read_queues")
	readGlobals   = lua.Named("read_globals")
	readKeys      = lua.Named("read_keys")
	readSchedules = lua.Named("read_schedules")
	readMetrics   = lua.Named("read_metrics")
)

// verifier is one run of Verify.
type verifier struct {
	Options
	keys    keys.Space
	scripts lua.Scripts
	// identity is the log's identity, "" if no coordinator that knows identities has opened it.
	identity string
	fold     *fold.Fold
	tail     *tail
	report   *Report
	doing    string
	total    int64 // events of the log at the start
	steps    int64 // events and rows that were read

	truncated bool            // the violation that the log ends too early was reported
	compared  numbers         // tasks whose hash was compared
	rolesets  map[string]bool // role sets that Redis or the log has
	orphaned  map[string]bool // keys of the orphan queues to compare
}

// Verify reads the log and compares the stored data with its fold, while commands continue. All
// violations are in the report. If a flush interrupts Verify, or Redis loses events that it has read,
// it starts again. An error means that Redis or Postgres could not be read, that flushes prevented
// every comparison (ErrFlushed), or that ctx ended.
func Verify(ctx context.Context, o Options) (*Report, error) {
	began := time.Now()
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	for range maxRuns {
		before, err := settled(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
		report, err := verify(ctx, o)
		if errors.Is(err, errRebuilt) {
			fmt.Fprintln(o.Progress, "the views were rebuilt or migrated meanwhile; starting again")
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
		after, err := readFlush(ctx, o.Redis, o.Keys)
		if err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
		if after.ended != before.ended || after.removes(o.Postgres != nil) {
			fmt.Fprintln(o.Progress, "a flush interrupted the comparison; starting again")
			continue
		}
		kept, err := has(ctx, o, report.Last)
		if err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
		if kept {
			report.DurationMS = time.Since(began).Milliseconds()
			return report, nil
		}
		fmt.Fprintln(o.Progress, "Redis has lost the end of the log meanwhile; starting again")
	}
	return nil, fmt.Errorf("verify: %w; flushes, rebuilds or losses of Redis interrupted all %d attempts; try again later", ErrFlushed, maxRuns)
}

// has reports whether the log still has an event that was read. It does not after a failover to a
// server that never got the event: what was compared then came from two different logs.
func has(ctx context.Context, o Options, event events.ID) (bool, error) {
	if event.IsZero() {
		return true, nil
	}
	log, err := events.NewReader(o.Redis, events.ReaderConfig{Namespace: o.Keys.Namespace(), Archive: o.Archive, SinceFlush: true})
	if err != nil {
		return false, err
	}
	_, there, err := log.At(ctx, event)
	return there, err
}

// verify makes every comparison once.
func verify(ctx context.Context, o Options) (*Report, error) {
	v, bounds, err := newVerifier(ctx, o)
	if err != nil {
		return nil, err
	}
	defer v.fold.Close()
	defer v.tail.close()
	for _, part := range []struct {
		what string
		do   func(context.Context) error
	}{
		{fmt.Sprintf("folding the log up to seq %d", bounds.Seq), func(ctx context.Context) error { return v.to(ctx, bounds.Seq) }},
		{"comparing tasks", v.tasks},
		{"comparing instances", v.instances},
		{"comparing schedules", v.schedules},
		{"comparing the hash of the log and the leader", v.globals},
		{"comparing queues", v.queues},
		{"looking for keys that are not in the log", v.strays},
		{"comparing the global state", v.state},
		{"comparing the metrics", v.metrics},
		{"comparing the views in Postgres", v.rows},
		{"comparing the event index in Postgres", v.events},
		{"checking the end of the log", v.tail.peek},
	} {
		v.progress(part.what)
		if err := v.step(ctx); err != nil {
			return nil, err
		}
		if err := part.do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", part.what, err)
		}
	}
	if err := v.fold.Err(); err != nil {
		return nil, err
	}
	v.report.Base, v.report.Events, v.report.Last = v.fold.Base(), v.fold.Events(), v.fold.Last()
	v.report.Gaps = append(v.report.Gaps, v.fold.Gaps()...)
	if !v.fold.Whole() {
		v.report.note("The log begins at seq %d. Older objects were compared only as far as the log contains them, and counts were not compared.", v.fold.Base())
	}
	return v.report, nil
}

func newVerifier(ctx context.Context, o Options) (*verifier, events.Bounds, error) {
	runner := lua.NewRunner(o.Redis)
	if o.ReadOnly {
		runner = lua.NewReadOnlyRunner(o.Redis)
	}
	v := &verifier{
		Options: o, keys: o.Keys, scripts: runner.On(o.Keys.Log()), compared: numbers{}, rolesets: map[string]bool{}, orphaned: map[string]bool{},
		report: &Report{Namespace: o.Keys.Namespace(), Gaps: []fold.Gap{}, Notes: []string{}, Violations: []string{}},
	}
	reader, err := events.NewReader(o.Redis, events.ReaderConfig{
		Namespace: o.Keys.Namespace(), Archive: o.Archive, SinceFlush: true,
		Logger: slog.New(slog.DiscardHandler), OnForeign: v.foreign,
	})
	if err != nil {
		return nil, events.Bounds{}, err
	}
	bounds, err := reader.Bounds(ctx)
	if err != nil {
		return nil, events.Bounds{}, err
	}
	if v.identity, err = reader.Identity(ctx); err != nil {
		return nil, events.Bounds{}, err
	}
	bounds.Seq = max(bounds.Seq, bounds.Last.Seq)
	v.report.Start = bounds.Seq
	v.fold = fold.New(bounds.Base, func(violation string) { v.report.violation("%s", violation) })
	if o.Postgres != nil {
		after, err := o.Postgres.SessionsAfter(ctx)
		if err != nil {
			return nil, events.Bounds{}, err
		}
		v.fold.SkipSessions(after)
	}
	v.tail = &tail{reader: reader, fold: v.fold, step: v.sometimes}
	v.total = max(bounds.Seq-max(bounds.Base, 1)+1, 0)
	if o.Postgres != nil {
		v.tail.sums = newEventSums()
	}
	return v, bounds, nil
}

// foreignLog records that a store follows another log. A further comparison would only repeat that.
func (v *verifier) foreignLog(what, rebuild, followed string) {
	this := v.identity
	if this == "" {
		this = "without an identity"
	}
	v.report.violation("%s follows the log %s, but this Redis holds the log %s: another Redis is configured, or its data was replaced; if this log is the right one, run 'claudebench rebuild %s'",
		what, followed, this, rebuild)
}

func (v *verifier) foreign(f events.ForeignEntry) {
	v.report.violation("log entry %s is not an event: %v", f.EntryID, f.Reason)
}

// sometimes calls step once for many events or rows.
func (v *verifier) sometimes(ctx context.Context) error {
	if v.steps++; v.steps%stepEvery != 0 {
		return nil
	}
	return v.step(ctx)
}

// step tells the caller how far the run is.
func (v *verifier) step(ctx context.Context) error {
	if err := v.fold.Err(); err != nil {
		return err
	}
	if v.MaxBytes > 0 && v.fold.Bytes() > v.MaxBytes {
		return fmt.Errorf("%w: more than %d MiB after %d of %d events; run 'claudebench verify' on a machine with enough memory",
			ErrTooLarge, v.MaxBytes>>20, v.fold.Events(), v.total)
	}
	if v.Step == nil {
		return nil
	}
	return v.Step(ctx, Position{Doing: v.doing, Events: v.fold.Events(), Total: v.total})
}

func (v *verifier) progress(what string) {
	v.doing = what
	fmt.Fprintf(v.Progress, "%s\n", what)
}

// to folds the log up to a seq. If the log ends before it, that is a violation.
func (v *verifier) to(ctx context.Context, seq int64) error {
	there, err := v.tail.to(ctx, seq)
	for wait := time.Now().Add(v.Wait); err == nil && !there && !v.truncated && v.ReadOnly && time.Now().Before(wait); {
		// A replica is a little behind its master, and so behind Postgres.
		select {
		case <-time.After(pollEvery):
			there, err = v.tail.to(ctx, seq)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return err
	}
	if !there && !v.truncated {
		v.truncated = true
		v.report.violation("the log ends at %s, but seq %d was already used: events are missing at its end", v.fold.Last(), seq)
	}
	return nil
}

// lots runs a script for each list of arguments, one after the other. It passes each reply to
// compare once the log is folded up to the reply's seq. The next lot is read during the comparison.
func (v *verifier) lots(ctx context.Context, script *lua.Script, args [][]any, compare func(lot int, reply []any) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type read struct {
		reply []any
		err   error
	}
	replies := make(chan read, 1)
	go func() {
		defer close(replies)
		for _, a := range args {
			reply, err := v.run(ctx, script, a...)
			select {
			case replies <- read{reply, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	lot := 0
	for r := range replies {
		if r.err != nil {
			return r.err
		}
		if err := v.at(ctx, r.reply); err != nil {
			return err
		}
		if err := compare(lot, r.reply[1:]); err != nil {
			return err
		}
		lot++
		if err := v.step(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// run runs a read-only script.
func (v *verifier) run(ctx context.Context, script *lua.Script, args ...any) ([]any, error) {
	reply, err := v.scripts.Run(ctx, script, args...)
	if err != nil {
		return nil, err
	}
	list, ok := reply.([]any)
	if !ok || len(list) == 0 {
		return nil, fmt.Errorf("script %s returned %v", script.Name, reply)
	}
	return list, nil
}

// at folds the log up to the seq of a script's reply.
func (v *verifier) at(ctx context.Context, reply []any) error {
	seq, err := strconv.ParseInt(text(reply[0]), 10, 64)
	if err != nil {
		return fmt.Errorf("%s contains the invalid seq %q", v.keys.Log(), text(reply[0]))
	}
	return v.to(ctx, seq)
}

// await polls until a projection has reached the fold's position, and reports if that takes too
// long.
func (v *verifier) await(ctx context.Context, projection string, reached func() (seq int64, ok bool, err error)) (bool, error) {
	timeout := time.NewTimer(v.Wait)
	defer timeout.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		seq, ok, err := reached()
		if err != nil || ok {
			return ok, err
		}
		select {
		case <-poll.C:
		case <-timeout.C:
			hint := ""
			if n, err := v.Redis.Exists(ctx, v.keys.Lease(projection)).Result(); err == nil && n == 0 {
				hint = "; no coordinator runs it; start one, and it continues from there"
			}
			v.report.violation("projection %s is stuck at seq %d: it did not reach seq %[4]d within %[3]s%[5]s", projection, seq, v.Wait, v.fold.Seq(), hint)
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// differs compares one field and reports a difference from the log. "" means that the field is
// absent.
func (v *verifier) differs(object, field, log, stored string) {
	if log == stored {
		return
	}
	v.report.violation("%s: %s is %s, but the log says %s", object, field, fold.Shown(stored), fold.Shown(log))
}

var (
	errBehind  = errors.New("the projection is behind")
	errRebuilt = errors.New("a projection was rebuilt")
)
