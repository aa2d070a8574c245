package api

// What a fleet was at a moment of its log: system.get_state with at, and audit.diff. The lists are cut
// after the limit of the call, and Totals has how many entries there are.

// PastMoment is the moment after an event of the log.
type PastMoment struct {
	ID   string `json:"id,omitempty" jsonschema:"the last event up to that moment; absent before the first one"`
	Seq  int64  `json:"seq" jsonschema:"its seq; 0 before the first one"`
	Time string `json:"time,omitempty" jsonschema:"its time, by Redis's clock"`
}

// PastState is a fleet as the log says that it stood.
type PastState struct {
	At        PastMoment       `json:"at"`
	Leader    string           `json:"leader,omitempty" jsonschema:"absent if there was none"`
	Term      int64            `json:"term" jsonschema:"the term of the last leader"`
	Statuses  map[string]int64 `json:"statuses" jsonschema:"tasks by status; deleted ones do not count"`
	Queues    []PastQueue      `json:"queues" jsonschema:"the queues of tasks that wait for a worker, and those that were paused"`
	Places    map[string]int64 `json:"places" jsonschema:"open tasks by the kind of queue: waiting, assigned, active, scheduled, blocked, or orphaned (set aside when an instance left, until they go back)"`
	Limits    []PastLimit      `json:"limits,omitempty"`
	Schedules []PastSchedule   `json:"schedules,omitempty"`
	Instances []PastInstance   `json:"instances" jsonschema:"registered ones, by id. The log does not say whether one was alive: a dead one is registered until the monitor notices it"`
	Tasks     []PastTask       `json:"tasks" jsonschema:"open ones, the highest priority first"`
	Totals    PastTotals       `json:"totals"`
	Notes     []string         `json:"notes,omitempty" jsonschema:"what is not certain, and why; at most 10"`
}

// PastTotals are the numbers of all entries of the lists.
type PastTotals struct {
	Tasks     int64 `json:"tasks" jsonschema:"open tasks"`
	Instances int64 `json:"instances"`
	Queues    int64 `json:"queues"`
	Limits    int64 `json:"limits"`
	Schedules int64 `json:"schedules"`
}

// PastQueue is the queue of the tasks that require the same roles.
type PastQueue struct {
	Roles   Value  `json:"roles" jsonschema:"array of strings; empty for tasks without roles; null for the pause of all queues"`
	Waiting int64  `json:"waiting" jsonschema:"tasks that wait for a worker"`
	Pause   Object `json:"pause,omitempty" jsonschema:"reason, by and at; absent if the queue was not paused"`
}

// PastLimit is a limit of the tasks with a limitKey.
type PastLimit struct {
	Key        string `json:"key"`
	Concurrent int64  `json:"concurrent" jsonschema:"the limit"`
	Running    int64  `json:"running" jsonschema:"tasks that count for it: pending or in progress"`
}

// PastSchedule is a schedule.
type PastSchedule struct {
	ID       string `json:"id"`
	Cron     string `json:"cron"`
	Timezone string `json:"timezone"`
	Paused   bool   `json:"paused"`
	NextTick string `json:"nextTick,omitempty"`
	Fired    int64  `json:"fired" jsonschema:"tasks that it has made"`
}

// PastInstance is a registered instance.
type PastInstance struct {
	ID           string `json:"id"`
	Roles        Value  `json:"roles" jsonschema:"array of strings"`
	Status       string `json:"status" jsonschema:"ACTIVE, IDLE or BUSY; empty if the log does not have it"`
	SessionID    string `json:"sessionId,omitempty"`
	RegisteredAt string `json:"registeredAt,omitempty"`
	IsLeader     bool   `json:"isLeader"`
	InProgress   int64  `json:"inProgress" jsonschema:"tasks that it had claimed"`
	Assigned     int64  `json:"assigned" jsonschema:"tasks that were assigned to it and not claimed"`
}

// PastTask is a task.
type PastTask struct {
	ID         string `json:"id"`
	Text       string `json:"text" jsonschema:"at most 200 characters of it"`
	Status     string `json:"status"`
	Priority   int64  `json:"priority" jsonschema:"-1 if the log does not have it"`
	AssignedTo string `json:"assignedTo,omitempty" jsonschema:"its owner, or its last one if it is finished"`
	Attempt    int64  `json:"attempt" jsonschema:"-1 if the log does not have it"`
	Roles      Value  `json:"roles,omitempty" jsonschema:"the roles that it requires; absent for none"`
	Place      string `json:"place,omitempty" jsonschema:"the kind of queue; absent if it is finished"`
	Since      string `json:"since,omitempty" jsonschema:"when it was claimed, if it is in progress; when it ended, if it is finished; else when it was queued"`
	RunAt      string `json:"runAt,omitempty" jsonschema:"of a scheduled task"`
	Deadline   string `json:"deadline,omitempty" jsonschema:"when it is taken from its owner"`
	LimitKey   string `json:"limitKey,omitempty"`
	Failures   int64  `json:"failures,omitempty"`
	Losses     int64  `json:"losses,omitempty"`
}

// DiffParams are the params of audit.diff.
type DiffParams struct {
	From  string `json:"from" jsonschema:"a position in the log: an event's ID, its seq, a time (RFC 3339) or ms since 1970; 0 is before the first event"`
	To    string `json:"to,omitempty" jsonschema:"a later position; default the end of the log"`
	Limit *int   `json:"limit,omitempty" jsonschema:"maximum number of changes of each list; default 200"`
}

// PastDiff is what changed between two moments of the log.
type PastDiff struct {
	From      PastMoment       `json:"from"`
	To        PastMoment       `json:"to"`
	Events    int64            `json:"events" jsonschema:"events between them"`
	Types     map[string]int64 `json:"types" jsonschema:"these events by type"`
	Statuses  []StatusChange   `json:"statuses" jsonschema:"the numbers of tasks that changed, by status"`
	Tasks     []TaskChange     `json:"tasks" jsonschema:"those that existed before first, by number. A task that was created and deleted between them is left out"`
	Instances []InstanceChange `json:"instances"`
	Others    []OtherChange    `json:"others" jsonschema:"the leader, pauses, limits and schedules"`
	Totals    DiffTotals       `json:"totals"`
	Notes     []string         `json:"notes,omitempty"`
}

// StatusChange is how the number of tasks with a status changed.
type StatusChange struct {
	Status string `json:"status"`
	Before int64  `json:"before"`
	After  int64  `json:"after"`
}

// TaskChange is a task that changed.
type TaskChange struct {
	ID      string    `json:"id"`
	Changed []string  `json:"changed" jsonschema:"created, deleted, flushed, or the names of the members that differ"`
	Before  *PastTask `json:"before,omitempty" jsonschema:"absent if it did not exist"`
	After   *PastTask `json:"after,omitempty" jsonschema:"absent if it does not exist any more"`
}

// InstanceChange is an instance that changed.
type InstanceChange struct {
	ID      string        `json:"id"`
	Changed []string      `json:"changed" jsonschema:"registered, left, or the names of the members that differ"`
	Before  *PastInstance `json:"before,omitempty"`
	After   *PastInstance `json:"after,omitempty"`
}

// OtherChange is a change of the leader, a pause, a limit or a schedule.
type OtherChange struct {
	Kind   string `json:"kind" jsonschema:"leader, pause, limit or schedule"`
	Name   string `json:"name" jsonschema:"of the queue, the limit or the schedule; empty for the leader"`
	Before string `json:"before" jsonschema:"empty if there was none"`
	After  string `json:"after" jsonschema:"empty if there is none"`
}

// DiffTotals are the numbers of all changes.
type DiffTotals struct {
	Created   int64 `json:"created" jsonschema:"tasks that were created between the moments"`
	Tasks     int64 `json:"tasks" jsonschema:"other tasks that changed"`
	Instances int64 `json:"instances"`
	Others    int64 `json:"others"`
}
