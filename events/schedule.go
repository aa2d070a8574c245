package events

import "encoding/json"

// ScheduleChanged is the payload of schedule.changed: the schedule as it is from now on.
type ScheduleChanged struct {
	ID       string          `json:"id" jsonschema:"the schedule"`
	Cron     string          `json:"cron" jsonschema:"the expression whose ticks the schedule has"`
	Timezone string          `json:"timezone" jsonschema:"the time zone of the expression, by its name in the IANA database"`
	Task     json.RawMessage `json:"task" jsonschema:"the params of task.create with which each tick makes a task"`
	Paused   bool            `json:"paused" jsonschema:"whether the schedule has no ticks for now"`
	CatchUp  string          `json:"catchUp" jsonschema:"none, one or all: what happens to missed ticks"`
	Created  bool            `json:"created" jsonschema:"whether the schedule is new"`
	NextTick *string         `json:"nextTick" jsonschema:"the next tick, RFC 3339, UTC, with milliseconds; null while the schedule is paused"`
}

// ScheduleFired is the payload of schedule.fired: a tick is over. The ticks from Due to before Tick
// were missed and are left out. The task.created event of the task, whose cause is this event,
// follows at once, unless an unfinished task has its uniqueKey.
type ScheduleFired struct {
	ID       string          `json:"id" jsonschema:"the schedule"`
	Due      string          `json:"due" jsonschema:"the tick that was next, RFC 3339, UTC, with milliseconds; earlier than tick if ticks were missed"`
	Tick     string          `json:"tick" jsonschema:"the tick, RFC 3339, UTC, with milliseconds"`
	NextTick string          `json:"nextTick" jsonschema:"the tick that is next now, RFC 3339, UTC, with milliseconds"`
	TaskID   *string         `json:"taskId" jsonschema:"the task that the tick has made, or the unfinished one that has its uniqueKey; null for none"`
	Fired    int64           `json:"fired" jsonschema:"how many ticks have made a task so far"`
	Error    json.RawMessage `json:"error" jsonschema:"why it has made none, an object with the member reason, or null. MISSED: the tick came too late for a schedule that does not catch up"`
}

// ScheduleDeleted is the payload of schedule.deleted.
type ScheduleDeleted struct {
	ID        string `json:"id" jsonschema:"the schedule"`
	DeletedBy string `json:"deletedBy" jsonschema:"the actor of the deletion"`
}

// ReasonMissed is the reason in the error of schedule.fired for a tick that was skipped.
const ReasonMissed = "MISSED"
