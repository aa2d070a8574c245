// Package reassign finds dead instances, returns the tasks of lost instances to their queues, and
// assigns waiting tasks to live workers. The monitor, system.check_health, system.register and
// system.unregister use it.
//
// Each step is one atomic script that any coordinator may repeat. If a call ends early, for example
// because Redis is unavailable, the next call continues.
package reassign

import (
	"context"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/lua"
)

type requeueOrphansArgs struct {
	Losses    int
	Retention int64 // ms
}

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
	requeueOrphans      = lua.Bind[requeueOrphansArgs]("requeue_orphans")
	autoAssignTasks     = lua.Bind[autoAssignTasksArgs]("auto_assign_tasks")
	reassignFailedTasks = lua.Bind[reassignFailedTasksArgs]("reassign_failed_tasks")
)

// Reassigner requeues the tasks of instances that left or died, and assigns waiting tasks to
// workers.
type Reassigner struct {
	scripts lua.Scripts
	Options
}

// Options are the settings of the fleet that decide about its instances and tasks.
type Options struct {
	TTL       time.Duration // of a registration without a heartbeat
	Interval  time.Duration // of the monitor
	Losses    int           // after which a task fails that was lost with its worker
	Retention time.Duration // of finished tasks
}

// New returns a Reassigner.
func New(scripts lua.Scripts, o Options) *Reassigner { return &Reassigner{scripts, o} }

// Requeue requeues the tasks that lost instances left behind, and returns how many it requeued.
// Each step is atomic. Another call, in any coordinator, continues where this one stopped.
func (r *Reassigner) Requeue(ctx context.Context) (moved int64, err error) {
	for more := true; more; {
		reply, err := requeueOrphans.Run(ctx, r.scripts, requeueOrphansArgs{Losses: r.Losses, Retention: r.Retention.Milliseconds()})
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

// Assign assigns waiting tasks to an instance, or to all workers with room if instance is "".
// context is the context of the events, and reason is why the tasks are assigned now.
func (r *Reassigner) Assign(ctx context.Context, context, instance, reason string) error {
	var from int64
	for more := true; more; {
		reply, err := autoAssignTasks.Run(ctx, r.scripts, autoAssignTasksArgs{
			Context: context, Instance: instance, Reason: reason, TTL: r.TTL.Milliseconds(), From: from,
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

// Reassign requeues the tasks that lost instances left behind and assigns waiting tasks to live
// workers.
func (r *Reassigner) Reassign(ctx context.Context, context, reason string) error {
	if _, err := r.Requeue(ctx); err != nil {
		return err
	}
	return r.Assign(ctx, context, "", reason)
}
