// Package reassign finds instances that died, puts back the tasks of instances that are gone, and
// gives waiting tasks to live workers. The monitor, system.check_health, system.register and
// system.unregister use it.
//
// Every step is one atomic script and may be repeated by any coordinator, so a call that ends
// early, because Redis is away for instance, leaves the rest to the next one.
package reassign

import (
	"context"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/lua"
)

type autoAssignTasksArgs struct {
	Context, Instance, Reason string
	TTL                       int64 // ms
	From                      int64
}

type reassignFailedTasksArgs struct {
	Context, Subject       string
	Calls                  int
	Timeout, Interval, TTL int64 // ms
	Healthy                int
	Tick                   bool
}

var (
	requeueOrphans      = lua.Bind[lua.NoArgs]("requeue_orphans")
	autoAssignTasks     = lua.Bind[autoAssignTasksArgs]("auto_assign_tasks")
	reassignFailedTasks = lua.Bind[reassignFailedTasksArgs]("reassign_failed_tasks")
)

// Reassigner puts back the tasks of instances that left or died, and gives waiting tasks to
// workers.
type Reassigner struct {
	scripts  lua.Scripts
	ttl      time.Duration
	interval time.Duration
}

// New returns a reassigner. ttl is how long a registration lasts without a heartbeat, interval how
// often the monitor looks for the dead.
func New(scripts lua.Scripts, ttl, interval time.Duration) *Reassigner {
	return &Reassigner{scripts, ttl, interval}
}

// Requeue works off the queues that instances left behind, its own or others', and returns how many
// tasks it put back. Each step is atomic; whoever comes next goes on where it stopped.
func (r *Reassigner) Requeue(ctx context.Context) (moved int64, err error) {
	for more := true; more; {
		reply, err := requeueOrphans.Run(ctx, r.scripts, lua.NoArgs{})
		if err != nil {
			return moved, err
		}
		n, err := lua.Integers(reply, 2)
		if err != nil {
			return moved, fmt.Errorf("requeue_orphans: %w", err)
		}
		moved += n[0]
		more = n[1] == 1
	}
	return moved, nil
}

// Assign returns waiting tasks to a worker, or to all that have room when instance is "". context
// is that of the events, reason why they are assigned now.
func (r *Reassigner) Assign(ctx context.Context, context, instance, reason string) error {
	var from int64
	for more := true; more; {
		reply, err := autoAssignTasks.Run(ctx, r.scripts, autoAssignTasksArgs{
			Context: context, Instance: instance, Reason: reason, TTL: r.ttl.Milliseconds(), From: from,
		})
		if err != nil {
			return err
		}
		n, err := lua.Integers(reply, 4)
		if err != nil {
			return fmt.Errorf("auto_assign_tasks: %w", err)
		}
		more, from = n[2] == 1, n[3]
	}
	return nil
}

// Reassign puts back what instances left behind and gives it to those that are alive.
func (r *Reassigner) Reassign(ctx context.Context, context, reason string) error {
	if _, err := r.Requeue(ctx); err != nil {
		return err
	}
	return r.Assign(ctx, context, "", reason)
}
