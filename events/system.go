package events

// SystemFlushed is the payload of system.flushed: everything before it was removed, and it is the
// first event of the log. A fold starts anew at it; seq and the leaders' terms continue to rise.
// Readers and subscribers continue over it without a restart.
type SystemFlushed struct {
	Redis     int64            `json:"redis" jsonschema:"keys deleted"`
	Postgres  *FlushedPostgres `json:"postgres,omitempty" jsonschema:"what was deleted in Postgres; absent if it was kept"`
	Timestamp string           `json:"timestamp" jsonschema:"RFC 3339, UTC, with milliseconds"`
	FirstSeq  int64            `json:"firstSeq" jsonschema:"seq of the first event removed"`
	LastSeq   int64            `json:"lastSeq" jsonschema:"seq of the last event removed"`
}

// FlushedPostgres counts what a flush deleted in Postgres.
type FlushedPostgres struct {
	TasksDeleted int64 `json:"tasksDeleted" jsonschema:"rows of tasks"`
}
