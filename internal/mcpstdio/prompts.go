package mcpstdio

import (
	"context"
	"errors"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// prompts are the coordinator's prompts in the words for an agent that need not register.
var prompts = []struct{ name, title, description, text string }{
	{
		"work", "Work on tasks", "Take tasks from the queue and finish them, until none is left.",
		`You are a worker of a ClaudeBench fleet. You are registered already, and stay so however long you think.

1. Take a task: task_claim. It waits up to half a minute for one.
2. If claimed is false, there is nothing to do now: stop.
3. Do the work that the task's text and metadata ask for.
4. Finish it: task_complete with id, the attempt of the claim, and result (or error, if it cannot be done). If the answer is NOT_OWNER or STALE_ATTEMPT, another worker has the task: drop the work.
5. Go on with step 1.

A line that begins with "Note:" tells what happened to your tasks meanwhile. Every error says in its last line what to do next.`,
	},
	{
		"lead", "Lead a fleet", "Split a goal into tasks, hand them to the fleet, and collect the results.",
		`You lead a ClaudeBench fleet. Others do the work.

1. Split the goal into tasks that one worker can finish alone. Write each text so that it needs no other context.
2. Create them: task_create for a few; task_create_many for up to a thousand. A higher priority goes first. metadata.roles limits a task to workers that have these roles.
3. Watch them: task_list with a status, or system_get_state for an overview. Wait between two calls; do not poll more than every ten seconds.
4. Read the result of each completed task with task_get. Create a task anew if it failed and is still needed, with what you learned from its error.
5. When all are done, put the results together.

Every error says in its last line what to do next.`,
	},
}

// passOn is middleware. It answers for prompts and resources with what the coordinator has, and for
// this program's prompts with its own texts.
func (s *server) passOn(next sdk.MethodHandler) sdk.MethodHandler {
	return func(ctx context.Context, method string, r sdk.Request) (sdk.Result, error) {
		switch method {
		case "prompts/list":
			return s.listPrompts(ctx)
		case "prompts/get":
			return s.getPrompt(ctx, r)
		case "resources/list":
			return forward(ctx, s, method, r, &sdk.ListResourcesResult{Resources: []*sdk.Resource{}})
		case "resources/templates/list":
			return forward(ctx, s, method, r, &sdk.ListResourceTemplatesResult{ResourceTemplates: []*sdk.ResourceTemplate{}})
		case "resources/read":
			return forward(ctx, s, method, r, new(sdk.ReadResourceResult))
		}
		return next(ctx, method, r)
	}
}

// forward asks the coordinator and returns its answer.
func forward[R sdk.Result](ctx context.Context, s *server, method string, r sdk.Request, into R) (sdk.Result, error) {
	params := map[string]any{}
	switch p := r.GetParams().(type) {
	case *sdk.ReadResourceParams:
		params["uri"] = p.URI
	case *sdk.GetPromptParams:
		params["name"], params["arguments"] = p.Name, p.Arguments
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err := s.upstream.ask(ctx, method, params, into)
	var refused *refusedError
	switch {
	case errors.As(err, &refused):
		return nil, &jsonrpc.Error{Code: refused.Code, Message: refused.Message, Data: refused.Data}
	case err != nil:
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: s.explain(err)}
	}
	return into, nil
}

// listPrompts lists this program's prompts and those of the coordinator that it does not have.
func (s *server) listPrompts(ctx context.Context) (sdk.Result, error) {
	list := &sdk.ListPromptsResult{Cacheable: sdk.Cacheable{CacheScope: "public"}}
	have := map[string]bool{}
	for _, p := range prompts {
		have[p.name] = true
		list.Prompts = append(list.Prompts, &sdk.Prompt{Name: p.name, Title: p.title, Description: p.description})
	}
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	var more sdk.ListPromptsResult
	if s.upstream.ask(ctx, "prompts/list", map[string]any{}, &more) == nil { // without a coordinator there are no more
		for _, p := range more.Prompts {
			if !have[p.Name] {
				list.Prompts = append(list.Prompts, p)
			}
		}
	}
	return list, nil
}

func (s *server) getPrompt(ctx context.Context, r sdk.Request) (sdk.Result, error) {
	params, ok := r.GetParams().(*sdk.GetPromptParams)
	if !ok || params == nil {
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "params are missing"}
	}
	for _, p := range prompts {
		if p.name == params.Name {
			return &sdk.GetPromptResult{
				Description: p.description,
				Messages:    []*sdk.PromptMessage{{Role: "user", Content: &sdk.TextContent{Text: p.text}}},
			}, nil
		}
	}
	return forward(ctx, s, "prompts/get", r, new(sdk.GetPromptResult))
}

// reword makes the hint of an error fit an agent that need not register and knows its id from the
// instructions only.
func (s *server) reword(answer *sdk.CallToolResult) {
	for _, c := range answer.Content {
		if text, ok := c.(*sdk.TextContent); ok {
			text.Text = strings.NewReplacer(
				"with this taskId and your own instanceId", "with this taskId",
				"then task_assign with your own instanceId", "then task_assign with this taskId",
				"If assignedTo is your own instance", "If assignedTo is "+string(encode(s.o.ID))+", which is you",
				" If it had an idempotencyKey, repeat it with the same key. Otherwise read", " If it claims, creates or completes tasks, repeat it with the same arguments. Otherwise read",
				"call system_register for this instance, with the same id, roles and metadata.sessionId as before (and a larger ttlMs if its work takes long). "+
					"Then repeat this call unchanged.", "repeat this call unchanged; this server registers you again.",
			).Replace(text.Text)
		}
	}
}
