package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/keys"
)

// A flush deletes the rows in Postgres, if it includes them, then the log, then one by one the keys
// that were folded from it, so a comparison meanwhile proves nothing. Verify writes nothing, so it
// cannot prevent a flush. Instead it reads the flush's state before and after it compares, and its
// findings count only if nothing was removed in between.

// ErrFlushed is wrapped by the error of Verify if flushes prevented every comparison.
var ErrFlushed = errors.New("a flush is running")

// maxRuns is how often Verify starts again because a flush interrupted it.
const maxRuns = 5

// flushStatus is the state of flushes in the log's hash.
type flushStatus struct {
	underWay string // id, "" for none
	phase    string
	postgres string // "1" if it removes rows too
	keys     string // number of keys removed so far
	ended    string // id of the last one that removed anything
}

func readFlush(ctx context.Context, client redis.UniversalClient, space keys.Space) (s flushStatus, err error) {
	fields, err := client.HMGet(ctx, space.Log(), "flush", "flushPhase", "flushPostgres", "flushKeys", "flushed").Result()
	if err != nil {
		return s, fmt.Errorf("read the state of the flush: %w", err)
	}
	for i, to := range []*string{&s.underWay, &s.phase, &s.postgres, &s.keys, &s.ended} {
		*to = text(fields[i])
	}
	return s, nil
}

// removes reports whether the flush may be removing the compared data. It removes the rows during
// the fence, before any key.
func (s flushStatus) removes(rows bool) bool {
	return s.phase == "deleting" || rows && s.phase == "fenced" && s.postgres == "1"
}

// settled waits until no flush removes anything, as long as the flush makes progress.
func settled(ctx context.Context, o Options) (flushStatus, error) {
	state, err := readFlush(ctx, o.Redis, o.Keys)
	if err != nil || !state.removes(o.Postgres != nil) {
		return state, err
	}
	fmt.Fprintln(o.Progress, "waiting for a flush to end")
	patience := time.NewTimer(o.Wait)
	defer patience.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case <-poll.C:
		case <-patience.C:
			return state, fmt.Errorf("%w and made no progress for %s (its phase is %s, and it has removed %s keys); run verify again when it has ended",
				ErrFlushed, o.Wait, state.phase, state.keys)
		case <-ctx.Done():
			return state, ctx.Err()
		}
		now, err := readFlush(ctx, o.Redis, o.Keys)
		if err != nil || !now.removes(o.Postgres != nil) {
			return now, err
		}
		if now != state {
			patience.Reset(o.Wait)
		}
		state = now
	}
}
