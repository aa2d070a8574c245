package flush

import (
	"context"
	"errors"
	"time"

	"github.com/claudebench/claudebench/lua"
)

// state is the reply of hold_flush: the state of the current flush, and the result of the last one.
type state struct {
	Mine   bool   `json:"mine"` // the caller holds the lease
	ID     string `json:"id"`   // empty if there is none
	Phase  string `json:"phase"`
	Rows   bool   `json:"rows"`                   // it deletes rows too
	Tasks  *int64 `json:"tasks,string,omitempty"` // rows deleted
	Seq    int64  `json:"seq,string"`             // of the log's last event
	MS     int64  `json:"ms,string"`
	Folded bool   `json:"folded"` // the projections into Redis have applied that event
	// Archived is set if the archive has that event, or no archiver runs.
	Archived bool `json:"archived"`
	Ended    struct {
		ID    string `json:"id"`
		Keys  string `json:"keys"`
		Tasks string `json:"tasks"`
		At    string `json:"at"`
	} `json:"ended"`
}

func (f *run) readState(ctx context.Context) (state, error) {
	return runHoldFlush(ctx, f.untilAnswered(), holdFlushArgs{})
}

// takeLease renews the holder's lease, or takes an expired one.
func (f *run) takeLease(ctx context.Context, scripts lua.Scripts) (state, error) {
	return runHoldFlush(ctx, scripts, holdFlushArgs{Holder: f.holder, Lease: new(leaseTTL.Milliseconds())})
}

func (f *run) releaseLease(ctx context.Context) error {
	_, err := runHoldFlush(ctx, f.untilAnswered(), holdFlushArgs{Holder: f.holder, Lease: new(int64(0))})
	return err
}

func runHoldFlush(ctx context.Context, scripts lua.Scripts, args holdFlushArgs) (s state, err error) {
	err = holdFlush.Decode(ctx, scripts, args, &s)
	return s, err
}

// holdLease renews the lease until release is called. The context ends when the lease is lost, with
// errFlushLost as its cause.
func (f *run) holdLease(ctx context.Context) (held context.Context, release func()) {
	held, end := context.WithCancelCause(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for sleep(held, leaseTTL/5) {
			state, err := f.takeLease(held, f.untilAnswered())
			if err == nil && (state.ID != f.id || !state.Mine) {
				end(errFlushLost)
			}
		}
	}()
	return held, func() {
		end(nil)
		<-over
	}
}

// leaseLost reports whether another coordinator has taken over the flush.
func leaseLost(ctx context.Context, err error) bool {
	var refused *lua.Error
	return errors.Is(context.Cause(ctx), errFlushLost) || errors.As(err, &refused) && refused.Code == "FLUSH_LOST"
}

// untilAnswered returns scripts that are repeated until Redis replies or ctx ends. Each script of a
// flush may be repeated.
func (f *run) untilAnswered() lua.Scripts { return patientScripts{f.Scripts} }

type patientScripts struct{ lua.Scripts }

func (p patientScripts) Run(ctx context.Context, script *lua.Script, args ...any) (any, error) {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		reply, err := p.Scripts.Run(ctx, script, args...)
		if !errors.Is(err, lua.ErrUnavailable) && !errors.Is(err, lua.ErrOutcomeUnknown) || !sleep(ctx, wait) {
			return reply, err
		}
	}
}

// errCrash makes a step fail in a test, which leaves the flush as a dying coordinator does.
var errCrash = errors.New("crashed")

// crash returns errCrash if a test makes the coordinator die at this step.
func (f *run) crash(ctx context.Context, step string) error {
	if f.Dies != nil && f.Dies(ctx, step) {
		return errCrash
	}
	return nil
}
