package claudehook

import (
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// NoOpinion is the answer to a hook that nobody decides about.
const NoOpinion = "{}"

// Asks reports whether Claude Code asks with hooks of a type whether a tool may be used.
func Asks(t events.Type) bool {
	return t == events.TypeHookToolRequested || t == events.TypeHookPermissionRequested
}

// Answer returns a decision (allow, ask or deny) about the use of a tool as Claude Code reads it in the
// answer to a hook of a type for which Asks is true.
func Answer(t events.Type, decision, reason string) []byte {
	if t == events.TypeHookToolRequested {
		return specific(preToolUse{"PreToolUse", decision, reason})
	}
	// Claude Code sends PermissionRequest when it is about to ask the user. To let it ask is to have no
	// opinion.
	switch decision {
	case api.HookAllow:
		return specific(permissionRequest{"PermissionRequest", behavior{Behavior: "allow"}})
	case api.HookDeny:
		return specific(permissionRequest{"PermissionRequest", behavior{"deny", reason}})
	}
	return []byte(NoOpinion)
}

type preToolUse struct {
	Event    string `json:"hookEventName"`
	Decision string `json:"permissionDecision"`
	Reason   string `json:"permissionDecisionReason,omitempty"`
}

type permissionRequest struct {
	Event    string   `json:"hookEventName"`
	Decision behavior `json:"decision"`
}

type behavior struct {
	Behavior string `json:"behavior"`
	Message  string `json:"message,omitempty"`
}

func specific(output any) []byte {
	text, _ := jsontext.Marshal(map[string]any{"hookSpecificOutput": output}) // strings always encode
	return text
}
