package hooks

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/claudehook"
	"github.com/claudebench/claudebench/internal/httpapi"
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
	if i := slices.Index(decisionNames[:], decided.Decision); i >= 0 {
		h.decisions[i].Add(1)
	}
	return decided, claudehook.Answer(parsed.Type, decided.Decision, decided.Reason)
}

// maxBeginning is how much of a body is kept in case that it cannot be read as a whole. Claude Code
// sends the hook's name before the tool's input.
const maxBeginning = 16 << 10

// maxRest is how much of a body that is too long is read, because Claude Code reads the answer only
// when it has sent all.
const maxRest = 64 << 20

// limited writes the beginning of what is written to it.
type limited struct{ to *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	l.to.Write(p[:min(len(p), maxBeginning-l.to.Len())])
	return len(p), nil
}

// ask answers a hook that is too long or too deep for the policy: a use of a tool must not evade the
// rules by its size, so the user is asked about it. It reports whether it has answered. Without a
// policy it does not.
func (h *Handler) ask(w http.ResponseWriter, r *http.Request, beginning *bytes.Buffer) bool {
	if h.options.Policy == nil {
		return false
	}
	_, _ = io.CopyN(io.Discard, r.Body, maxBeginning) // a body that says that it is too long is not read yet
	if hookName(beginning.Bytes()) != "PreToolUse" {
		return false
	}
	_, _ = io.CopyN(io.Discard, r.Body, maxRest) // the client may have gone
	h.counts[refused].Add(1)
	h.decisions[slices.Index(decisionNames[:], api.HookAsk)].Add(1)
	httpapi.WriteResult(w, claudehook.Answer(events.TypeHookToolRequested, api.HookAsk, "the input is too long or too deep for the coordinator's policy"))
	return true
}

// hookName returns the name of a hook of which only the beginning is there, or "".
func hookName(beginning []byte) string {
	in := json.NewDecoder(bytes.NewReader(beginning))
	if start, err := in.Token(); err != nil || start != json.Delim('{') {
		return ""
	}
	for {
		key, err := in.Token()
		if err != nil {
			return ""
		}
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return ""
		}
		if key == "hook_event_name" {
			var name string
			_ = json.Unmarshal(value, &name) // "" for what is no string
			return name
		}
	}
}
