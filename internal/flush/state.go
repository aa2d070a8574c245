package flush

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/lua"
)

// flushState is how the flush under way stands, and what the last one answered.
type state struct {
	mine    bool   // the one who asked holds the lease
	id      string // "" when there is none
	phase   string
	include bool   // rows are deleted too
	tasks   *int64 // how many were
	seq, at int64  // of the log's last event
	folded  bool   // the projections into Redis have that

	ended, endedKeys, endedTasks, endedAt string
}

// look reads the state. With a lease in ms it renews that of the holder, or takes one that has ended;
// "0" gives it back.
func (f *run) look(ctx context.Context, holder, lease string) (state, error) {
	reply, err := f.insist(ctx, holdFlush, holder, lease)
	if err != nil {
		return state{}, err
	}
	return readFlushState(reply)
}

// glance is look asked once: it says so when Redis cannot be reached.
func (f *run) glance(ctx context.Context, holder, lease string) (state, error) {
	reply, err := f.Scripts.Run(ctx, holdFlush, holder, lease)
	if err != nil {
		return state{}, err
	}
	return readFlushState(reply)
}

func readFlushState(reply any) (s state, err error) {
	values, ok := reply.([]any)
	if !ok || len(values) != 12 {
		return s, fmt.Errorf("hold_flush returned %v", reply)
	}
	text := make([]string, len(values))
	for i, v := range values {
		text[i] = fmt.Sprint(v)
	}
	number := func(i int) int64 {
		if text[i] == "" {
			return 0
		}
		n, wrong := strconv.ParseInt(text[i], 10, 64)
		if wrong != nil {
			err = fmt.Errorf("hold_flush: %w", wrong)
		}
		return n
	}
	s = state{
		mine: text[0] == "1", id: text[1], phase: text[2], include: text[3] == "1", seq: number(5), at: number(6),
		folded: text[7] == "1", ended: text[8], endedKeys: text[9], endedTasks: text[10], endedAt: text[11],
	}
	if text[4] != "" {
		s.tasks = new(number(4))
	}
	return s, err
}

// keep renews the lease until release is called. The context it gives ends when the lease is lost, with
// errFlushLost as its cause.
func (f *run) keep(ctx context.Context) (held context.Context, release func()) {
	held, end := context.WithCancelCause(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for rest(held, leaseTTL/5) {
			state, err := f.look(held, f.holder, fmt.Sprint(leaseTTL.Milliseconds()))
			if err == nil && (state.id != f.id || !state.mine) {
				end(errFlushLost)
			}
		}
	}()
	return held, func() {
		end(nil)
		<-over
	}
}

// lost tells whether the flush is another's now.
func lost(ctx context.Context, err error) bool {
	var refused *lua.Error
	return errors.Is(context.Cause(ctx), errFlushLost) || errors.As(err, &refused) && refused.Code == "FLUSH_LOST"
}

// insist runs a script of the flush until it is answered or ctx ends: each of them may be repeated.
func (f *run) insist(ctx context.Context, script *lua.Script, args ...any) (any, error) {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		reply, err := f.Scripts.Run(ctx, script, args...)
		if !errors.Is(err, lua.ErrUnavailable) && !errors.Is(err, lua.ErrOutcomeUnknown) || !rest(ctx, wait) {
			return reply, err
		}
	}
}

// errCrash is what a test makes a step fail with, to leave the flush as a coordinator that dies does.
var errCrash = errors.New("crashed")

// crash is where a coordinator may die, for tests.
func (f *run) crash(ctx context.Context, step string) error {
	if f.Dies != nil && f.Dies(ctx, step) {
		return errCrash
	}
	return nil
}
