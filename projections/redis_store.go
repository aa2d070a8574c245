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

// anyCheckpoint tells a projection's script to compare no checkpoint, noCheckpoint to leave none.
const (
	anyCheckpoint = "*"
	noCheckpoint  = ""
)

// RedisConfig is what the projections into Redis work on.
type RedisConfig struct {
	Client redis.UniversalClient
	Runner *lua.Runner
	Keys   keys.Space
}

// redisStore is the store of a projection whose script compares the checkpoint and writes.
type redisStore struct {
	name   string
	cfg    RedisConfig
	script *lua.Script
	// stored reads the checkpoint.
	stored func(ctx context.Context) (string, error)
}

func (s *redisStore) Name() string { return s.name }

// Prepare has nothing to do: Redis creates a hash with its first field.
func (s *redisStore) Prepare(context.Context) error { return nil }

// Checkpoint is the last event applied.
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
	if _, err := s.cfg.Runner.Run(ctx, s.script, []string{s.cfg.Keys.Log()}, anyCheckpoint, noCheckpoint, "1"); err != nil {
		return fmt.Errorf("reset %s: %w", s.name, err)
	}
	return nil
}

// write runs the script on a folded batch. changes are its arguments behind the first three.
func (s *redisStore) write(ctx context.Context, batch events.Batch, anew bool, changes []any) error {
	expected := noCheckpoint
	if !batch.After.IsZero() {
		expected = batch.After.String()
	}
	flag := "0"
	if anew {
		flag = "1"
	}
	args := append([]any{expected, batch.Last().String(), flag}, changes...)
	_, err := s.cfg.Runner.Run(ctx, s.script, []string{s.cfg.Keys.Log()}, args...)
	var refused *lua.Error
	if errors.As(err, &refused) && refused.Code == "CHECKPOINT_MOVED" {
		var detail struct {
			Checkpoint string `json:"checkpoint"`
		}
		// A detail that does not decode leaves the place unsaid; that it moved is what counts.
		_ = json.Unmarshal([]byte(refused.Detail), &detail)
		return moved(s.name, batch.After, detail.Checkpoint)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", s.name, err)
	}
	return nil
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
