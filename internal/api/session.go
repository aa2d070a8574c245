package api

// Session is a session of an agent as session.list returns it.
type Session struct {
	ID             string  `json:"id"`
	Source         *string `json:"source" jsonschema:"the program that sent hooks, such as claude-code; null if none came"`
	InstanceID     *string `json:"instanceId" jsonschema:"the last instance that had the session"`
	StartedAt      string  `json:"startedAt"`
	LastActivityAt string  `json:"lastActivityAt" jsonschema:"the time of its last hook, todo or registration"`
	EndedAt        *string `json:"endedAt" jsonschema:"null while it is active"`
	Events         int64   `json:"events" jsonschema:"the number of its hooks, decisions, todo lists and registrations"`
	Prompts        int64   `json:"prompts" jsonschema:"the number of prompts that the user submitted"`
}

// SessionDetails is a session as session.get returns it.
type SessionDetails struct {
	Session
	Decisions SessionDecisions `json:"decisions"`
	Tools     []SessionTool    `json:"tools" jsonschema:"in the order of their first use"`
	Todos     []Value          `json:"todos" jsonschema:"the last list, each with id, text and status"`
	Tasks     SessionTasks     `json:"tasks"`
}

// SessionDecisions counts the decisions of the policy about uses of tools.
type SessionDecisions struct {
	Allow int64 `json:"allow"`
	Ask   int64 `json:"ask"`
	Deny  int64 `json:"deny"`
}

// SessionTool is what a session did with a tool.
type SessionTool struct {
	Name      string `json:"name"`
	Requested int64  `json:"requested"`
	Finished  int64  `json:"finished" jsonschema:"including failed ones"`
	Failed    int64  `json:"failed"`
	Denied    int64  `json:"denied"`
	TotalMS   int64  `json:"totalMs"`
	MaxMS     int64  `json:"maxMs"`
}

// SessionTasks are the tasks that an instance claimed while it had the session and that no other
// instance claimed since.
type SessionTasks struct {
	Claimed   int64         `json:"claimed"`
	Completed int64         `json:"completed"`
	Failed    int64         `json:"failed"`
	Recent    []SessionTask `json:"recent" jsonschema:"the last claimed first, at most 100"`
}

// SessionTask is a task of a session.
type SessionTask struct {
	ID          TaskID  `json:"id"`
	Status      string  `json:"status"`
	Attempt     int64   `json:"attempt"`
	ClaimedAt   string  `json:"claimedAt"`
	CompletedAt *string `json:"completedAt"`
	DurationMS  *int64  `json:"durationMs"`
}

// GetSessionParams are the params of session.get.
type GetSessionParams struct {
	ID ID `json:"id" jsonschema:"the session to read"`
}

// GetSessionResult is the result of session.get.
type GetSessionResult struct {
	SessionDetails
	Behind *Behind `json:"behind,omitempty"`
}

// ListSessionsParams are the params of session.list.
type ListSessionsParams struct {
	InstanceID ID     `json:"instanceId,omitempty" jsonschema:"only sessions whose last instance is this one"`
	Active     *bool  `json:"active,omitempty" jsonschema:"only sessions that have not ended, or only those that have"`
	Limit      *int   `json:"limit,omitempty" jsonschema:"default 50, over MCP 20"`
	Cursor     string `json:"cursor,omitempty" jsonschema:"the nextCursor of the page before"`
}

// ListSessionsResult is the result of session.list.
type ListSessionsResult struct {
	Sessions   []Session `json:"sessions"`
	NextCursor string    `json:"nextCursor,omitempty" jsonschema:"left out on the last page"`
	Behind     *Behind   `json:"behind,omitempty"`
}

// SessionQuery selects sessions, the newest activity first.
type SessionQuery struct {
	InstanceID string // the last instance that had it; "" does not filter
	Active     *bool  // whether it has not ended; nil does not filter
	Limit      int    // at least 1
	// Before is a position in the order: only sessions behind it are listed. 0 is the start.
	Before int64
}
