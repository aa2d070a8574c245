package claudehook

import (
	"testing"

	"github.com/claudebench/claudebench/events"
)

// The answers have the members of Claude Code's hooks reference, and a reason as it is written.
func TestAnswer(t *testing.T) {
	t.Parallel()
	const tool, permission = events.TypeHookToolRequested, events.TypeHookPermissionRequested
	for _, c := range []struct {
		to                     events.Type
		decision, reason, want string
	}{
		{tool, "deny", `use <b> & "c"`, `{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"use <b> & \"c\""}}`},
		{tool, "ask", "why", `{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"ask","permissionDecisionReason":"why"}}`},
		{tool, "allow", "", `{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"allow"}}`},
		{permission, "deny", "no", `{"hookSpecificOutput":{"hookEventName":"PermissionRequest","decision":{"behavior":"deny","message":"no"}}}`},
		{permission, "allow", "yes", `{"hookSpecificOutput":{"hookEventName":"PermissionRequest","decision":{"behavior":"allow"}}}`},
		{permission, "ask", "why", `{}`},
	} {
		if got := string(Answer(c.to, c.decision, c.reason)); !Asks(c.to) || got != c.want {
			t.Errorf("%s %s: got  %s\nwant %s", c.to, c.decision, got, c.want)
		}
	}
	if Asks(events.TypeHookToolFinished) {
		t.Error("a tool that has run is asked about")
	}
}
