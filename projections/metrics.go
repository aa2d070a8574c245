package projections

import (
	"context"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/lua"
)

// Metrics is the projection into the hashes of the metrics, which a flush deletes. Everything in
// them is counted from events. A mean is a total divided by its count, which the reader computes.
// Times are in ms.
//
//	metrics:global
//	  eventsProcessed, events.<type>                events folded, all and by type
//	  lastEvent, lastEventId, lastEventAt           the last of them
//	  tasksCreated, tasksUpdated, tasksDeleted, tasksAssigned, tasksUnassigned, tasksClaimed,
//	  tasksCompleted, tasksFailed, tasksRetried, tasksTimedOut, tasksLost, tasksCancelled, tasksRevived,
//	  tasksProgressed                               how often that happened
//	  runCount, runTotalMs, runMaxMs                from a task's last claim to its end
//	metrics:queues
//	  pending, assigned, inProgress, scheduled, blocked
//	                                                tasks now; pending includes assigned
//	  waitCount, waitTotalMs, waitMaxMs             from queueing a task to its claim
//	  requeued                                      tasks that went from in progress back to a queue
//	metrics:scaling
//	  instances, workers                            registered now
//	  instancesRegistered, instancesResumed, instancesUnregistered, instancesFailed, leaderElections,
//	  tasksReassigned                               how often that happened
//	  assigned.<id>, claimed.<id>, completed.<id>, failed.<id>
//	                                                tasks of each registered instance, since then
//	metrics:minutes
//	  created.…, completed.…, failed.…, wait….…, run….…
//	                                                the last hour by minute, see package minutes
//	metrics:events:<type>
//	  count, lastId, lastAt
type Metrics struct{ redisStore }

// NewMetrics returns the projection.
func NewMetrics(cfg RedisConfig) *Metrics {
	const name = "metrics"
	return &Metrics{redisStore{
		name: name, cfg: cfg, script: lua.Bind[storeArgs]("aggregate_global_metrics"),
		stored: func(ctx context.Context) (string, error) {
			return cfg.Client.Get(ctx, cfg.Keys.Checkpoint(name)).Result()
		},
	}}
}

// beside returns the projection into the second place.
func (m *Metrics) beside() secondary {
	cfg := m.cfg
	cfg.Keys = cfg.Keys.SecondPlace()
	aside := NewMetrics(cfg)
	aside.place = secondPlace
	return &redisRebuild{Projection: aside, live: &m.redisStore}
}

// Apply folds a batch and writes it in one step.
func (m *Metrics) Apply(ctx context.Context, batch events.Batch) error {
	if len(batch.Entries) == 0 {
		return nil
	}
	fold := newMetricsFold()
	if err := foldAll(m.name, batch, fold.add); err != nil {
		return err
	}
	return m.write(ctx, batch, fold.anew, fold.changes())
}
