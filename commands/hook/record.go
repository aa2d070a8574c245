package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/claudehook"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/lua"
)

type recordHookArgs struct {
	Type    string
	Hook    []byte // JSON
	Rest    []byte // JSON
	Decided []byte // JSON
	Session string
	Agent   string
	Source  []byte // JSON
	Change  string
	Todo    string // JSON
	Text    string // JSON
	Status  string
	Dropped int
	Kept    int64 // ms
}

var recordHook = lua.Bind[recordHookArgs]("record_hook")

// source is the program that hooks come from, as JSON.
var source = jsontext.Quote(events.HookSourceClaudeCode)

func (o Options) recordMethod() (*command.Method, error) {
	return command.New[api.RecordHookParams, api.RecordHookResult](command.Spec{
		Name: "hook.record",
		Description: "Record a hook of Claude Code as an event. Claude Code itself sends its hooks to POST /hooks/claude-code. " +
			"--hook-content says how much of the inputs and results is stored.",
		Limit: 30_000,
		// The agent waits for the answer, and does not need what is in it.
		Timeout: 100 * time.Millisecond,
		Breaker: breaker.Setting{Failures: 3, Open: 2 * time.Second},
		Roles:   command.Writers,
		Hidden:  true,
		Effect:  command.Adds,
	}, func(ctx context.Context, c *command.Call, p *api.RecordHookParams) (json.RawMessage, error) {
		args := o.arguments(claudehook.Parse(p.Hook), c.Decided, c.Agent())
		// The limit of bytes protects the stores, and these bytes are what is stored. An agent's
		// large results must not use up what its tasks may send.
		c.Params = args.Rest
		return command.Decide(ctx, c, recordHook, "", args)
	})
}

// arguments returns the script's arguments for a hook. decided is nil if the policy has no opinion.
func (o Options) arguments(h *claudehook.Hook, decided *api.HookDecision, agent string) recordHookArgs {
	args := recordHookArgs{Type: string(h.Type), Agent: agent, Source: source, Kept: o.Retention.Milliseconds()}
	args.Hook = text(text(text(nil, `"source":`, source), `,"name":`, jsontext.Quote(h.Name)), `,"sessionId":`, quoted(h.SessionID))
	if d := decided; d != nil {
		use := text(text(nil, `"tool":`, quoted(h.Tool)), `,"toolUseId":`, quoted(h.ToolUseID))
		args.Decided = fmt.Appendf(use, `,"decision":%s,"rule":%d,"reason":%s`, jsontext.Quote(d.Decision), d.Rule, orNull(d.Reason))
	}
	b := text(nil, `"agentId":`, quoted(h.AgentID))
	b = text(b, `,"agentType":`, quoted(h.AgentType))
	b = text(b, `,"promptId":`, quoted(h.PromptID))
	b = text(b, `,"tool":`, quoted(h.Tool))
	b = text(b, `,"toolUseId":`, quoted(h.ToolUseID))
	b = text(b, `,"durationMs":`, integer(h.Duration))
	b = text(b, `,"outcome":`, quoted(h.Outcome))
	b = text(b, `,"reason":`, quoted(h.Reason))
	content := h.Content(o.Content)
	if content == nil {
		content = null
	}
	args.Rest = text(b, `,"content":`, content)
	if h.SessionID != nil {
		args.Session = *h.SessionID
	}
	todo := h.Todo(o.Content)
	args.Change, args.Todo, args.Text, args.Status, args.Dropped = string(todo.Change), todo.ID, todo.Text, todo.Status, todo.Dropped
	return args
}

var null = []byte("null")

// text appends the name of a member, as JSON, and its value.
func text(b []byte, name string, value []byte) []byte { return append(append(b, name...), value...) }

func quoted(s *string) []byte {
	if s == nil {
		return null
	}
	return jsontext.Quote(*s)
}

func orNull(s string) []byte {
	if s == "" {
		return null
	}
	return jsontext.Quote(s)
}

func integer(n *int64) []byte {
	if n == nil {
		return null
	}
	return strconv.AppendInt(nil, *n, 10)
}
