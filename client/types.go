package client

import "github.com/claudebench/claudebench/internal/api"

// The params and results are the types of the coordinator. Pointers in params are optional: new(80)
// makes one.

type (
	// ID is an id that a user chose: 1 to 256 bytes, no control characters.
	ID = api.ID
	// Role is the name of a role, within the same limits as an ID.
	Role = api.Role
	// TaskID is t-<number>. Any other text is the id of no task: it is not found rather than invalid.
	TaskID = api.TaskID
	// Object is a JSON object from a user. It is kept byte for byte.
	Object = api.Object
	// Value is any JSON value from a user. It is kept byte for byte.
	Value = api.Value
	// Task is a task as every method returns it.
	Task = api.Task
	// CreateTaskParams are the params of task.create.
	CreateTaskParams = api.CreateTaskParams
	// UpdateTaskParams are the params of task.update.
	UpdateTaskParams = api.UpdateTaskParams
	// TaskUpdates is what task.update may change.
	TaskUpdates = api.TaskUpdates
	// AssignTaskParams are the params of task.assign.
	AssignTaskParams = api.AssignTaskParams
	// AssignTaskResult is the result of task.assign.
	AssignTaskResult = api.AssignTaskResult
	// UnassignTaskResult is the result of task.unassign.
	UnassignTaskResult = api.UnassignTaskResult
	// ClaimTaskParams are the params of task.claim.
	ClaimTaskParams = api.ClaimTaskParams
	// ClaimTaskResult is the result of task.claim. Tasks is set only if the call asks for more than one
	// task and claims one.
	ClaimTaskResult = api.ClaimTaskResult
	// CompleteTaskParams are the params of task.complete.
	CompleteTaskParams = api.CompleteTaskParams
	// CompleteTaskResult is the result of task.complete. A task that is tried again has the status
	// scheduled and RunAt, but not CompletedAt.
	CompleteTaskResult = api.CompleteTaskResult
	// ProgressParams are the params of task.progress.
	ProgressParams = api.ProgressParams
	// ProgressResult is the result of task.progress.
	ProgressResult = api.ProgressResult
	// CancelTaskParams are the params of task.cancel.
	CancelTaskParams = api.CancelTaskParams
	// CancelTaskResult is the result of task.cancel. Either CancelAt or CompletedAt is set.
	CancelTaskResult = api.CancelTaskResult
	// TaskError is a failure of a task.
	TaskError = api.TaskError
	// Retry is how a failed task is tried again.
	Retry = api.Retry
	// TaskProgress is what a worker says about a task that it works on. A member that it did not give
	// is null.
	TaskProgress = api.Progress
	// Cancellation is who called a task off, and why.
	Cancellation = api.Cancellation
	// ListTasksParams are the params of task.list.
	ListTasksParams = api.ListTasksParams
	// ListTasksResult is the result of task.list. TotalCount counts the matching tasks on all pages.
	ListTasksResult = api.ListTasksResult
	// Schedule is a schedule as schedule.get and schedule.list return it.
	Schedule = api.Schedule
	// PutScheduleResult is the result of schedule.put.
	PutScheduleResult = api.PutScheduleResult
	// ListSchedulesParams are the params of schedule.list.
	ListSchedulesParams = api.ListSchedulesParams
	// ListSchedulesResult is the result of schedule.list.
	ListSchedulesResult = api.ListSchedulesResult
	// DeleteScheduleResult is the result of schedule.delete.
	DeleteScheduleResult = api.DeleteScheduleResult
	// ListSessionsParams are the params of session.list.
	ListSessionsParams = api.ListSessionsParams
	// ListSessionsResult is the result of session.list.
	ListSessionsResult = api.ListSessionsResult
	// GetSessionResult is the result of session.get.
	GetSessionResult = api.GetSessionResult
	// Event is an event of the index of events.
	Event = api.Event
	// TaskHistoryParams are the params of task.history.
	TaskHistoryParams = api.TaskHistoryParams
	// InstanceHistoryParams are the params of instance.history.
	InstanceHistoryParams = api.InstanceHistoryParams
	// ListEventsParams are the params of event.list.
	ListEventsParams = api.ListEventsParams
	// EventsResult is the result of task.history, instance.history and event.list.
	EventsResult = api.EventsResult
	// RecordHookResult is the result of hook.record.
	RecordHookResult = api.RecordHookResult
	// RetryTaskParams are the params of task.retry: one task or several.
	RetryTaskParams = api.RetryTaskParams
	// RetryTaskResult is the result of task.retry.
	RetryTaskResult = api.RetryTaskResult
	// RetriedTask is what came of a task in a call of task.retry with several.
	RetriedTask = api.RetriedTask
	// TaskFilterParams select tasks as the params of task.list do.
	TaskFilterParams = api.TaskFilterParams
	// CancelMatchingParams are the params of task.cancel_many.
	CancelMatchingParams = api.CancelMatchingParams
	// MatchingParams are the params of task.retry_many and task.delete_many.
	MatchingParams = api.MatchingParams
	// MatchingResult is the result of task.cancel_many, task.retry_many and task.delete_many.
	MatchingResult = api.MatchingResult
	// SetLimitParams are the params of limit.set.
	SetLimitParams = api.SetLimitParams
	// SetLimitResult is the result of limit.set.
	SetLimitResult = api.SetLimitResult
	// DeleteLimitResult is the result of limit.delete.
	DeleteLimitResult = api.DeleteLimitResult
	// ListLimitsResult is the result of limit.list.
	ListLimitsResult = api.ListLimitsResult
	// Limit is a limit of concurrent tasks.
	Limit = api.Limit
	// Dependency is what came of a task that another one depends on.
	Dependency = api.Dependency
	// PauseQueueParams are the params of queue.pause. Nil Roles mean all queues; Roles without an
	// element mean the queue of the tasks that require no role.
	PauseQueueParams = api.PauseQueueParams
	// ResumeQueueParams are the params of queue.resume.
	ResumeQueueParams = api.ResumeQueueParams
	// PausesResult is the result of queue.pause and queue.resume.
	PausesResult = api.PausesResult
	// Pause says that nothing is claimed or auto-assigned from a queue.
	Pause = api.Pause
	// VerifyResult is the result of audit.verify.
	VerifyResult = api.VerifyResult
	// AuditRun is a verification that runs.
	AuditRun = api.AuditRun
	// AuditStatusResult is the result of audit.status.
	AuditStatusResult = api.AuditStatusResult
	// DiffParams are the params of audit.diff.
	DiffParams = api.DiffParams
	// PastDiff is the result of audit.diff.
	PastDiff = api.PastDiff
	// PastState is a fleet as the log says that it stood.
	PastState = api.PastState
	// PastMoment is the moment after an event of the log.
	PastMoment = api.PastMoment
	// PastTask is a task at a moment.
	PastTask = api.PastTask
	// PastInstance is an instance at a moment.
	PastInstance = api.PastInstance
	// AuditLog is what the log in Redis holds now.
	AuditLog = api.AuditLog
	// AuditGap is a range of events, by seq, that the log does not have.
	AuditGap = api.AuditGap
	// AuditResult is the result of a verification.
	AuditResult = api.AuditResult
	// DeleteTaskResult is the result of task.delete.
	DeleteTaskResult = api.DeleteTaskResult
	// CreateManyResult is the result of task.create_many, with an answer for each task.
	CreateManyResult = api.ManyResult[api.Task]
	// CompleteManyResult is the result of task.complete_many, with an answer for each task.
	CompleteManyResult = api.ManyResult[api.CompleteTaskResult]
	// RegisterParams are the params of system.register.
	RegisterParams = api.RegisterParams
	// RegisterResult is the result of system.register.
	RegisterResult = api.RegisterResult
	// HeartbeatResult is the result of system.heartbeat. IsLeader and Term are set only for the leader.
	HeartbeatResult = api.HeartbeatResult
	// UnregisterParams are the params of system.unregister.
	UnregisterParams = api.UnregisterParams
	// UnregisterResult is the result of system.unregister.
	UnregisterResult = api.UnregisterResult
	// HealthResult is the result of system.health. Reasons is empty if the status is healthy.
	HealthResult = api.HealthResult
	// CheckHealthParams are the params of system.check_health.
	CheckHealthParams = api.CheckHealthParams
	// CheckHealthResult is the result of system.check_health.
	CheckHealthResult = api.CheckHealthResult
	// MetricsResult is the result of system.metrics. Numbers from the log cover the whole system, up to
	// the last event that the metrics projection has applied. Calls, times and memory are those of the
	// coordinator that answers.
	MetricsResult = api.MetricsResult
	// GetStateParams are the params of system.get_state.
	GetStateParams = api.GetStateParams
	// GetStateResult is the result of system.get_state. An empty list is left out.
	GetStateResult = api.GetStateResult
	// InfoResult is the result of system.info.
	InfoResult = api.InfoResult
	// InfoCaller is what the coordinator knows about the caller.
	InfoCaller = api.InfoCaller
	// InfoStores describes the stores. Postgres is left out if none is configured.
	InfoStores = api.InfoStores
	// RedisInfo describes Redis as it was at most five seconds ago.
	RedisInfo = api.RedisInfo
	// RedisPersistence says how Redis keeps its data.
	RedisPersistence = api.RedisPersistence
	// PostgresInfo describes Postgres as it was at most five seconds ago.
	PostgresInfo = api.PostgresInfo
	// SubscribersResult is the result of system.subscribers.
	SubscribersResult = api.SubscribersResult
	// SubscriberInfo is one reader of the log or of a topic.
	SubscriberInfo = api.SubscriberInfo
	// ProcessBatchParams are the params of system.batch.process.
	ProcessBatchParams = api.ProcessBatchParams
	// ProcessBatchResult is the result of system.batch.process. Processed is false while the batch is
	// in progress: another instance holds its lock, the call's time was over, Redis became unavailable,
	// or the next items were refused for Reason.
	ProcessBatchResult = api.ProcessBatchResult
	// VoteParams are the params of system.quorum.vote.
	VoteParams = api.VoteParams
	// VoteResult is the result of system.quorum.vote. FinalDecision is set once one value has the
	// quorum.
	VoteResult = api.VoteResult
	// DiscoverResult is the result of system.discover.
	DiscoverResult = api.DiscoverResult
	// FlushParams are the params of system.flush.
	FlushParams = api.FlushParams
	// FlushResult is the result of system.flush. Postgres is set only if its rows were deleted.
	FlushResult = api.FlushResult
	// Behind is how far the list is behind the log. It is left out if the view has applied all events
	// that were in the log before the call.
	Behind = api.Behind
	// HealthServices reports which services work.
	HealthServices = api.HealthServices
	// InstanceState is a live instance in a snapshot.
	InstanceState = api.InstanceState
	// RecentEvent is an event's envelope.
	RecentEvent = api.RecentEvent
	// StateTotals are the numbers of all open tasks and all live instances.
	StateTotals = api.StateTotals
	// MethodInfo describes a method. Its schemas are JSON Schema 2020-12.
	MethodInfo = api.MethodInfo
	// MethodMetadata holds a method's limits and roles, and whether its calls change stored state.
	MethodMetadata = api.MethodMetadata
	// FlushedRedis is what a flush deleted in Redis.
	FlushedRedis = api.FlushedRedis
	// FlushedPostgres is what a flush deleted in Postgres.
	FlushedPostgres = api.FlushedPostgres
	// CircuitMetrics are the circuit breakers of a coordinator.
	CircuitMetrics = api.CircuitMetrics
	// QueueMetrics are the lengths and waiting times of the queues.
	QueueMetrics = api.QueueMetrics
	// RoleQueue is the number of tasks that wait for a worker with certain roles.
	RoleQueue = api.RoleQueue
	// CallCounters count all calls of a coordinator.
	CallCounters = api.CallCounters
	// GlobalMetrics are the metrics of events and tasks from the log.
	GlobalMetrics = api.GlobalMetrics
	// ScalingMetrics are the metrics of instances from the log.
	ScalingMetrics = api.ScalingMetrics
	// CurrentMetrics describe the current state.
	CurrentMetrics = api.CurrentMetrics
	// MCPCalls count the calls over MCP.
	MCPCalls = api.MCPCalls
	// HealthCheck is the result of system.health and the number of instances that failed lately.
	HealthCheck = api.HealthCheck
	// HandlerMetrics are the statistics of the calls of one method.
	HandlerMetrics = api.HandlerMetrics
	// ItemAnswer is the answer to one item: a result or an error.
	ItemAnswer[R any] = api.ItemAnswer[R]
	// ItemError is an error of the API.
	ItemError = api.ItemError
)
