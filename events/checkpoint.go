package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

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
type RedisCheckpoints struct {
	client redis.UniversalClient
	space  keys.Space
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

func (c *RedisCheckpoints) key(name string) string { return c.space.Checkpoint("sub:" + name) }

// Load implements [CheckpointStore].
func (c *RedisCheckpoints) Load(ctx context.Context, name string) (ID, bool, error) {
	text, err := c.client.Get(ctx, c.key(name)).Result()
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
	if err := c.client.Set(ctx, c.key(name), id.String(), 0).Err(); err != nil {
		return fmt.Errorf("save checkpoint %q: %w", name, err)
	}
	return nil
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
