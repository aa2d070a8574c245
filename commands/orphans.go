package commands

import (
	"context"
	"fmt"

	"github.com/claudebench/claudebench/lua"
)

var (
	requeueOrphans  = lua.Named("requeue_orphans")
	autoAssignTasks = lua.Named("auto_assign_tasks")
)

// requeueOrphans works off the queues that instances left behind, its own or others', and tells how many
// tasks it put back. Each step is atomic; whoever comes next goes on where it stopped.
func (c *Coordinator) requeueOrphans(ctx context.Context) (moved int64, err error) {
	for more := true; more; {
		reply, err := c.script(ctx, requeueOrphans)
		if err != nil {
			return moved, err
		}
		n, err := integers(reply, 2)
		if err != nil {
			return moved, fmt.Errorf("requeue_orphans: %w", err)
		}
		moved += n[0]
		more = n[1] == 1
	}
	return moved, nil
}

// autoAssign gives waiting tasks to a worker, or to all that have room when instance is "".
func (c *Coordinator) autoAssign(ctx context.Context, envelope, instance, reason string) error {
	var from int64
	for more := true; more; {
		reply, err := c.script(ctx, autoAssignTasks, envelope, instance, reason, ms(c.options.InstanceTTL), from)
		if err != nil {
			return err
		}
		n, err := integers(reply, 4)
		if err != nil {
			return fmt.Errorf("auto_assign_tasks: %w", err)
		}
		more, from = n[2] == 1, n[3]
	}
	return nil
}

// integers reads the integers that an array reply begins with.
func integers(reply any, n int) ([]int64, error) {
	values, ok := reply.([]any)
	if !ok || len(values) < n {
		return nil, fmt.Errorf("returned %v, not %d values", reply, n)
	}
	out := make([]int64, n)
	for i := range out {
		if out[i], ok = values[i].(int64); !ok {
			return nil, fmt.Errorf("returned %v, not %d integers", reply, n)
		}
	}
	return out, nil
}
