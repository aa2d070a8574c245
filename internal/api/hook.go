package api

// RecordHookParams are the params of hook.record.
type RecordHookParams struct {
	Hook Object `json:"hook" jsonschema:"the hook's body as Claude Code sends it"`
}

// RecordHookResult is the result of hook.record.
type RecordHookResult struct {
	EventID string `json:"eventId" jsonschema:"the ID of the hook's event in the log"`
}

// HookDecision is what the coordinator's policy decided about the use of a tool.
type HookDecision struct {
	Decision string // HookAllow, HookAsk or HookDeny
	Rule     int    // its place in the policy; the first rule is 1
	Reason   string // "" if the rule gives none
}

// What a policy can decide.
const (
	HookAllow = "allow" // the tool runs without asking the user
	HookAsk   = "ask"   // the user decides
	HookDeny  = "deny"  // the tool does not run
)
