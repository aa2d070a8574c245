package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// patience is how long each store has to reply.
const patience = time.Second

var (
	redisUp = prometheus.NewDesc("claudebench_redis_up",
		"1 if Redis replied within a second and accepts commands.", nil, nil)
	postgresUp = prometheus.NewDesc("claudebench_postgres_up",
		"1 if Postgres replied within a second and is migrated.", nil, nil)

	logSeq = prometheus.NewDesc("claudebench_log_last_seq",
		"The seq of the last event in the log.", nil, nil)
	logEvents = prometheus.NewDesc("claudebench_log_events",
		"Events in the log.", nil, nil)
	counted = prometheus.NewDesc("claudebench_events_total",
		"Events since the last flush, by type, as the metrics projection has counted them.", []string{"type"}, nil)
	lagEvents = prometheus.NewDesc("claudebench_projection_lag_events",
		"Events of the log that the projection has not applied.", byProjection, nil)
	lagSeconds = prometheus.NewDesc("claudebench_projection_lag_seconds",
		"Age of the oldest event that the projection has not applied; 0 if it has applied all.", byProjection, nil)

	instances = prometheus.NewDesc("claudebench_instances",
		"Live instances.", nil, nil)
	workers = prometheus.NewDesc("claudebench_workers",
		"Live instances with the role worker.", nil, nil)
	failed = prometheus.NewDesc("claudebench_instances_failed_recently",
		"Instances that failed less than five minutes ago and are not back.", nil, nil)

	open = prometheus.NewDesc("claudebench_tasks_open",
		"Tasks that are not finished.", nil, nil)
	tasks = prometheus.NewDesc("claudebench_tasks",
		"Tasks by status, as the state projection has counted them.", []string{"status"}, nil)
	queued = prometheus.NewDesc("claudebench_queue_tasks",
		"Tasks that wait to be claimed or to be returned to a queue, by queue.", []string{"queue"}, nil)
	roleSets = prometheus.NewDesc("claudebench_queue_role_sets",
		"Different sets of roles that open tasks require; at most 64.", nil, nil)
	orphanQueues = prometheus.NewDesc("claudebench_orphan_queues",
		"Queues of dead or departed instances with tasks that are not yet returned.", nil, nil)
	paused = prometheus.NewDesc("claudebench_queue_pauses",
		"Pauses of queues; the pause of all queues counts as one.", nil, nil)
	schedules = prometheus.NewDesc("claudebench_schedules",
		"Schedules, by state.", []string{"state"}, nil)
	scheduleLag = prometheus.NewDesc("claudebench_schedule_lag_seconds",
		"How late the tick of a schedule is that waits to be fired, or else how late the last one was.", nil, nil)
	waits = prometheus.NewDesc("claudebench_task_wait_seconds",
		"Time that tasks waited before they were claimed, since the last flush.", nil, nil)
	runs = prometheus.NewDesc("claudebench_task_run_seconds",
		"Time from the last claim of finished tasks to their end, since the last flush.", nil, nil)

	late = prometheus.NewDesc("claudebench_due_lag_seconds",
		"For how long the earliest scheduled task is due; 0 if none is.", nil, nil)
	retries = prometheus.NewDesc("claudebench_task_retries_total",
		"Tries that failed and were followed by another one, since the last flush.", nil, nil)
	timeouts = prometheus.NewDesc("claudebench_task_timeouts_total",
		"Claimed tasks whose time limit was over, since the last flush.", nil, nil)
	losses = prometheus.NewDesc("claudebench_task_losses_total",
		"Claimed tasks that were lost with their worker, since the last flush.", nil, nil)
	cancellations = prometheus.NewDesc("claudebench_task_cancellations_total",
		"Tasks that were cancelled, since the last flush.", nil, nil)

	fenced = prometheus.NewDesc("claudebench_flush_fenced",
		"1 while a flush rejects commands.", nil, nil)
)

// storeCollector collects the values in Redis and Postgres, which are the same for every
// coordinator.
type storeCollector struct{ Sources }

func (c *storeCollector) Describe(to chan<- *prometheus.Desc) {
	describe(to, redisUp, postgresUp, logSeq, logEvents, counted, lagEvents, lagSeconds, instances, workers, failed, open, tasks,
		queued, roleSets, orphanQueues, paused, schedules, scheduleLag, waits, runs, fenced, late, retries, timeouts, losses, cancellations)
}

func (c *storeCollector) Collect(to chan<- prometheus.Metric) {
	// Postgres first: Redis then computes their lag behind the log, which grows meanwhile.
	at := c.checkpoints(to)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g, err := c.Gauges(ctx, at)
	to <- gauge(redisUp, flag(!errors.Is(err, lua.ErrUnavailable) && c.Writable(ctx) == nil))
	switch {
	case err == nil:
		collectGauges(to, g)
	case !errors.Is(err, lua.ErrUnavailable): // redis_up reports that one
		c.Logger.Error("the values from Redis are missing in /metrics; please report this bug of the coordinator", "error", err)
	}
}

// checkpoints reads the checkpoints in Postgres.
func (c *storeCollector) checkpoints(to chan<- prometheus.Metric) taskview.Checkpoints {
	if c.Checkpoints == nil {
		return taskview.Checkpoints{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	at, err := c.Checkpoints(ctx)
	to <- gauge(postgresUp, flag(err == nil))
	return at
}

func collectGauges(to chan<- prometheus.Metric, g *Gauges) {
	for _, one := range []struct {
		desc  *prometheus.Desc
		value int64
	}{
		{logSeq, g.Seq},
		{logEvents, g.Kept},
		{instances, g.Instances},
		{workers, g.Workers},
		{failed, g.Failed},
		{open, g.Open},
		{roleSets, g.RoleSets},
		{orphanQueues, g.OrphanQueues},
		{paused, g.Paused},
	} {
		to <- gauge(one.desc, float64(one.value))
	}
	to <- gauge(fenced, flag(g.Fenced))
	to <- gauge(queued, float64(g.Pending), "pending")
	to <- gauge(queued, float64(g.Waiting), "roles")
	to <- gauge(queued, float64(g.Orphaned), "orphaned")
	to <- gauge(schedules, float64(g.Ticks), "active")
	to <- gauge(schedules, float64(g.Schedules-g.Ticks), "paused")
	lateness := 0.0 // before the first tick
	if g.Lateness != nil {
		lateness = g.Lateness.Seconds()
	}
	to <- gauge(scheduleLag, lateness)
	to <- gauge(queued, float64(g.Scheduled), "scheduled")
	to <- gauge(queued, float64(g.Blocked), "blocked")
	to <- gauge(late, g.Late.Seconds())
	if n := g.Tries; n != nil {
		to <- counter(retries, float64(n.Retried))
		to <- counter(timeouts, float64(n.TimedOut))
		to <- counter(losses, float64(n.Lost))
		to <- counter(cancellations, float64(n.Cancelled))
	}
	if g.Assigned != nil {
		to <- gauge(queued, float64(*g.Assigned), "assigned")
	}
	for status, n := range g.Tasks {
		to <- gauge(tasks, float64(n), status)
	}
	for typ, n := range g.Events {
		to <- counter(counted, float64(n), string(typ))
	}
	for desc, total := range map[*prometheus.Desc]*Total{waits: g.Waits, runs: g.Runs} {
		if total != nil {
			to <- prometheus.MustNewConstSummary(desc, uint64(max(total.Count, 0)), total.Sum.Seconds(), nil)
		}
	}
	for projection, lag := range g.Lags {
		to <- gauge(lagEvents, float64(lag.Events), projection)
		to <- gauge(lagSeconds, lag.Age.Seconds(), projection)
	}
}
