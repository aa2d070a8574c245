package events

// SystemFlushed is the payload of system.flushed: everything before it was removed, and it is the
// first event of the log. A fold starts anew at it; seq and the leaders' terms continue to rise.
// Readers and subscribers continue over it without a restart.
type SystemFlushed struct {
	Redis     int64            `json:"redis"`              // keys deleted
	Postgres  *FlushedPostgres `json:"postgres,omitempty"` // nil if Postgres was kept
	Timestamp string           `json:"timestamp"`          // see TimeLayout
	FirstSeq  int64            `json:"firstSeq"`           // the first event removed
	LastSeq   int64            `json:"lastSeq"`            // the last event removed
}

// FlushedPostgres counts what a flush deleted in Postgres.
type FlushedPostgres struct {
	TasksDeleted int64 `json:"tasksDeleted"`
}
