package reassign

import (
	"context"
	"fmt"

	"github.com/claudebench/claudebench/internal/api"
)

// SweepOptions configure a sweep.
type SweepOptions struct {
	Context, Subject string // of the events; the rate-limit key
	Limit            int
	Timeout          int64 // ms of silence
	Healthy          int   // maximum number of live instances to list
	Tick             bool  // set by the monitor
}

// Sweep declares instances dead that were silent for too long, and assigns their tasks to others.
// If it fails, the result is what it did before. Incomplete is false if that is nothing.
func (r *Reassigner) Sweep(ctx context.Context, o SweepOptions) (*api.CheckHealthResult, error) {
	result := &api.CheckHealthResult{Healthy: []string{}, Failed: []string{}, Reassigned: map[string]int{}}
	moved, err := r.sweep(ctx, o, result)
	result.Incomplete = err != nil && (moved > 0 || len(result.Failed) > 0)
	return result, err
}

// sweep returns how many tasks it requeued.
func (r *Reassigner) sweep(ctx context.Context, o SweepOptions, result *api.CheckHealthResult) (moved int64, err error) {
	for more := true; more; {
		reply, err := reassignFailedTasks.Run(ctx, r.scripts, reassignFailedTasksArgs{
			Context: o.Context, Subject: o.Subject, Calls: o.Limit, Timeout: o.Timeout, Interval: r.Interval.Milliseconds(),
			TTL: r.TTL.Milliseconds(), Healthy: o.Healthy, Tick: o.Tick,
		})
		if err != nil {
			return 0, err
		}
		if more, err = add(result, reply); err != nil {
			return 0, err
		}
		o.Limit = 0 // one call, however many rounds it takes
	}
	// Also if nobody died now: an earlier call may have ended early.
	if moved, err = r.Requeue(ctx); err != nil {
		return moved, err
	}
	if moved > 0 || len(result.Failed) > 0 {
		err = r.Assign(ctx, o.Context, "", "instance_failed")
	}
	return moved, err
}

// add adds a reply of reassign_failed_tasks to a result and reports whether there is more to do.
func add(r *api.CheckHealthResult, reply any) (more bool, err error) {
	values, ok := reply.([]any)
	if !ok || len(values) != 3 {
		return false, fmt.Errorf("reassign_failed_tasks returned %v", reply)
	}
	failed, _ := values[0].([]any)
	for i := 0; i+1 < len(failed); i += 2 {
		id, tasks := fmt.Sprint(failed[i]), failed[i+1].(int64) //nolint:forcetypeassert // a Lua number
		r.Failed = append(r.Failed, id)
		r.Reassigned[id] = int(tasks)
	}
	healthy, _ := values[2].([]any)
	for _, id := range healthy {
		r.Healthy = append(r.Healthy, fmt.Sprint(id))
	}
	return values[1] == int64(1), nil
}
