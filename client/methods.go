package client

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// call makes a call and returns its result.
func call[R any](ctx context.Context, c *Client, method string, params any) (*R, error) {
	result := new(R)
	if err := c.Call(ctx, method, params, result); err != nil {
		return nil, err
	}
	return result, nil
}

// Register calls system.register: it registers an instance, for the first time or again. To keep the
// instance's tasks when it registers again, give Metadata a sessionId. A Worker does both.
func (c *Client) Register(ctx context.Context, p RegisterParams) (*RegisterResult, error) {
	return call[RegisterResult](ctx, c, "system.register", p)
}

// Heartbeat calls system.heartbeat: it renews an instance's registration. Alive is false if the
// instance is not registered any more.
func (c *Client) Heartbeat(ctx context.Context, instance ID) (*HeartbeatResult, error) {
	return call[HeartbeatResult](ctx, c, "system.heartbeat", api.HeartbeatParams{InstanceID: instance})
}

// Unregister calls system.unregister. The instance's tasks return to their queues.
func (c *Client) Unregister(ctx context.Context, p UnregisterParams) (*UnregisterResult, error) {
	return call[UnregisterResult](ctx, c, "system.unregister", p)
}

// Health calls system.health: it reports what works.
func (c *Client) Health(ctx context.Context) (*HealthResult, error) {
	return call[HealthResult](ctx, c, "system.health", nil)
}

// CheckHealth calls system.check_health: it declares silent instances dead.
func (c *Client) CheckHealth(ctx context.Context, p CheckHealthParams) (*CheckHealthResult, error) {
	return call[CheckHealthResult](ctx, c, "system.check_health", p)
}

// Metrics calls system.metrics.
func (c *Client) Metrics(ctx context.Context, detailed bool) (*MetricsResult, error) {
	return call[MetricsResult](ctx, c, "system.metrics", api.MetricsParams{Detailed: detailed})
}

// GetState calls system.get_state: it reads a snapshot of tasks, instances and events, or with At the
// fleet as it stood at a position in the log.
func (c *Client) GetState(ctx context.Context, p GetStateParams) (*GetStateResult, error) {
	return call[GetStateResult](ctx, c, "system.get_state", p)
}

// Info calls system.info: it describes the coordinator, its stores and the caller.
func (c *Client) Info(ctx context.Context) (*InfoResult, error) {
	return call[InfoResult](ctx, c, "system.info", api.InfoParams{})
}

// Subscribers calls system.subscribers: it lists who reads the log and its topics, with their lag.
func (c *Client) Subscribers(ctx context.Context) (*SubscribersResult, error) {
	return call[SubscribersResult](ctx, c, "system.subscribers", nil)
}

// ProcessBatch calls system.batch.process: it creates a task for each item, exactly once. Repeat it
// until Processed is true.
func (c *Client) ProcessBatch(ctx context.Context, p ProcessBatchParams) (*ProcessBatchResult, error) {
	return call[ProcessBatchResult](ctx, c, "system.batch.process", p)
}

// QuorumVote calls system.quorum.vote.
func (c *Client) QuorumVote(ctx context.Context, p VoteParams) (*VoteResult, error) {
	return call[VoteResult](ctx, c, "system.quorum.vote", p)
}

// Discover calls system.discover: it lists the methods of a domain, or of all for "".
func (c *Client) Discover(ctx context.Context, domain string) (*DiscoverResult, error) {
	return call[DiscoverResult](ctx, c, "system.discover", api.DiscoverParams{Domain: domain})
}

// OpenRPC calls rpc.discover and returns the OpenRPC document of the API, as JSON text.
func (c *Client) OpenRPC(ctx context.Context) (json.RawMessage, error) {
	var document json.RawMessage
	err := c.Call(ctx, "rpc.discover", nil, &document)
	return document, err
}

// Flush calls system.flush: it deletes all data of the coordinator. Confirm must be
// "FLUSH_ALL_DATA".
func (c *Client) Flush(ctx context.Context, p FlushParams) (*FlushResult, error) {
	return call[FlushResult](ctx, c, "system.flush", p)
}

// CreateTask calls task.create. It is repeated after a lost answer only if it has an IdempotencyKey.
func (c *Client) CreateTask(ctx context.Context, p CreateTaskParams) (*Task, error) {
	return call[Task](ctx, c, "task.create", p)
}

// CreateTasks calls task.create_many with up to 1,000 tasks. Each has an answer of its own.
func (c *Client) CreateTasks(ctx context.Context, tasks ...CreateTaskParams) (*CreateManyResult, error) {
	items, err := values("task.create_many", tasks)
	if err != nil {
		return nil, err
	}
	return call[CreateManyResult](ctx, c, "task.create_many", api.CreateManyParams{Tasks: items})
}

// UpdateTask calls task.update.
func (c *Client) UpdateTask(ctx context.Context, p UpdateTaskParams) (*Task, error) {
	return call[Task](ctx, c, "task.update", p)
}

// AssignTask calls task.assign: it assigns a waiting task to an instance.
func (c *Client) AssignTask(ctx context.Context, p AssignTaskParams) (*AssignTaskResult, error) {
	return call[AssignTaskResult](ctx, c, "task.assign", p)
}

// UnassignTask calls task.unassign: it takes a task from its owner, and returns it to its queue.
func (c *Client) UnassignTask(ctx context.Context, task TaskID) (*UnassignTaskResult, error) {
	return call[UnassignTaskResult](ctx, c, "task.unassign", api.UnassignTaskParams{TaskID: task})
}

// ClaimTask calls task.claim. It is repeated after a lost answer only if it has an IdempotencyKey.
func (c *Client) ClaimTask(ctx context.Context, p ClaimTaskParams) (*ClaimTaskResult, error) {
	return call[ClaimTaskResult](ctx, c, "task.claim", p)
}

// CompleteTask calls task.complete: it finishes a task, as failed if there is an Error. It is
// repeated after a lost answer only if it has an IdempotencyKey.
func (c *Client) CompleteTask(ctx context.Context, p CompleteTaskParams) (*CompleteTaskResult, error) {
	return call[CompleteTaskResult](ctx, c, "task.complete", p)
}

// CompleteTasks calls task.complete_many with up to 1,000 tasks. Each has an answer of its own.
func (c *Client) CompleteTasks(ctx context.Context, tasks ...CompleteTaskParams) (*CompleteManyResult, error) {
	items, err := values("task.complete_many", tasks)
	if err != nil {
		return nil, err
	}
	return call[CompleteManyResult](ctx, c, "task.complete_many", api.CompleteManyParams{Items: items})
}

// Progress calls task.progress: it says how far a claimed task is, which also begins the task's time
// limit anew. A handler of a Worker calls [Progress] instead.
func (c *Client) Progress(ctx context.Context, p ProgressParams) (*ProgressResult, error) {
	return call[ProgressResult](ctx, c, "task.progress", p)
}

// CancelTask calls task.cancel: it calls a task off. A task that nobody works on is cancelled at once;
// the worker of a claimed one is told, and has the grace to end it.
func (c *Client) CancelTask(ctx context.Context, p CancelTaskParams) (*CancelTaskResult, error) {
	return call[CancelTaskResult](ctx, c, "task.cancel", p)
}

// ListTasks calls task.list, which needs Postgres.
func (c *Client) ListTasks(ctx context.Context, p ListTasksParams) (*ListTasksResult, error) {
	return call[ListTasksResult](ctx, c, "task.list", p)
}

// GetTask calls task.get.
func (c *Client) GetTask(ctx context.Context, task TaskID) (*Task, error) {
	return call[Task](ctx, c, "task.get", api.GetTaskParams{ID: task})
}

// DeleteTask calls task.delete.
func (c *Client) DeleteTask(ctx context.Context, task TaskID) (*DeleteTaskResult, error) {
	return call[DeleteTaskResult](ctx, c, "task.delete", api.DeleteTaskParams{ID: task})
}

// PutScheduleParams are the params of schedule.put.
type PutScheduleParams struct {
	ID       ID
	Cron     string
	Timezone string           // "" for UTC
	Task     CreateTaskParams // without an idempotency key
	Paused   bool
	CatchUp  string // none, one or all; "" for one
}

// PutSchedule calls schedule.put: it makes a schedule, or replaces the one with its id.
func (c *Client) PutSchedule(ctx context.Context, p PutScheduleParams) (*PutScheduleResult, error) {
	task, err := jsontext.Marshal(p.Task)
	if err != nil {
		return nil, fmt.Errorf("schedule.put: encode the task: %w", err)
	}
	return call[PutScheduleResult](ctx, c, "schedule.put", api.PutScheduleParams{
		ID: p.ID, Cron: p.Cron, Timezone: p.Timezone, Task: task, Paused: p.Paused, CatchUp: p.CatchUp,
	})
}

// GetSchedule calls schedule.get.
func (c *Client) GetSchedule(ctx context.Context, id ID) (*Schedule, error) {
	return call[Schedule](ctx, c, "schedule.get", api.GetScheduleParams{ID: id})
}

// ListSchedules calls schedule.list.
func (c *Client) ListSchedules(ctx context.Context, p ListSchedulesParams) (*ListSchedulesResult, error) {
	return call[ListSchedulesResult](ctx, c, "schedule.list", p)
}

// DeleteSchedule calls schedule.delete. The tasks that the schedule has made stay.
func (c *Client) DeleteSchedule(ctx context.Context, id ID) (*DeleteScheduleResult, error) {
	return call[DeleteScheduleResult](ctx, c, "schedule.delete", api.DeleteScheduleParams{ID: id})
}

// ListSessions calls session.list, which needs Postgres.
func (c *Client) ListSessions(ctx context.Context, p ListSessionsParams) (*ListSessionsResult, error) {
	return call[ListSessionsResult](ctx, c, "session.list", p)
}

// GetEvent calls event.get.
func (c *Client) GetEvent(ctx context.Context, seq int64) (*RecentEvent, error) {
	return call[RecentEvent](ctx, c, "event.get", api.GetEventParams{Seq: seq})
}

// GetSession calls session.get, which needs Postgres.
func (c *Client) GetSession(ctx context.Context, session ID) (*GetSessionResult, error) {
	return call[GetSessionResult](ctx, c, "session.get", api.GetSessionParams{ID: session})
}

// TaskHistory calls task.history, which needs Postgres and the index of events.
func (c *Client) TaskHistory(ctx context.Context, p TaskHistoryParams) (*EventsResult, error) {
	return call[EventsResult](ctx, c, "task.history", p)
}

// InstanceHistory calls instance.history, which needs Postgres and the index of events.
func (c *Client) InstanceHistory(ctx context.Context, p InstanceHistoryParams) (*EventsResult, error) {
	return call[EventsResult](ctx, c, "instance.history", p)
}

// ListEvents calls event.list, which needs Postgres and the index of events.
func (c *Client) ListEvents(ctx context.Context, p ListEventsParams) (*EventsResult, error) {
	return call[EventsResult](ctx, c, "event.list", p)
}

// RecordHook calls hook.record with the body of a hook of Claude Code.
func (c *Client) RecordHook(ctx context.Context, hook Object) (*RecordHookResult, error) {
	return call[RecordHookResult](ctx, c, "hook.record", api.RecordHookParams{Hook: hook})
}

// RetryTask calls task.retry: it tries a failed or cancelled task, or several, again from the beginning.
func (c *Client) RetryTask(ctx context.Context, p RetryTaskParams) (*RetryTaskResult, error) {
	return call[RetryTaskResult](ctx, c, "task.retry", p)
}

// CancelTasks calls task.cancel_many: it calls off all tasks that match a filter.
func (c *Client) CancelTasks(ctx context.Context, p CancelMatchingParams) (*MatchingResult, error) {
	return call[MatchingResult](ctx, c, "task.cancel_many", p)
}

// RetryTasks calls task.retry_many: it tries all failed or cancelled tasks that match a filter again.
func (c *Client) RetryTasks(ctx context.Context, p MatchingParams) (*MatchingResult, error) {
	return call[MatchingResult](ctx, c, "task.retry_many", p)
}

// DeleteTasks calls task.delete_many: it deletes all tasks that match a filter.
func (c *Client) DeleteTasks(ctx context.Context, p MatchingParams) (*MatchingResult, error) {
	return call[MatchingResult](ctx, c, "task.delete_many", p)
}

// SetLimit calls limit.set: it sets how many tasks of a limitKey may be pending or in progress at once.
func (c *Client) SetLimit(ctx context.Context, p SetLimitParams) (*SetLimitResult, error) {
	return call[SetLimitResult](ctx, c, "limit.set", p)
}

// ListLimits calls limit.list.
func (c *Client) ListLimits(ctx context.Context) (*ListLimitsResult, error) {
	return call[ListLimitsResult](ctx, c, "limit.list", struct{}{})
}

// DeleteLimit calls limit.delete.
func (c *Client) DeleteLimit(ctx context.Context, key string) (*DeleteLimitResult, error) {
	return call[DeleteLimitResult](ctx, c, "limit.delete", api.DeleteLimitParams{Key: key})
}

// PauseQueue calls queue.pause: nothing is claimed or auto-assigned from a queue until ResumeQueue.
func (c *Client) PauseQueue(ctx context.Context, p PauseQueueParams) (*PausesResult, error) {
	return call[PausesResult](ctx, c, "queue.pause", p)
}

// ResumeQueue calls queue.resume.
func (c *Client) ResumeQueue(ctx context.Context, p ResumeQueueParams) (*PausesResult, error) {
	return call[PausesResult](ctx, c, "queue.resume", p)
}

// VerifyLog calls audit.verify: it begins to verify in the background that everything stored agrees
// with the log. AuditStatus has the result.
func (c *Client) VerifyLog(ctx context.Context) (*VerifyResult, error) {
	return call[VerifyResult](ctx, c, "audit.verify", api.VerifyParams{})
}

// AuditStatus calls audit.status.
func (c *Client) AuditStatus(ctx context.Context) (*AuditStatusResult, error) {
	return call[AuditStatusResult](ctx, c, "audit.status", api.AuditStatusParams{})
}

// Diff calls audit.diff: it reads what changed between two moments of the log.
func (c *Client) Diff(ctx context.Context, p DiffParams) (*PastDiff, error) {
	return call[PastDiff](ctx, c, "audit.diff", p)
}

// values encodes the items of a method that takes many.
func values[P any](method string, items []P) ([]Value, error) {
	list := make([]Value, len(items))
	for i, item := range items {
		text, err := jsontext.Marshal(item)
		if err != nil {
			return nil, fmt.Errorf("%s: encode item %d: %w", method, i, err)
		}
		list[i] = text
	}
	return list, nil
}
