package events

// Type says what happened: past tense, explicit, and never changed. It is not derived from a Go
// name.
type Type string

// The event types. Each has a payload struct of the same name in the file of its noun,
// except that the hooks of agents share [Hook].
const (
	TypeInstanceRegistered      Type = "instance.registered"
	TypeInstanceUnregistered    Type = "instance.unregistered"
	TypeInstanceFailed          Type = "instance.failed"
	TypeLeaderElected           Type = "leader.elected"
	TypeTaskCreated             Type = "task.created"
	TypeTaskUpdated             Type = "task.updated"
	TypeTaskDeleted             Type = "task.deleted"
	TypeTaskAssigned            Type = "task.assigned"
	TypeTaskUnassigned          Type = "task.unassigned"
	TypeTaskClaimed             Type = "task.claimed"
	TypeTaskCompleted           Type = "task.completed"
	TypeTaskFailed              Type = "task.failed"
	TypeTaskDue                 Type = "task.due"
	TypeTaskRetried             Type = "task.retried"
	TypeTaskTimedOut            Type = "task.timed_out"
	TypeTaskProgressed          Type = "task.progressed"
	TypeTaskCancelRequested     Type = "task.cancel_requested"
	TypeTaskCancelled           Type = "task.cancelled"
	TypeTaskUnblocked           Type = "task.unblocked"
	TypeTaskBlocked             Type = "task.blocked"
	TypeTaskRevived             Type = "task.revived"
	TypeLimitChanged            Type = "limit.changed"
	TypeLimitDeleted            Type = "limit.deleted"
	TypeBatchStarted            Type = "batch.started"
	TypeBatchProgressed         Type = "batch.progressed"
	TypeBatchCompleted          Type = "batch.completed"
	TypeQuorumVoted             Type = "quorum.voted"
	TypeQuorumDecisionMade      Type = "quorum.decision.made"
	TypeCircuitOpened           Type = "circuit.opened"
	TypeCircuitClosed           Type = "circuit.closed"
	TypeSystemFlushed           Type = "system.flushed"
	TypeQueuePaused             Type = "queue.paused"
	TypeQueueResumed            Type = "queue.resumed"
	TypeHookSessionStarted      Type = "hook.session_started"
	TypeHookPromptSubmitted     Type = "hook.prompt_submitted"
	TypeHookToolRequested       Type = "hook.tool_requested"
	TypeHookPermissionRequested Type = "hook.permission_requested"
	TypeHookPermissionDenied    Type = "hook.permission_denied"
	TypeHookToolFinished        Type = "hook.tool_finished"
	TypeHookNotified            Type = "hook.notified"
	TypeHookSubagentStarted     Type = "hook.subagent_started"
	TypeHookSubagentStopped     Type = "hook.subagent_stopped"
	TypeHookTaskCreated         Type = "hook.task_created"
	TypeHookTaskCompleted       Type = "hook.task_completed"
	TypeHookCompactionStarted   Type = "hook.compaction_started"
	TypeHookCompactionFinished  Type = "hook.compaction_finished"
	TypeHookStopped             Type = "hook.stopped"
	TypeHookSessionEnded        Type = "hook.session_ended"
	TypeHookReceived            Type = "hook.received"
	TypeHookDecided             Type = "hook.decided"
	TypeTodoUpdated             Type = "todo.updated"
	TypeScheduleChanged         Type = "schedule.changed"
	TypeScheduleFired           Type = "schedule.fired"
	TypeScheduleDeleted         Type = "schedule.deleted"
)

// definitions lists every event: its type, its payload's struct at the current version, and one
// up-caster for each older version. The first up-caster converts v1 to v2, and so on; the current
// version is their number plus one. A new event is a constant, a struct, an entry here, and a
// golden file in testdata.
var definitions = mustIndex(
	define[InstanceRegistered](TypeInstanceRegistered),
	define[InstanceUnregistered](TypeInstanceUnregistered),
	define[InstanceFailed](TypeInstanceFailed),
	define[LeaderElected](TypeLeaderElected),
	define[TaskCreated](TypeTaskCreated, unchanged), // v2 has options
	define[TaskUpdated](TypeTaskUpdated, unchanged), // v2 has metadataChanges, not metadata
	define[TaskDeleted](TypeTaskDeleted),
	define[TaskAssigned](TypeTaskAssigned, unchanged),     // v2 has losses
	define[TaskUnassigned](TypeTaskUnassigned, unchanged), // v2 has losses
	define[TaskClaimed](TypeTaskClaimed, unchanged),       // v2 has timeoutAt
	define[TaskCompleted](TypeTaskCompleted),
	define[TaskFailed](TypeTaskFailed, unchanged), // v2 has failures and losses
	define[TaskDue](TypeTaskDue),
	define[TaskRetried](TypeTaskRetried),
	define[TaskTimedOut](TypeTaskTimedOut),
	define[TaskProgressed](TypeTaskProgressed),
	define[TaskCancelRequested](TypeTaskCancelRequested),
	define[TaskCancelled](TypeTaskCancelled),
	define[TaskUnblocked](TypeTaskUnblocked),
	define[TaskBlocked](TypeTaskBlocked),
	define[TaskRevived](TypeTaskRevived),
	define[LimitChanged](TypeLimitChanged),
	define[LimitDeleted](TypeLimitDeleted),
	define[BatchStarted](TypeBatchStarted),
	define[BatchProgressed](TypeBatchProgressed),
	define[BatchCompleted](TypeBatchCompleted),
	define[QuorumVoted](TypeQuorumVoted),
	define[QuorumDecisionMade](TypeQuorumDecisionMade),
	define[CircuitOpened](TypeCircuitOpened),
	define[CircuitClosed](TypeCircuitClosed),
	define[SystemFlushed](TypeSystemFlushed),
	define[QueuePaused](TypeQueuePaused),
	define[QueueResumed](TypeQueueResumed),
	define[Hook](TypeHookSessionStarted),
	define[Hook](TypeHookPromptSubmitted),
	define[Hook](TypeHookToolRequested),
	define[Hook](TypeHookPermissionRequested),
	define[Hook](TypeHookPermissionDenied),
	define[Hook](TypeHookToolFinished),
	define[Hook](TypeHookNotified),
	define[Hook](TypeHookSubagentStarted),
	define[Hook](TypeHookSubagentStopped),
	define[Hook](TypeHookTaskCreated),
	define[Hook](TypeHookTaskCompleted),
	define[Hook](TypeHookCompactionStarted),
	define[Hook](TypeHookCompactionFinished),
	define[Hook](TypeHookStopped),
	define[Hook](TypeHookSessionEnded),
	define[Hook](TypeHookReceived),
	define[HookDecided](TypeHookDecided),
	define[TodoUpdated](TypeTodoUpdated),
	define[ScheduleChanged](TypeScheduleChanged),
	define[ScheduleFired](TypeScheduleFired),
	define[ScheduleDeleted](TypeScheduleDeleted),
)
