package subscribers

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/keys"
)

// DeleteCheckpoint deletes the checkpoint of a service, and reports whether there was one. A service
// that runs saves it again.
func DeleteCheckpoint(ctx context.Context, client redis.UniversalClient, space keys.Space, name string) (bool, error) {
	var deleted, unlisted *redis.IntCmd
	_, err := client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		deleted, unlisted = p.Del(ctx, space.Subscriber(name)), p.ZRem(ctx, space.Checkpoints(), name)
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("delete the checkpoint %q: %w", name, err)
	}
	return deleted.Val()+unlisted.Val() > 0, nil
}
