package hooks

import (
	"encoding/json"
	"slices"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/claudehook"
)

// decisionNames are the decisions in the order in which they are counted.
var decisionNames = [...]string{api.HookAllow, api.HookAsk, api.HookDeny}

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
		return nil, []byte(claudehook.NoOpinion)
	}
	parsed := claudehook.Parse(hook)
	if !claudehook.Asks(parsed.Type) {
		return nil, []byte(claudehook.NoOpinion)
	}
	tool := ""
	if parsed.Tool != nil {
		tool = *parsed.Tool
	}
	if decided = h.options.Policy(tool, parsed.Input); decided == nil {
		return nil, []byte(claudehook.NoOpinion)
	}
	h.count(decided)
	return decided, claudehook.Answer(parsed.Type, decided.Decision, decided.Reason)
}

func (h *Handler) count(decided *api.HookDecision) {
	if i := slices.Index(decisionNames[:], decided.Decision); i >= 0 {
		h.decisions[i].Add(1)
	}
}
