package api

// VerifyParams are the params of audit.verify: none.
type VerifyParams struct{}

// VerifyResult is the result of audit.verify.
type VerifyResult struct {
	Started bool     `json:"started" jsonschema:"false if a verification was already running"`
	Running AuditRun `json:"running"`
}

// AuditRun is a verification that runs.
type AuditRun struct {
	StartedAt   string `json:"startedAt"`
	StartedBy   string `json:"startedBy" jsonschema:"the token's name, or anonymous"`
	Coordinator string `json:"coordinator" jsonschema:"the coordinator that runs it"`
	Doing       string `json:"doing" jsonschema:"what it does now, in words; empty at the beginning"`
	Events      int64  `json:"events" jsonschema:"events that it has read so far"`
	Total       int64  `json:"total" jsonschema:"events in the log when it began; 0 until it has counted them"`
}

// AuditStatusParams are the params of audit.status: none.
type AuditStatusParams struct{}

// AuditStatusResult is the result of audit.status.
type AuditStatusResult struct {
	Log     AuditLog     `json:"log"`
	Gaps    []AuditGap   `json:"gaps" jsonschema:"events that the log does not have: those before its first one, and those that the last verification missed"`
	Running *AuditRun    `json:"running,omitempty" jsonschema:"absent if none runs"`
	Last    *AuditResult `json:"last,omitempty" jsonschema:"the last one that ended; absent if there was none"`
}

// AuditLog is what the log in Redis holds now.
type AuditLog struct {
	Identity string `json:"identity,omitempty" jsonschema:"absent until a coordinator has stored one"`
	Base     int64  `json:"base" jsonschema:"seq of the first event that the log should hold; higher than 1 after a flush or a trim"`
	FirstSeq int64  `json:"firstSeq" jsonschema:"0 if the log is empty"`
	FirstID  string `json:"firstId,omitempty"`
	LastSeq  int64  `json:"lastSeq" jsonschema:"seq of the last event"`
	LastID   string `json:"lastId,omitempty"`
	Events   int64  `json:"events" jsonschema:"entries in the log"`
}

// AuditGap is a range of events, by seq, that the log does not have.
type AuditGap struct {
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Reason string `json:"reason" jsonschema:"flushed: system.flush removed them; trimmed: an operator removed them; missing: nothing explains it"`
}

// AuditResult is the result of a verification.
type AuditResult struct {
	StartedAt    string     `json:"startedAt"`
	FinishedAt   string     `json:"finishedAt"`
	StartedBy    string     `json:"startedBy"`
	Coordinator  string     `json:"coordinator"`
	OK           bool       `json:"ok" jsonschema:"everything was compared, and agrees"`
	Base         int64      `json:"base" jsonschema:"seq of the first event that it read"`
	LastSeq      int64      `json:"lastSeq" jsonschema:"seq of the last event that it read"`
	Events       int64      `json:"events" jsonschema:"events that it read"`
	Tasks        int64      `json:"tasks" jsonschema:"tasks in Redis that it compared"`
	Instances    int64      `json:"instances" jsonschema:"instances that it compared"`
	Rows         int64      `json:"rows" jsonschema:"rows of tasks in Postgres that it compared"`
	Postgres     bool       `json:"postgres" jsonschema:"whether the views in Postgres were compared"`
	Damages      []string   `json:"damages" jsonschema:"what does not agree with the log, a sentence each; at most 100"`
	DamagesTotal int64      `json:"damagesTotal" jsonschema:"the number of all damages"`
	Gaps         []AuditGap `json:"gaps" jsonschema:"missing events that nothing explains; at most 100"`
	Notes        []string   `json:"notes" jsonschema:"what could not be compared, and why"`
	Error        string     `json:"error,omitempty" jsonschema:"why it ended early; it then proves nothing either way. It begins with interrupted if its coordinator ended"`
}
