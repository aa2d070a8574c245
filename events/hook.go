package events

import "encoding/json"

// HookSourceClaudeCode is the source of hooks that Claude Code sent.
const HookSourceClaudeCode = "claude-code"

// Hook is the payload of every type that starts with hook., except hook.decided: an agent's program
// reported a step of a session. A member is null if the hook does not have it.
type Hook struct {
	Source     string          `json:"source" jsonschema:"the program that sent the hook: claude-code"`
	Name       string          `json:"name" jsonschema:"the name of the hook, as the program calls it: PreToolUse"`
	SessionID  *string         `json:"sessionId" jsonschema:"the session; null also if it is longer than an id may be"`
	InstanceID *string         `json:"instanceId" jsonschema:"the instance that is registered with this session in its metadata"`
	AgentID    *string         `json:"agentId" jsonschema:"the subagent that did the step, or that the step is about"`
	AgentType  *string         `json:"agentType" jsonschema:"the type of that subagent"`
	PromptID   *string         `json:"promptId" jsonschema:"the user's prompt that the step belongs to"`
	Tool       *string         `json:"tool" jsonschema:"the name of the tool"`
	ToolUseID  *string         `json:"toolUseId" jsonschema:"the same for the request and the end of a use of a tool"`
	DurationMS *int64          `json:"durationMs" jsonschema:"duration of the tool's run in ms"`
	Outcome    *string         `json:"outcome" jsonschema:"ok, failed, interrupted or denied"`
	Reason     *string         `json:"reason" jsonschema:"the hook's own word for why: how a session started or ended, the type of a notification, the kind of error. It is never free text"`
	Content    json.RawMessage `json:"content" jsonschema:"what the coordinator may store of the step's inputs and results: null, or an object with level, bytes, fields and cut"`
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
	Level  string          `json:"level" jsonschema:"the level of --hook-content that it was stored with: names or full"`
	Bytes  int64           `json:"bytes" jsonschema:"length of the hook's body in bytes"`
	Fields json.RawMessage `json:"fields" jsonschema:"the members of the body that the event has no member for. Level full: the values. Level names: an object for each, whose member bytes is the length of its JSON text; that of a tool's input also has the lengths of its members by name in members"`
	Cut    []string        `json:"cut" jsonschema:"the fields that did not fit: each is a string with the beginning of its text or of its JSON text, or absent"`
}

// HookDecided is the payload of hook.decided: the policy of the coordinator decided about a use of
// a tool.
type HookDecided struct {
	Source     string  `json:"source" jsonschema:"the program that sent the hook: claude-code"`
	Name       string  `json:"name" jsonschema:"the hook that was answered"`
	SessionID  *string `json:"sessionId" jsonschema:"the session; null if there is none"`
	InstanceID *string `json:"instanceId" jsonschema:"the instance that is registered with this session"`
	Tool       *string `json:"tool" jsonschema:"the name of the tool"`
	ToolUseID  *string `json:"toolUseId" jsonschema:"the same for the request and the end of a use of a tool"`
	Decision   string  `json:"decision" jsonschema:"allow, ask or deny"`
	Rule       int64   `json:"rule" jsonschema:"its place in the policy; the first rule is 1"`
	Reason     *string `json:"reason" jsonschema:"as the rule gives it"`
}

// TodoUpdated is the payload of todo.updated: the whole list of what an agent's session plans, after
// a change of it.
type TodoUpdated struct {
	Source     string  `json:"source" jsonschema:"the program that sent the hook: claude-code"`
	SessionID  string  `json:"sessionId" jsonschema:"the session"`
	InstanceID *string `json:"instanceId" jsonschema:"the instance that is registered with this session"`
	Todos      []Todo  `json:"todos" jsonschema:"the whole list, in the order of their creation"`
	Dropped    int64   `json:"dropped" jsonschema:"todos that were left out because the list was longer than it may be"`
}

// Todo is an entry of the list of a session.
type Todo struct {
	ID     string `json:"id" jsonschema:"as the agent's program calls it"`
	Text   string `json:"text" jsonschema:"empty if the coordinator may not store it, or if it was not told"`
	Status string `json:"status" jsonschema:"pending, in_progress or completed"`
}
