package api

// PutScheduleParams are the params of schedule.put.
type PutScheduleParams struct {
	ID       ID     `json:"id" jsonschema:"the schedule to make or to replace"`
	Cron     string `json:"cron" jsonschema:"five fields: minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly, or '@every 15m'"`
	Timezone string `json:"timezone,omitempty" jsonschema:"the time zone of the fields, by its name in the IANA database, such as Europe/Berlin; default UTC"`
	Task     Value  `json:"task" jsonschema:"the task to create at each tick, at most 64 KiB"`
	Paused   bool   `json:"paused,omitempty" jsonschema:"whether the schedule has no ticks for now; default false"`
	CatchUp  string `json:"catchUp,omitempty" jsonschema:"what happens to ticks that no coordinator could fire in time: none skips them, one (default) makes one task for all of them, all makes one for each of the last 100"`
}

// Schedule is a schedule as schedule.get and schedule.list return it.
type Schedule struct {
	ID        ID      `json:"id"`
	Cron      string  `json:"cron"`
	Timezone  string  `json:"timezone"`
	Task      Object  `json:"task" jsonschema:"params of task.create"`
	Paused    bool    `json:"paused"`
	CatchUp   string  `json:"catchUp"`
	NextTick  *string `json:"nextTick" jsonschema:"null while the schedule is paused"`
	LastTick  *string `json:"lastTick" jsonschema:"null before the first tick"`
	LastTask  *string `json:"lastTask" jsonschema:"the task that the last tick made, or null"`
	LastError Object  `json:"lastError" jsonschema:"why the last tick made no task, or null"`
	Fired     int     `json:"fired" jsonschema:"the number of ticks that made a task"`
	CreatedAt string  `json:"createdAt"`
	UpdatedAt string  `json:"updatedAt" jsonschema:"of the last schedule.put"`
}

// PutScheduleResult is the result of schedule.put.
type PutScheduleResult struct {
	Created  bool     `json:"created" jsonschema:"whether the schedule is new"`
	Schedule Schedule `json:"schedule"`
}

// GetScheduleParams are the params of schedule.get.
type GetScheduleParams struct {
	ID ID `json:"id" jsonschema:"the schedule to read"`
}

// ListSchedulesParams are the params of schedule.list.
type ListSchedulesParams struct {
	Limit  *int `json:"limit,omitempty" jsonschema:"the maximum number of schedules; default 100; a page with more than 1 MiB is shorter"`
	Cursor ID   `json:"cursor,omitempty" jsonschema:"the nextCursor of the page before"`
}

// ListSchedulesResult is the result of schedule.list.
type ListSchedulesResult struct {
	Schedules  []Schedule `json:"schedules" jsonschema:"in the order of the bytes of their ids"`
	Total      int        `json:"total" jsonschema:"the number of schedules on all pages"`
	NextCursor string     `json:"nextCursor,omitempty" jsonschema:"left out on the last page"`
}

// DeleteScheduleParams are the params of schedule.delete.
type DeleteScheduleParams struct {
	ID ID `json:"id" jsonschema:"the schedule to delete"`
}

// DeleteScheduleResult is the result of schedule.delete.
type DeleteScheduleResult struct {
	ID        ID     `json:"id"`
	Deleted   bool   `json:"deleted"`
	DeletedAt string `json:"deletedAt"`
}
