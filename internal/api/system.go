package api

// RegisterParams are the params of system.register.
type RegisterParams struct {
	ID       ID     `json:"id" jsonschema:"unique identifier of the instance"`
	Roles    []Role `json:"roles" jsonschema:"the instance's roles; an instance with the role worker gets tasks"`
	Metadata Object `json:"metadata,omitempty" jsonschema:"maxTasks (default 10), sessionId, and any other members"`
	TTL      *int   `json:"ttlMs,omitempty" jsonschema:"milliseconds without a sign of life after which the instance is dead; default: --instance-ttl, over MCP ten minutes"`
}

// RegisterResult is the result of system.register.
type RegisterResult struct {
	Registered bool `json:"registered" jsonschema:"false only when the id belongs to a live instance of another token"`
}

// HeartbeatParams are the params of system.heartbeat.
type HeartbeatParams struct {
	InstanceID ID `json:"instanceId" jsonschema:"the instance that is alive"`
}

// HeartbeatResult is the result of system.heartbeat. IsLeader and Term are set only for the leader.
type HeartbeatResult struct {
	Alive    bool `json:"alive"`
	IsLeader bool `json:"isLeader,omitempty"`
	Term     int  `json:"term,omitempty"`
	// Cancel has at most 100 ids.
	Cancel []TaskID `json:"cancel,omitempty" jsonschema:"tasks of the instance that were called off: end each of them by task.complete with cancelled: true"`
}

// UnregisterParams are the params of system.unregister.
type UnregisterParams struct {
	InstanceID ID     `json:"instanceId" jsonschema:"the instance that leaves"`
	SessionID  string `json:"sessionId,omitempty" jsonschema:"the session that the instance registered with; a call with another session changes nothing"`
	Timestamp  Value  `json:"timestamp,omitempty" jsonschema:"when the caller decided to leave; ignored, Redis's clock counts"`
}

// UnregisterResult is the result of system.unregister.
type UnregisterResult struct {
	Unregistered    bool `json:"unregistered"`
	TasksReassigned int  `json:"tasksReassigned"`
}

// HealthParams are the params of system.health: none.
type HealthParams struct{}

// HealthResult is the result of system.health. Reasons is empty if the status is healthy.
type HealthResult struct {
	Status   string         `json:"status" jsonschema:"healthy; degraded when a service other than Redis is unavailable, the task view is behind the log for more than ten seconds, or an instance failed less than five minutes ago and is not back; unhealthy when Redis accepts no commands"`
	Services HealthServices `json:"services"`
	Reasons  []string       `json:"reasons,omitempty" jsonschema:"why the status is not healthy, one sentence for each reason"`
}

// HealthServices reports which services work.
type HealthServices struct {
	Redis    bool `json:"redis" jsonschema:"Redis replies and accepts commands"`
	Postgres bool `json:"postgres" jsonschema:"false also if no database is configured"`
	MCP      bool `json:"mcp"`
}

// CheckHealthParams are the params of system.check_health.
type CheckHealthParams struct {
	Timeout *int `json:"timeout,omitempty" jsonschema:"silence in ms after which an instance is declared dead; default: the instance TTL; a shorter time needs the role operator"`
}

// MetricsParams are the params of system.metrics.
type MetricsParams struct {
	Detailed bool `json:"detailed,omitempty" jsonschema:"add the breakdown by queue, event, method and circuit"`
	LastHour bool `json:"lastHour,omitempty" jsonschema:"add the last hour by minute"`
}

// GetStateParams are the params of system.get_state.
type GetStateParams struct {
	Limit *int   `json:"limit,omitempty" jsonschema:"maximum number of entries of each list; default 200, over MCP 10; at most 100 events"`
	At    string `json:"at,omitempty" jsonschema:"a position in the log: an event's ID, its seq, a time (RFC 3339) or ms since 1970. The result then has only past, the state as it stood there, which the coordinator folds from the log: one call at a time, for at most 30 seconds. It needs the role auditor, operator or admin"`
}

// GetStateResult is the result of system.get_state. An empty list is left out.
type GetStateResult struct {
	Tasks        []Task          `json:"tasks,omitempty" jsonschema:"pending or in progress, the highest priority first; at most 200"`
	Instances    []InstanceState `json:"instances,omitempty" jsonschema:"alive, the one seen last first; at most 200"`
	Pauses       []Pause         `json:"pauses,omitempty" jsonschema:"queues from which nothing is claimed or auto-assigned"`
	RecentEvents []RecentEvent   `json:"recentEvents,omitempty" jsonschema:"the newest first; at most 100"`
	Totals       *StateTotals    `json:"totals,omitempty" jsonschema:"the total number; only if the list was cut"`
	Past         *PastState      `json:"past,omitempty" jsonschema:"the fleet as it stood at the position at; only with at"`
}

// InstanceState is a live instance in a snapshot.
type InstanceState struct {
	ID            string   `json:"id"`
	Roles         []string `json:"roles"`
	Status        string   `json:"status" jsonschema:"ACTIVE, IDLE or BUSY"`
	LastSeen      int64    `json:"lastSeen" jsonschema:"ms since 1970"`
	LastHeartbeat string   `json:"lastHeartbeat"`
	RegisteredAt  string   `json:"registeredAt"`
	Metadata      Object   `json:"metadata"`
	IsLeader      bool     `json:"isLeader"`
	TTL           int64    `json:"ttlMs" jsonschema:"ms after its last sign of life until it counts as dead"`
	MaxTasks      int64    `json:"maxTasks" jsonschema:"tasks that may be assigned to it at once, with those in progress"`
	InProgress    int64    `json:"inProgress" jsonschema:"tasks that it works on"`
	Assigned      int64    `json:"assigned" jsonschema:"tasks that are assigned to it and that it has not claimed yet"`
}

// RecentEvent is an event's envelope.
type RecentEvent struct {
	ID        string  `json:"id"`
	Seq       int64   `json:"seq"`
	Type      string  `json:"type"`
	V         int     `json:"v"`
	Timestamp int64   `json:"timestamp" jsonschema:"ms since 1970"`
	Actor     string  `json:"actor"`
	Cause     *string `json:"cause"`
	Trace     *string `json:"trace"`
	Payload   Object  `json:"payload"`
}

// StateTotals are the numbers of all open tasks and all live instances.
type StateTotals struct {
	Tasks     int `json:"tasks"`
	Instances int `json:"instances"`
}

// SubscribersParams are the params of system.subscribers: none.
type SubscribersParams struct{}

// SubscribersResult is the result of system.subscribers.
type SubscribersResult struct {
	Subscribers []SubscriberInfo `json:"subscribers" jsonschema:"the projections, then the checkpoints that moved last, then the consumer groups; at most 200"`
	Parked      int64            `json:"parked" jsonschema:"the number of events that consumer groups have parked"`
	Total       int64            `json:"total,omitempty" jsonschema:"the number of all subscribers; only if the list was cut"`
}

// SubscriberInfo is one reader of the log or of a topic.
type SubscriberInfo struct {
	Name      string `json:"name" jsonschema:"the name of the checkpoint, of the consumer group or of the projection"`
	Kind      string `json:"kind" jsonschema:"checkpoint, group or projection"`
	Stream    string `json:"stream" jsonschema:"events for the log, or the event type of a topic"`
	Position  string `json:"position,omitempty" jsonschema:"the ID of the last event that it has read; absent if it has read none, or if Postgres does not reply"`
	Seq       *int64 `json:"seq,omitempty" jsonschema:"the seq of position"`
	Lag       *int64 `json:"lag,omitempty" jsonschema:"events that it has not read; absent if unknown"`
	LagMs     *int64 `json:"lagMs,omitempty" jsonschema:"age of the first of them in ms"`
	Pending   *int64 `json:"pending,omitempty" jsonschema:"of a group: events that were delivered and not acknowledged"`
	Parked    *int64 `json:"parked,omitempty" jsonschema:"of a group of a topic: events that it has parked"`
	Holds     *int64 `json:"holds,omitempty" jsonschema:"events that the log keeps beyond its retention because this subscriber needs them; absent without a retention"`
	UpdatedAt string `json:"updatedAt,omitempty" jsonschema:"of a checkpoint: when it moved last, by the clock of its service"`
}

// ProcessBatchParams are the params of system.batch.process.
type ProcessBatchParams struct {
	BatchID    ID      `json:"batchId" jsonschema:"the batch's id; a call with the same id and items continues the batch"`
	InstanceID ID      `json:"instanceId" jsonschema:"the instance that processes it"`
	Items      []Value `json:"items" jsonschema:"an object with text is a task {text, priority, metadata}; any other value becomes metadata.item of a task"`
}

// ProcessBatchResult is the result of system.batch.process. Processed is false while the batch is
// in progress: another instance holds its lock, the call's time was over, Redis became unavailable,
// or the next items were refused for Reason.
type ProcessBatchResult struct {
	Processed      bool   `json:"processed"`
	ProcessorID    string `json:"processorId"`
	ItemsProcessed int    `json:"itemsProcessed"`
	Total          int    `json:"total"`
	Reason         string `json:"reason,omitempty" jsonschema:"why the next items were rejected, as in the data of a conflict; resolve it before you call again"`
}

// VoteParams are the params of system.quorum.vote.
type VoteParams struct {
	InstanceID     ID    `json:"instanceId" jsonschema:"the instance that votes"`
	Decision       ID    `json:"decision" jsonschema:"the decision's id"`
	Value          Value `json:"value" jsonschema:"the value to vote for: any JSON but null, up to 1024 bytes; objects are equal whatever the order of their members"`
	TotalInstances *int  `json:"totalInstances,omitempty" jsonschema:"the number of instances that vote; the first vote fixes it; default 3"`
}

// VoteResult is the result of system.quorum.vote. FinalDecision is set once one value has the
// quorum.
type VoteResult struct {
	Voted         bool  `json:"voted"`
	QuorumReached bool  `json:"quorumReached"`
	FinalDecision Value `json:"finalDecision,omitempty"`
	VoteCount     int   `json:"voteCount"`
}

// DiscoverParams are the params of system.discover.
type DiscoverParams struct {
	Domain string `json:"domain,omitempty" jsonschema:"only the methods of this domain, such as task"`
}

// DiscoverResult is the result of system.discover.
type DiscoverResult struct {
	Methods []MethodInfo `json:"methods"`
}

// MethodInfo describes a method. Its schemas are JSON Schema 2020-12.
type MethodInfo struct {
	Name         string         `json:"name"`
	Description  string         `json:"description"`
	InputSchema  Object         `json:"inputSchema"`
	OutputSchema Object         `json:"outputSchema"`
	Metadata     MethodMetadata `json:"metadata"`
}

// MethodMetadata holds a method's limits and roles, and whether its calls change stored state.
type MethodMetadata struct {
	Persist   bool `json:"persist" jsonschema:"whether calls change stored state"`
	RateLimit int  `json:"rateLimit" jsonschema:"calls a minute for each actor; 0 for no limit"`
	// TokenRateLimit applies to calls for an instance.
	TokenRateLimit int      `json:"tokenRateLimit" jsonschema:"calls a minute that a token may make for all its instances together; 0 for no limit"`
	Roles          []string `json:"roles" jsonschema:"a token needs one of these roles"`
}

// FlushParams are the params of system.flush.
type FlushParams struct {
	Confirm         string `json:"confirm" jsonschema:"must be exactly FLUSH_ALL_DATA"`
	IncludePostgres *bool  `json:"includePostgres,omitempty" jsonschema:"also delete the rows of the task view; default true"`
}

// CheckHealthResult is the result of system.check_health.
type CheckHealthResult struct {
	Healthy    []string       `json:"healthy"`
	Failed     []string       `json:"failed"`
	Reassigned map[string]int `json:"reassigned"`
	// Incomplete is set if the check ended early, after it had changed something.
	Incomplete bool `json:"incomplete,omitempty" jsonschema:"true if the call ended early, for example because Redis was unavailable. There may be more dead instances and tasks to return; the monitor continues the check"`
}

// FlushResult is the result of system.flush. Postgres is set only if its rows were deleted.
type FlushResult struct {
	Redis     FlushedRedis     `json:"redis"`
	Postgres  *FlushedPostgres `json:"postgres,omitempty"`
	Timestamp string           `json:"timestamp"`
}

// FlushedRedis is what a flush deleted in Redis.
type FlushedRedis struct {
	KeysDeleted int64    `json:"keysDeleted"`
	Patterns    []string `json:"patterns"`
}

// FlushedPostgres is what a flush deleted in Postgres.
type FlushedPostgres struct {
	TasksDeleted int64 `json:"tasksDeleted"`
}
