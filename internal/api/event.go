package api

// Event is an event as task.history, instance.history and event.list return it.
type Event struct {
	Seq       int64   `json:"seq" jsonschema:"its number; rises by one with each event of the log"`
	ID        string  `json:"id" jsonschema:"the ID of its entry in the log: <ms>-<seq>"`
	Type      string  `json:"type"`
	V         int     `json:"v" jsonschema:"the version of the payload"`
	Timestamp int64   `json:"timestamp" jsonschema:"ms since 1970"`
	Attempt   *int64  `json:"attempt,omitempty" jsonschema:"of the task, if the payload has it"`
	Actor     string  `json:"actor"`
	Cause     *string `json:"cause,omitempty" jsonschema:"the request or event that caused it"`
	Trace     *string `json:"trace,omitempty" jsonschema:"W3C traceparent"`
	Payload   Object  `json:"payload" jsonschema:"docs/events.md describes it by type"`
}

// EventsResult is the result of task.history, instance.history and event.list.
type EventsResult struct {
	Events     []Event `json:"events"`
	NextCursor string  `json:"nextCursor,omitempty" jsonschema:"left out on the last page"`
	Behind     *Behind `json:"behind,omitempty"`
}

// TaskHistoryParams are the params of task.history.
type TaskHistoryParams struct {
	ID     TaskID `json:"id" jsonschema:"the task, which may be deleted"`
	Limit  *int   `json:"limit,omitempty" jsonschema:"default 100; a page with more than 16 MiB is shorter"`
	Cursor string `json:"cursor,omitempty" jsonschema:"the nextCursor of the page before"`
	Order  string `json:"order,omitempty" jsonschema:"asc (default): the oldest first"`
}

// InstanceHistoryParams are the params of instance.history.
type InstanceHistoryParams struct {
	ID     ID     `json:"id" jsonschema:"the instance, which may have left"`
	Limit  *int   `json:"limit,omitempty" jsonschema:"default 100; a page with more than 16 MiB is shorter"`
	Cursor string `json:"cursor,omitempty" jsonschema:"the nextCursor of the page before"`
	Order  string `json:"order,omitempty" jsonschema:"asc (default): the oldest first"`
}

// ListEventsParams are the params of event.list.
type ListEventsParams struct {
	Types  string `json:"types,omitempty" jsonschema:"types and patterns, separated by commas: instance.*,quorum.voted; none of task.* and hook.*; default all events"`
	Since  string `json:"since,omitempty" jsonschema:"only events at or after this time, ISO 8601"`
	Limit  *int   `json:"limit,omitempty" jsonschema:"default 100; a page with more than 16 MiB is shorter"`
	Cursor string `json:"cursor,omitempty" jsonschema:"the nextCursor of the page before"`
	Order  string `json:"order,omitempty" jsonschema:"desc (default): the newest first"`
}

// EventQuery selects events of the index: those of a task, of an instance, of some types, or all.
type EventQuery struct {
	Task     int64    // the number of the task; 0 does not filter
	Instance string   // "" does not filter
	Types    []string // none of tasks and hooks; nil does not filter
	Since    int64    // ms since 1970; 0 does not filter
	Limit    int      // at least 1
	// Cursor is a position in the order: only events behind it are listed. 0 is the start.
	Cursor     int64
	Descending bool
}

// GetEventParams are the params of event.get.
type GetEventParams struct {
	Seq int64 `json:"seq" jsonschema:"the event's number in the log"`
}
