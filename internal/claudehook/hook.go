package claudehook

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// Hook is one hook. A pointer is nil if the hook does not have the member, or not in a form that can
// be stored.
type Hook struct {
	Name      string      // of the hook; "" if it has none that can be stored
	Type      events.Type // of its event
	SessionID *string
	AgentID   *string
	AgentType *string
	PromptID  *string
	Tool      *string
	ToolUseID *string
	Duration  *int64 // ms
	Outcome   *string
	Reason    *string
	// Input is the tool's input, or nil.
	Input json.RawMessage

	bytes    int // length of the body
	members  []member
	response []byte // the tool's result, or nil
	reason   string // the member that Reason is from, or ""
}

// member is a member of the body.
type member struct {
	name  string
	value []byte
}

// kind is what a known hook becomes.
type kind struct {
	typ     events.Type
	reason  string // the member with the hook's own word for why, or ""
	outcome string // "" if the hook has none
}

// kinds are the hooks that have an event type of their own.
var kinds = map[string]kind{
	"SessionStart":       {typ: events.TypeHookSessionStarted, reason: "source"},
	"UserPromptSubmit":   {typ: events.TypeHookPromptSubmitted},
	"PreToolUse":         {typ: events.TypeHookToolRequested},
	"PermissionRequest":  {typ: events.TypeHookPermissionRequested},
	"PermissionDenied":   {typ: events.TypeHookPermissionDenied, outcome: events.HookDenied},
	"PostToolUse":        {typ: events.TypeHookToolFinished, outcome: events.HookOK},
	"PostToolUseFailure": {typ: events.TypeHookToolFinished, outcome: events.HookFailed},
	"Notification":       {typ: events.TypeHookNotified, reason: "notification_type"},
	"SubagentStart":      {typ: events.TypeHookSubagentStarted},
	"SubagentStop":       {typ: events.TypeHookSubagentStopped, outcome: events.HookOK},
	"TaskCreated":        {typ: events.TypeHookTaskCreated},
	"TaskCompleted":      {typ: events.TypeHookTaskCompleted},
	"PreCompact":         {typ: events.TypeHookCompactionStarted, reason: "trigger"},
	"PostCompact":        {typ: events.TypeHookCompactionFinished, reason: "trigger"},
	"Stop":               {typ: events.TypeHookStopped, outcome: events.HookOK},
	"StopFailure":        {typ: events.TypeHookStopped, reason: "error", outcome: events.HookFailed},
	"SessionEnd":         {typ: events.TypeHookSessionEnded, reason: "reason"},
}

// Parse reads a hook's body: a valid, compact JSON object. Of several members with one name the last
// one counts. The hook shares the body's memory.
func Parse(body []byte) *Hook {
	h := &Hook{Type: events.TypeHookReceived, bytes: len(body)}
	h.members = membersOf(body)
	if name := identifier(h.member("hook_event_name")); name != nil {
		h.Name = *name
	}
	known, ok := kinds[h.Name]
	if ok {
		h.Type = known.typ
	}
	h.SessionID, h.PromptID = identifier(h.member("session_id")), identifier(h.member("prompt_id"))
	h.AgentID, h.AgentType = identifier(h.member("agent_id")), identifier(h.member("agent_type"))
	h.Tool, h.ToolUseID = identifier(h.member("tool_name")), identifier(h.member("tool_use_id"))
	h.Duration = milliseconds(h.member("duration_ms"))
	h.Input, h.response = h.member("tool_input"), h.member("tool_response")
	if known.outcome != "" {
		h.Outcome = &known.outcome
	}
	interrupted := h.member("is_interrupt")
	if h.Name == "PostToolUse" {
		interrupted = find(h.response, "interrupted")
	}
	if h.Type == events.TypeHookToolFinished && string(interrupted) == "true" {
		h.Outcome = new(events.HookInterrupted)
	}
	if known.reason != "" {
		if h.Reason = word(h.member(known.reason)); h.Reason != nil {
			h.reason = known.reason
		}
	}
	return h
}

// membersOf returns the members of an object in order, the last of each name.
func membersOf(object []byte) []member {
	var list []member
	at := map[string]int{}
	for name, value := range jsontext.Members(object) {
		if i, again := at[name]; again {
			list[i].value = value
			continue
		}
		at[name] = len(list)
		list = append(list, member{name, value})
	}
	return list
}

// member returns the value of a member of the body, or nil.
func (h *Hook) member(name string) []byte {
	for i := range h.members {
		if h.members[i].name == name {
			return h.members[i].value
		}
	}
	return nil
}

// find returns the value of a member of an object, or nil. Of several members with the name the last
// one counts.
func find(object []byte, name string) (value []byte) {
	for n, v := range jsontext.Members(object) {
		if n == name {
			value = v
		}
	}
	return value
}

// maxID is the maximum length of an id or a name in bytes, as for the ids in the API.
const maxID = 256

// identifier returns a string that can be an id, or nil.
func identifier(value []byte) *string {
	// An escape has at most six bytes for one of text.
	if len(value) < 2 || value[0] != '"' || len(value) > 6*maxID+2 {
		return nil
	}
	s := jsontext.Unquote(value)
	if s == "" || len(s) > maxID || !utf8.ValidString(s) {
		return nil
	}
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return nil
		}
	}
	return &s
}

// text returns a string, or nil.
func text(value []byte) *string {
	if len(value) == 0 || value[0] != '"' {
		return nil
	}
	return new(jsontext.Unquote(value))
}

// maxWord is the maximum length of a word in bytes.
const maxWord = 64

// plain reports whether a name consists of letters, digits and a few signs, and is short. Such a
// name is hardly text of a user.
func plain(s string) bool {
	if s == "" || len(s) > maxWord {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == ':') {
			return false
		}
	}
	return true
}

// word returns a string that is a plain name, or nil.
func word(value []byte) *string {
	if s := identifier(value); s != nil && plain(*s) {
		return s
	}
	return nil
}

// milliseconds returns a duration in whole milliseconds, or nil.
func milliseconds(value []byte) *int64 {
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil || f < 0 || f > jsontext.MaxInteger {
		return nil
	}
	return new(int64(f))
}
