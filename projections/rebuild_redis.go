package projections

import (
	"context"
	"fmt"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/lua"
)

var (
	readProjection = lua.Bind[readProjectionArgs]("read_projection")
	swapRebuilt    = lua.Bind[swapRebuiltArgs]("swap_rebuilt")
)

type readProjectionArgs struct{ Name, Place string }

type swapRebuiltArgs struct{ Name, Holder, Checkpoint, Identity, Flushed string }

// redisRebuild is the second place of a projection into Redis: the same keys with another prefix.
type redisRebuild struct {
	Projection // into the second place
	live       *redisStore
}

// redisView is what a projection has stored in a place.
type redisView struct {
	checkpoint events.ID
	log        string
	hashes     map[string]map[string]string
}

func (r *redisRebuild) read(ctx context.Context, place string) (redisView, error) {
	reply, err := readProjection.Alone().Run(ctx, r.live.cfg.Scripts, readProjectionArgs{r.live.name, place})
	list, ok := reply.([]any)
	if err == nil && (!ok || len(list) < 2) {
		err = fmt.Errorf("script %s returned %v", readProjection.Name, reply)
	}
	if err != nil {
		return redisView{}, fmt.Errorf("read %s: %w", r.live.name, err)
	}
	view := redisView{hashes: map[string]map[string]string{}}
	if text, _ := list[0].(string); text != noCheckpoint {
		if view.checkpoint, err = events.ParseID(text); err != nil {
			return redisView{}, fmt.Errorf("read the checkpoint of %s: %w", r.live.name, err)
		}
	}
	view.log, _ = list[1].(string)
	for i := 2; i+1 < len(list); i += 2 {
		hash, _ := list[i].(string)
		flat, _ := list[i+1].([]any)
		fields := make(map[string]string, len(flat)/2)
		for j := 0; j+1 < len(flat); j += 2 {
			field, _ := flat[j].(string)
			fields[field], _ = flat[j+1].(string)
		}
		view.hashes[hash] = fields
	}
	return view, nil
}

// open deletes what an interrupted rebuild has left. Nothing is copied: a projection into Redis has
// only what the log has.
func (r *redisRebuild) open(ctx context.Context, base int64) error { return r.Reset(ctx, base) }

// drop deletes the second place.
func (r *redisRebuild) drop(ctx context.Context) error { return r.Reset(ctx, 1) }

// compare reads the live view at one moment, folds up to its checkpoint and compares.
func (r *redisRebuild) compare(ctx context.Context, b *rebuilding) error {
	live, err := r.read(ctx, "")
	if err != nil {
		return err
	}
	if b.found.Uncompared, err = b.uncompared(ctx, live.checkpoint, live.log); err != nil || b.found.Uncompared != "" {
		return err
	}
	if err := b.foldTo(ctx, live.checkpoint); err != nil {
		return err
	}
	rebuilt, err := r.read(ctx, secondPlace)
	if err != nil {
		return err
	}
	if rebuilt.checkpoint != b.at {
		return errLease
	}
	b.found.At = live.checkpoint
	b.found.Differences = compareHashes(r.live.cfg.Keys.Prefix(), live.hashes, rebuilt.hashes)
	return nil
}

// uncompared returns why the second place cannot be compared with a live view, or "".
func (b *rebuilding) uncompared(ctx context.Context, checkpoint events.ID, log string) (string, error) {
	if checkpoint.IsZero() {
		return "the live view has applied no event", nil
	}
	if log != "" && log != b.before.identity {
		return "the live view follows another log", nil
	}
	ok, err := b.within(ctx, checkpoint)
	if err == nil && !ok {
		return fmt.Sprintf("the live view is at the event %s, which the log does not have, or was reset meanwhile", checkpoint), nil
	}
	return "", err
}

// replace renames the keys. The projection follows the log with a pause of some milliseconds, so a fold
// up to the log's end is as far as the live view, and usually further.
func (r *redisRebuild) replace(ctx context.Context, b *rebuilding) error {
	for range maxRounds {
		if err := b.foldToEnd(ctx); err != nil {
			return err
		}
		checkpoint := noCheckpoint
		if !b.at.IsZero() {
			checkpoint = b.at.String()
		}
		reply, err := swapRebuilt.Run(ctx, r.live.cfg.Scripts, swapRebuiltArgs{
			Name: r.live.name, Holder: b.holder, Checkpoint: checkpoint, Identity: b.before.identity, Flushed: b.before.flushed,
		})
		if err != nil {
			return fmt.Errorf("replace the live view: %w", err)
		}
		switch reply {
		case "swapped":
			return nil
		case "flushed":
			return errFlushed
		case "foreign":
			return errReplaced
		case "lost":
			return errLease
		}
	}
	return fmt.Errorf("replace the live view: it moved on at each of %d attempts; try again when the fleet has less to do: %w", maxRounds, ErrRebuildLost)
}
