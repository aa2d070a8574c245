package hooks

import (
	"encoding/json"
	"slices"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/claudehook"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// decisionNames are the decisions in the order in which they are counted.
var decisionNames = [...]string{api.HookAllow, api.HookAsk, api.HookDeny}

// noOpinion is the answer to a hook that nobody has an opinion on.
var noOpinion = []byte(`{}`)

// Decisions returns how many hooks were answered with each decision of the policy.
func (h *Handler) Decisions() map[string]uint64 {
	counts := make(map[string]uint64, len(decisionNames))
	for i, name := range decisionNames {
		counts[name] = h.decisions[i].Load()
	}
	return counts
}

// decide returns what the policy decides about a hook, nil for nothing, and the answer to it. The
// policy is asked about the uses of tools that have not begun.
func (h *Handler) decide(hook json.RawMessage) (decided *api.HookDecision, answer []byte) {
	if h.options.Policy == nil {
		return nil, noOpinion
	}
	parsed := claudehook.Parse(hook)
	answerOf := answers[parsed.Type]
	if answerOf == nil {
		return nil, noOpinion
	}
	tool := ""
	if parsed.Tool != nil {
		tool = *parsed.Tool
	}
	if decided = h.options.Policy(tool, parsed.Input); decided == nil {
		return nil, noOpinion
	}
	if i := slices.Index(decisionNames[:], decided.Decision); i >= 0 {
		h.decisions[i].Add(1)
	}
	return decided, answerOf(decided)
}

// answers return a decision as Claude Code reads it in the answer to a hook.
var answers = map[events.Type]func(*api.HookDecision) []byte{
	events.TypeHookToolRequested:       requested,
	events.TypeHookPermissionRequested: permission,
}

type preToolUse struct {
	Event    string `json:"hookEventName"`
	Decision string `json:"permissionDecision"`
	Reason   string `json:"permissionDecisionReason,omitempty"`
}

func requested(d *api.HookDecision) []byte {
	return specific(preToolUse{"PreToolUse", d.Decision, d.Reason})
}

type permissionRequest struct {
	Event    string   `json:"hookEventName"`
	Decision behavior `json:"decision"`
}

type behavior struct {
	Behavior string `json:"behavior"`
	Message  string `json:"message,omitempty"`
}

// permission answers the hook that Claude Code sends when it is about to ask the user. To let it ask
// is to have no opinion.
func permission(d *api.HookDecision) []byte {
	switch d.Decision {
	case api.HookAllow:
		return specific(permissionRequest{"PermissionRequest", behavior{Behavior: "allow"}})
	case api.HookDeny:
		return specific(permissionRequest{"PermissionRequest", behavior{"deny", d.Reason}})
	}
	return noOpinion
}

func specific(output any) []byte {
	text, _ := jsontext.Marshal(map[string]any{"hookSpecificOutput": output}) // strings always encode
	return text
}
