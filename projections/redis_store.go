package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/lua"
)

// anyCheckpoint makes a projection's script skip the comparison of the checkpoint. noCheckpoint
// makes it store none.
const (
	anyCheckpoint = "*"
	noCheckpoint  = ""
)

// RedisConfig configures the projections into Redis.
type RedisConfig struct {
	Client  redis.UniversalClient
	Scripts lua.Scripts // of the log
	Keys    keys.Space
}

// storeArgs are the arguments of the scripts that write such a projection.
type storeArgs struct {
	Expected, Checkpoint string
	Anew                 bool
	Place                string
	Change               []any
}

// redisStore is the store of a projection whose script compares the checkpoint and writes.
type redisStore struct {
	name   string
	cfg    RedisConfig
	script lua.Bound[storeArgs]
	// stored reads the checkpoint.
	stored func(ctx context.Context) (string, error)
	// place is secondPlace for the projection that a rebuild folds beside the live view.
	place string
}

// secondPlace is what the scripts put before the names of the keys of a second place.
const secondPlace = "rebuild:"

func (s *redisStore) Name() string { return s.name }

// Prepare does nothing: Redis creates a hash with its first field.
func (s *redisStore) Prepare(context.Context) error { return nil }

// Checkpoint returns the last event applied.
func (s *redisStore) Checkpoint(ctx context.Context) (events.ID, error) {
	text, err := s.stored(ctx)
	if errors.Is(err, redis.Nil) || err == nil && text == noCheckpoint {
		return events.ID{}, nil
	}
	if err != nil {
		return events.ID{}, fmt.Errorf("read the checkpoint of %s: %w", s.name, err)
	}
	id, err := events.ParseID(text)
	if err != nil {
		return events.ID{}, fmt.Errorf("read the checkpoint of %s: %w", s.name, err)
	}
	return id, nil
}

// Reset deletes the projection and its checkpoint.
func (s *redisStore) Reset(ctx context.Context, _ int64) error {
	if _, err := s.script.Run(ctx, s.cfg.Scripts, storeArgs{Expected: anyCheckpoint, Checkpoint: noCheckpoint, Anew: true, Place: s.place}); err != nil {
		return fmt.Errorf("reset %s: %w", s.name, err)
	}
	return nil
}

// write runs the script on a folded batch. changes are the arguments after the first three.
func (s *redisStore) write(ctx context.Context, batch events.Batch, anew bool, changes []any) error {
	expected := noCheckpoint
	if !batch.After.IsZero() {
		expected = batch.After.String()
	}
	_, err := s.script.Run(ctx, s.cfg.Scripts, storeArgs{Expected: expected, Checkpoint: batch.Last().String(), Anew: anew, Place: s.place, Change: changes})
	if err == nil {
		return nil
	}
	refused := &lua.Error{} // stays without a code for other errors
	_ = errors.As(err, &refused)
	var detail struct {
		Checkpoint string `json:"checkpoint"`
		Stored     string `json:"stored"`
		Log        string `json:"log"`
	}
	// If the detail does not decode, the error lacks the place; only the code matters.
	_ = json.Unmarshal([]byte(refused.Detail), &detail)
	switch refused.Code {
	case "CHECKPOINT_MOVED":
		return moved(s.name, batch.After, detail.Checkpoint)
	case "FOREIGN_LOG":
		return fmt.Errorf("write %[1]s: it follows the log %[2]s, but this Redis holds the log %[3]s: %[4]w; nothing was changed; "+
			"if this log replaces the other, run 'claudebench rebuild %[1]s'", s.name, detail.Stored, detail.Log, events.ErrForeignLog)
	}
	return fmt.Errorf("write %s: %w", s.name, err)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
