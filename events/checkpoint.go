package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/keys"
)

// CheckpointStore stores, for each name, the last event that was handled. A service that keeps its
// results in its own database implements it there and saves in the same transaction. Each event
// then takes effect exactly once.
type CheckpointStore interface {
	// Load returns the checkpoint, or false if there is none.
	Load(ctx context.Context, name string) (ID, bool, error)
	// Save replaces the checkpoint.
	Save(ctx context.Context, name string, id ID) error
}

// RedisCheckpoints stores checkpoints next to the log, under cb:service:checkpoint:sub:<name>. A
// flush removes them with everything else. A running service continues and saves again; a stopped
// service finds no checkpoint and starts as it did the first time.
//
// Each save also enters the name in an index, cb:service:checkpoints, which `claudebench checkpoints`
// lists. A Redis user that may not write the index saves the checkpoint all the same.
type RedisCheckpoints struct {
	client   redis.UniversalClient
	space    keys.Space
	unlisted atomic.Bool // this user may not write the index
}

// NewRedisCheckpoints does not call Redis.
func NewRedisCheckpoints(client redis.UniversalClient, namespace string) (*RedisCheckpoints, error) {
	if client == nil {
		return nil, errors.New("checkpoints in Redis: a client is required")
	}
	space, err := keys.New(namespace)
	if err != nil {
		return nil, fmt.Errorf("checkpoints in Redis: %w", err)
	}
	return &RedisCheckpoints{client: client, space: space}, nil
}

// Load implements [CheckpointStore].
func (c *RedisCheckpoints) Load(ctx context.Context, name string) (ID, bool, error) {
	text, err := c.client.Get(ctx, c.space.Subscriber(name)).Result()
	if errors.Is(err, redis.Nil) {
		return ID{}, false, nil
	}
	if err != nil {
		return ID{}, false, fmt.Errorf("load checkpoint %q: %w", name, err)
	}
	id, err := ParseID(text)
	if err != nil {
		return ID{}, false, fmt.Errorf("load checkpoint %q: %w", name, err)
	}
	return id, true, nil
}

// Save implements [CheckpointStore].
func (c *RedisCheckpoints) Save(ctx context.Context, name string, id ID) error {
	if err := c.save(ctx, name, id); err != nil {
		return fmt.Errorf("save checkpoint %q: %w", name, err)
	}
	return nil
}

func (c *RedisCheckpoints) save(ctx context.Context, name string, id ID) error {
	key := c.space.Subscriber(name)
	if !c.unlisted.Load() {
		_, err := c.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Set(ctx, key, id.String(), 0)
			p.ZAdd(ctx, c.space.Checkpoints(), redis.Z{Score: float64(time.Now().UnixMilli()), Member: name})
			return nil
		})
		if err == nil || !denied(err) {
			return err
		}
		c.unlisted.Store(true)
	}
	return c.client.Set(ctx, key, id.String(), 0).Err()
}

// denied reports whether Redis refused a command, or a transaction with it, for lack of a permission.
func denied(err error) bool {
	return strings.HasPrefix(err.Error(), "NOPERM") || strings.HasPrefix(err.Error(), "EXECABORT")
}

// MemoryCheckpoints stores checkpoints in memory. The zero value is ready to use.
type MemoryCheckpoints struct {
	mu  sync.Mutex
	ids map[string]ID
}

// Load implements [CheckpointStore].
func (c *MemoryCheckpoints) Load(_ context.Context, name string) (ID, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.ids[name]
	return id, ok, nil
}

// Save implements [CheckpointStore].
func (c *MemoryCheckpoints) Save(_ context.Context, name string, id ID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids == nil {
		c.ids = map[string]ID{}
	}
	c.ids[name] = id
	return nil
}

func validateName(name string) error {
	if len(name) > 256 {
		return fmt.Errorf("name of %d bytes is longer than 256", len(name))
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("name %q contains a control character", name)
	}
	return nil
}
