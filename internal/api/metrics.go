package api

// MetricsResult is the result of system.metrics. Numbers from the log cover the whole system, up to
// the last event that the metrics projection has applied. Calls, times and memory are those of the
// coordinator that answers.
type MetricsResult struct {
	EventsProcessed int64   `json:"eventsProcessed" jsonschema:"events counted from the log"`
	TasksCompleted  int64   `json:"tasksCompleted"`
	TasksFailed     int64   `json:"tasksFailed"`
	TasksOpen       int64   `json:"tasksOpen" jsonschema:"tasks that are not finished"`
	Instances       int64   `json:"instances" jsonschema:"live instances"`
	Throughput      float64 `json:"throughput" jsonschema:"tasks finished within the last minute, from the counts of this and the previous calendar minute"`
	AverageLatency  float64 `json:"averageLatency" jsonschema:"mean duration of this coordinator's calls, in ms"`
	TotalCalls      uint64  `json:"totalCalls" jsonschema:"calls that this coordinator has answered"`
	MemoryUsage     float64 `json:"memoryUsage" jsonschema:"memory of this coordinator's process, in MB"`
	Uptime          int64   `json:"uptime" jsonschema:"seconds since this coordinator started"`

	Pauses            []Pause                   `json:"pauses,omitempty" jsonschema:"queues from which nothing is claimed or auto-assigned"`
	LastHour          []MinuteMetrics           `json:"lastHour,omitempty" jsonschema:"lastHour: 60 minutes, counted from the log, the current one last"`
	CircuitBreaker    *CircuitMetrics           `json:"circuitBreaker,omitempty" jsonschema:"detailed: this coordinator's circuit breakers"`
	Queue             *QueueMetrics             `json:"queue,omitempty" jsonschema:"detailed: waiting tasks, and how long tasks waited"`
	Counters          *CallCounters             `json:"counters,omitempty" jsonschema:"detailed: this coordinator's calls"`
	Global            *GlobalMetrics            `json:"global,omitempty" jsonschema:"detailed: events and tasks, from the log"`
	Scaling           *ScalingMetrics           `json:"scaling,omitempty" jsonschema:"detailed: instances, from the log"`
	Current           *CurrentMetrics           `json:"current,omitempty" jsonschema:"detailed: the current state"`
	MCPCalls          *MCPCalls                 `json:"mcpCalls,omitempty" jsonschema:"detailed: this coordinator's calls over MCP"`
	SystemHealthCheck *HealthCheck              `json:"systemHealthCheck,omitempty" jsonschema:"detailed: the status of system.health"`
	Handlers          map[string]HandlerMetrics `json:"handlers,omitempty" jsonschema:"detailed: this coordinator's calls by method"`
}

// MinuteMetrics are what happened to tasks in a minute.
type MinuteMetrics struct {
	Time      string `json:"time" jsonschema:"when the minute began"`
	Created   int64  `json:"created"`
	Completed int64  `json:"completed"`
	Failed    int64  `json:"failed"`
	Wait      *Times `json:"wait,omitempty" jsonschema:"from queueing to claim, of the tasks claimed in this minute; absent if there were none"`
	Run       *Times `json:"run,omitempty" jsonschema:"from claim to end, of the tasks finished in this minute; absent if there were none"`
}

// Times summarize times in ms.
type Times struct {
	P50 int64 `json:"p50" jsonschema:"median in ms, at most 42 % too high"`
	P95 int64 `json:"p95" jsonschema:"95th percentile in ms, at most 42 % too high"`
}

// CircuitMetrics are the circuit breakers of a coordinator.
type CircuitMetrics struct {
	Closed    int               `json:"closed" jsonschema:"methods whose circuit is closed"`
	NotClosed map[string]string `json:"notClosed" jsonschema:"the state of the other circuits"`
	Rejected  uint64            `json:"rejected" jsonschema:"calls rejected by an open circuit"`
}

// QueueMetrics are the lengths and waiting times of the queues.
type QueueMetrics struct {
	Pending       int64       `json:"pending" jsonschema:"tasks that wait for any worker"`
	Roles         []RoleQueue `json:"roles" jsonschema:"tasks that wait for a worker with certain roles"`
	Orphaned      int64       `json:"orphaned" jsonschema:"tasks of instances that are gone and not yet returned to a queue, in the 100 oldest such queues"`
	OrphanQueues  int64       `json:"orphanQueues" jsonschema:"queues of instances that are gone"`
	Assigned      int64       `json:"assigned" jsonschema:"tasks assigned and not yet claimed, from the log"`
	InProgress    int64       `json:"inProgress" jsonschema:"tasks in progress, from the log"`
	Claims        int64       `json:"claims" jsonschema:"claims so far"`
	AverageWaitMs float64     `json:"averageWaitMs" jsonschema:"mean time from queueing to claim, in ms"`
	MaxWaitMs     int64       `json:"maxWaitMs"`
	Requeued      int64       `json:"requeued" jsonschema:"tasks that returned to a queue after a claim"`
	Scheduled     int64       `json:"scheduled" jsonschema:"tasks that wait for a time"`
	Blocked       int64       `json:"blocked" jsonschema:"tasks that wait for other tasks or for their turn under a limit"`
}

// RoleQueue is the number of tasks that wait for a worker with certain roles.
type RoleQueue struct {
	Roles []string `json:"roles"`
	Tasks int64    `json:"tasks"`
}

// CallCounters count all calls of a coordinator.
type CallCounters struct {
	ByOutcome map[string]uint64 `json:"byOutcome" jsonschema:"calls by outcome"`
	P99       float64           `json:"p99" jsonschema:"99th percentile in ms, at most an eighth too high"`
}

// GlobalMetrics are the metrics of events and tasks from the log.
type GlobalMetrics struct {
	Events          map[string]int64 `json:"events" jsonschema:"number of events by type"`
	LastEventID     string           `json:"lastEventId,omitempty"`
	LastEventAt     string           `json:"lastEventAt,omitempty"`
	TasksCreated    int64            `json:"tasksCreated"`
	TasksUpdated    int64            `json:"tasksUpdated"`
	TasksDeleted    int64            `json:"tasksDeleted"`
	TasksAssigned   int64            `json:"tasksAssigned"`
	TasksUnassigned int64            `json:"tasksUnassigned"`
	TasksClaimed    int64            `json:"tasksClaimed"`
	TasksRetried    int64            `json:"tasksRetried" jsonschema:"tries that failed and were followed by another one"`
	TasksTimedOut   int64            `json:"tasksTimedOut" jsonschema:"tries whose time limit was over"`
	TasksLost       int64            `json:"tasksLost" jsonschema:"tries that were lost with their worker"`
	TasksCancelled  int64            `json:"tasksCancelled"`
	AverageRunMs    float64          `json:"averageRunMs" jsonschema:"mean time from the last claim to the end, in ms"`
	MaxRunMs        int64            `json:"maxRunMs"`
}

// ScalingMetrics are the metrics of instances from the log.
type ScalingMetrics struct {
	Instances             int64   `json:"instances" jsonschema:"registered instances"`
	Workers               int64   `json:"workers" jsonschema:"registered instances with the role worker"`
	InstancesRegistered   int64   `json:"instancesRegistered" jsonschema:"registrations"`
	InstancesResumed      int64   `json:"instancesResumed" jsonschema:"registrations that resumed a session"`
	InstancesUnregistered int64   `json:"instancesUnregistered"`
	InstancesFailed       int64   `json:"instancesFailed"`
	LeaderElections       int64   `json:"leaderElections"`
	TasksReassigned       int64   `json:"tasksReassigned" jsonschema:"tasks taken from instances that left or failed"`
	OpenTasksPerWorker    float64 `json:"openTasksPerWorker" jsonschema:"open tasks per live worker; 0 without a worker"`
}

// CurrentMetrics describe the current state.
type CurrentMetrics struct {
	Time      string `json:"time" jsonschema:"the time by Redis's clock"`
	Workers   int64  `json:"workers" jsonschema:"live workers"`
	Leader    string `json:"leader,omitempty"`
	Term      int64  `json:"term" jsonschema:"the term of the last leader"`
	LastSeq   int64  `json:"lastSeq" jsonschema:"the seq of the last event"`
	EventsLag int64  `json:"eventsLag" jsonschema:"events in the log that are not counted yet"`
}

// MCPCalls count the calls over MCP.
type MCPCalls struct {
	TotalCalls   uint64 `json:"totalCalls"`
	SuccessCount uint64 `json:"successCount"`
	ErrorCount   uint64 `json:"errorCount"`
}

// HealthCheck is the result of system.health and the number of instances that failed lately.
type HealthCheck struct {
	HealthResult
	FailedInstances int64 `json:"failedInstances" jsonschema:"instances that failed in the last five minutes and are not back"`
}

// HandlerMetrics are the statistics of the calls of one method.
type HandlerMetrics struct {
	TotalCalls      uint64  `json:"totalCalls"`
	SuccessCount    uint64  `json:"successCount"`
	ErrorCount      uint64  `json:"errorCount"`
	AvgResponseTime float64 `json:"avgResponseTime" jsonschema:"mean duration in ms"`
	P99             float64 `json:"p99" jsonschema:"99th percentile in ms, at most an eighth too high"`
	CircuitState    string  `json:"circuitState" jsonschema:"CLOSED, OPEN or HALF_OPEN"`
	RateLimitHits   uint64  `json:"rateLimitHits" jsonschema:"calls rejected by the rate limit"`
	LastCalled      string  `json:"lastCalled,omitempty"`
}
