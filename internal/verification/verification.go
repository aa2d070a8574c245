// Package verification runs the verification of the log in the background, for audit.verify and
// audit.status. The comparison itself is internal/audit's, which commands must not import, because
// it reads the projections; the server passes it in.
//
// At most one verification runs in a namespace. Its coordinator holds a lease in Redis, which it
// renews once a second, and writes there how far it is and, at the end, the result, so that every
// coordinator can tell (lua/lib/verification.lua). If the coordinator is killed, the lease ends
// after ten seconds, and the next call begins a new verification. A verification whose lease was
// lost ends. One that makes no progress for a minute ends with an error, so that a store that hangs
// does not block the next one.
//
// A verification takes at most about half of a processor: it pauses for as long as it works. If a
// store cannot be read, it ends with an error, which proves nothing either way.
package verification

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/lua"
)

const (
	// lease is how long a verification counts as running without a renewal.
	lease = 10 * time.Second
	// renewEvery leaves time for a short outage of Redis.
	renewEvery = time.Second
	// patience is how long a verification may make no progress. It is longer than it waits for a
	// projection or a flush.
	patience = time.Minute
	// leavePatience bounds the attempts to store the result.
	leavePatience = 3 * time.Second
	// maxPause bounds a pause, because a slow store must not slow it down twice.
	maxPause = 50 * time.Millisecond
	// maxSentence bounds a sentence of a result in bytes. IDs are up to 256 bytes.
	maxSentence = 1000
)

// Position is how far a verification is.
type Position struct {
	Doing         string
	Events, Total int64
}

// Func verifies the log. It calls step regularly, and ends when step returns an error or ctx ends.
// It returns the result without the fields that say who ran it and when.
type Func func(ctx context.Context, step func(context.Context, Position) error) (api.AuditResult, error)

// Options configure a Verifier. All but Verify are required.
type Options struct {
	Scripts lua.Scripts
	// Name is the coordinator's.
	Name   string
	Logger *slog.Logger
	// Verify verifies the log. Nil means that this coordinator cannot.
	Verify Func
}

// Verifier runs verifications. It is safe for concurrent use.
type Verifier struct {
	Options
	ctx     context.Context //nolint:containedctx // ends with the coordinator, and not with a call
	stop    context.CancelCauseFunc
	running sync.WaitGroup
}

// Causes of the end of a verification.
var (
	errStopped     = errors.New("interrupted: its coordinator was stopped")
	errLost        = errors.New("interrupted: its coordinator could not reach Redis for a while, and another verification began")
	errStuck       = fmt.Errorf("it made no progress for %s", patience)
	errUnavailable = errors.New("this coordinator cannot verify the log")
)

// Lost is the error of a verification whose coordinator ended without a word.
const Lost = "interrupted: its coordinator was killed, or could not reach Redis any more"

type renewVerificationArgs struct {
	ID            string
	Lease         int64 // ms
	Doing         string
	Events, Total int64
}

type endVerificationArgs struct {
	ID     string
	Result []byte
}

var (
	renewVerification = lua.Bind[renewVerificationArgs]("renew_verification")
	endVerification   = lua.Bind[endVerificationArgs]("end_verification")
)

// New returns a Verifier. The caller must call Stop.
func New(o Options) *Verifier {
	v := &Verifier{Options: o}
	v.ctx, v.stop = context.WithCancelCause(context.Background())
	return v
}

// Lease returns how long the lease of a verification lasts that begins.
func (v *Verifier) Lease() time.Duration { return lease }

// Start runs a verification that was begun in Redis under an id, and returns at once.
func (v *Verifier) Start(id string) {
	v.running.Go(func() { v.run(id) })
}

// Stop ends the verification that runs here, and waits until its result says so.
func (v *Verifier) Stop() {
	v.stop(errStopped)
	v.running.Wait()
}

func (v *Verifier) run(id string) {
	ctx, cancel := context.WithCancelCause(v.ctx)
	defer cancel(nil)
	v.Logger.InfoContext(ctx, "a verification of the log has begun", "verification", id)
	r := run{Verifier: v, id: id}
	var renewing sync.WaitGroup
	renewing.Go(func() { r.renew(ctx, cancel) })
	result, err := r.verify(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause // rather than what the end of ctx broke
	}
	cancel(nil)
	renewing.Wait()
	if err != nil {
		result.Error = limited(err.Error())
	}
	result.OK = err == nil && result.DamagesTotal == 0
	damages := make([]string, len(result.Damages))
	for i, sentence := range result.Damages {
		damages[i] = limited(sentence)
	}
	result.Damages = damages
	v.end(id, &result)
}

// verify runs the comparison. A fault of it must not end the coordinator.
func (r *run) verify(ctx context.Context) (result api.AuditResult, err error) {
	if r.Verify == nil {
		return result, errUnavailable
	}
	defer func() {
		if fault := recover(); fault != nil {
			r.Logger.ErrorContext(ctx, "the verification failed because of a bug in the coordinator; please report it", "error", fault)
			err = errors.New("it failed because of a bug in the coordinator; the coordinator's log has the details")
		}
	}()
	return r.Verify(ctx, r.step)
}

// end stores the result. It tries for a while, because a result that is lost means that a long
// verification was for nothing.
func (v *Verifier) end(id string, result *api.AuditResult) {
	if result.Gaps == nil {
		result.Gaps = []api.AuditGap{}
	}
	if result.Notes == nil {
		result.Notes = []string{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), leavePatience)
	defer cancel()
	text, err := jsontext.Marshal(result)
	for err == nil {
		_, err = endVerification.Run(ctx, v.Scripts, endVerificationArgs{ID: id, Result: text})
		if err == nil || !errors.Is(err, lua.ErrUnavailable) && !errors.Is(err, lua.ErrOutcomeUnknown) || ctx.Err() != nil {
			break
		}
		err = pause(ctx, 100*time.Millisecond)
	}
	switch {
	case err != nil:
		v.Logger.ErrorContext(ctx, "the result of the verification of the log could not be stored", "verification", id, "ok", result.OK, "damages", result.DamagesTotal, "error", err)
	case result.Error != "":
		v.Logger.WarnContext(ctx, "the verification of the log ended early", "verification", id, "reason", result.Error)
	case !result.OK:
		v.Logger.ErrorContext(ctx, "the verification found what does not agree with the log; audit.status lists it", "verification", id, "damages", result.DamagesTotal)
	default:
		v.Logger.InfoContext(ctx, "everything stored agrees with the log", "verification", id, "events", result.Events)
	}
}

// run is a verification that runs here.
type run struct {
	*Verifier
	id string

	mu      sync.Mutex
	at      Position
	moved   time.Time // when it made progress last
	resumed time.Time // when the last pause ended
}

// step notes the progress, and pauses for as long as the verification has worked since the last
// pause.
func (r *run) step(ctx context.Context, at Position) error {
	r.mu.Lock()
	now := time.Now()
	worked := time.Duration(0)
	if !r.resumed.IsZero() {
		worked = now.Sub(r.resumed)
	}
	r.at, r.moved = at, now
	r.mu.Unlock()
	err := pause(ctx, min(worked, maxPause))
	r.mu.Lock()
	r.resumed = time.Now()
	r.mu.Unlock()
	return err
}

// position returns the progress, and when it was made.
func (r *run) position() (Position, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at, r.moved
}

// renew renews the lease until ctx ends. It ends the verification if the lease is lost, or if there
// is no progress.
func (r *run) renew(ctx context.Context, end context.CancelCauseFunc) {
	began := time.Now()
	for pause(ctx, renewEvery) == nil {
		at, moved := r.position()
		if moved.IsZero() {
			moved = began
		}
		if time.Since(moved) > patience {
			end(errStuck)
			return
		}
		reply, err := renewVerification.Run(ctx, r.Scripts, renewVerificationArgs{
			ID: r.id, Lease: lease.Milliseconds(), Doing: at.Doing, Events: at.Events, Total: at.Total,
		})
		if err == nil && reply != int64(1) {
			end(errLost)
			return
		}
	}
}

// pause waits, or returns the error of ctx if it ends first.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// limited returns a sentence without what exceeds the bound.
func limited(sentence string) string {
	if len(sentence) <= maxSentence {
		return sentence
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(sentence[:maxSentence], ""), len(sentence))
}
