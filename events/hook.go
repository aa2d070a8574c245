package events

import "encoding/json"

// HookSourceClaudeCode is the source of hooks that Claude Code sent.
const HookSourceClaudeCode = "claude-code"

// Hook is the payload of every type that starts with hook., except hook.decided: an agent's program
// reported a step of a session. A member is null if the hook does not have it.
type Hook struct {
	Source    string  `json:"source"`    // the program, "claude-code"
	Name      string  `json:"name"`      // of the hook, as the program calls it: "PreToolUse"
	SessionID *string `json:"sessionId"` // null also if it is longer than an id may be
	// InstanceID is the instance that is registered with this session in its metadata.
	InstanceID *string `json:"instanceId"`
	AgentID    *string `json:"agentId"`    // of the subagent that did the step, or that the step is about
	AgentType  *string `json:"agentType"`  // of the same subagent
	PromptID   *string `json:"promptId"`   // of the user's prompt that the step belongs to
	Tool       *string `json:"tool"`       // the name of the tool
	ToolUseID  *string `json:"toolUseId"`  // the same for the request and the end of a tool's use
	DurationMS *int64  `json:"durationMs"` // of the tool's run
	Outcome    *string `json:"outcome"`    // see HookOK
	// Reason is the hook's own word for why: how a session started or ended, the type of a
	// notification, the kind of error. It is never free text.
	Reason *string `json:"reason"`
	// Content is null, or an object of type HookContent: what the coordinator may store of the
	// step's inputs and results.
	Content json.RawMessage `json:"content"`
}

// The outcomes of a hook.
const (
	HookOK          = "ok"
	HookFailed      = "failed"
	HookInterrupted = "interrupted"
	HookDenied      = "denied"
)

// HookContent is the content of a hook, at most 16 KiB of JSON.
type HookContent struct {
	Level string `json:"level"` // of --hook-content that it was stored with: names or full
	Bytes int64  `json:"bytes"` // length of the hook's body
	// Fields has the members of the body that no member of Hook has. Level full: the values. Level
	// names: an object for each, {"bytes":n} with the length of its JSON text. That of an object
	// that is a tool's input also has the lengths of its members by name, in "members".
	Fields json.RawMessage `json:"fields"`
	// Cut names the fields that did not fit. Such a field is a string with the beginning of its
	// text or of its JSON text, or it is absent.
	Cut []string `json:"cut"`
}

// HookDecided is the payload of hook.decided: the policy of the coordinator decided about a use of
// a tool.
type HookDecided struct {
	Source     string  `json:"source"`
	Name       string  `json:"name"` // of the hook that it answered
	SessionID  *string `json:"sessionId"`
	InstanceID *string `json:"instanceId"`
	Tool       *string `json:"tool"`
	ToolUseID  *string `json:"toolUseId"`
	Decision   string  `json:"decision"` // allow, ask or deny
	Rule       int64   `json:"rule"`     // its place in the policy; the first rule is 1
	Reason     *string `json:"reason"`   // as the rule gives it
}

// TodoUpdated is the payload of todo.updated: the whole list of what an agent's session plans, after
// a change of it.
type TodoUpdated struct {
	Source     string  `json:"source"`
	SessionID  string  `json:"sessionId"`
	InstanceID *string `json:"instanceId"` // as in Hook
	Todos      []Todo  `json:"todos"`      // in the order of their creation
	// Dropped counts the todos that were left out because the list was longer than it may be.
	Dropped int64 `json:"dropped"`
}

// Todo is an entry of the list of a session.
type Todo struct {
	ID     string `json:"id"`     // as the agent's program calls it
	Text   string `json:"text"`   // empty if the coordinator may not store it, or if it was not told
	Status string `json:"status"` // pending, in_progress or completed
}
