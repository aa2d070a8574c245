package mcp

import (
	"context"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// prompt is a text that a user starts an agent with.
type prompt struct{ name, title, description, text string }

// prompts are the roles that an agent plays in a fleet.
var prompts = []prompt{
	{
		name: "work", title: "Work on tasks", description: "Take tasks from the queue and finish them, until none is left.",
		text: `You are a worker of a ClaudeBench fleet.

1. Register once: system_register with an id of your own (for example your host and a number), roles ["worker"] and metadata.sessionId.
2. Take a task: task_claim with your id as workerId and a new idempotencyKey. If the call fails or you get no answer, repeat it with the same key.
3. If claimed is false, there is nothing to do now: call system_unregister and stop.
4. Do the work that the task's text and metadata ask for. If it takes longer than eight minutes, call system_heartbeat in between.
5. Finish it: task_complete with id, workerId, the attempt of the claim, and result (or error, if it cannot be done). If the answer is NOT_OWNER or STALE_ATTEMPT, another worker has the task: drop the work.
6. Go on with step 2.

Every error says in its last line what to do next.`,
	},
	{
		name: "lead", title: "Lead a fleet", description: "Split a goal into tasks, hand them to the fleet, and collect the results.",
		text: `You lead a ClaudeBench fleet. Others do the work.

1. Split the goal into tasks that one worker can finish alone. Write each text so that it needs no other context.
2. Create them: task_create for a few, each with an idempotencyKey; task_create_many for up to a thousand. A higher priority goes first. metadata.roles limits a task to workers that have these roles.
3. Watch them: task_list with a status, or system_get_state for an overview. Wait between two calls; do not poll more than every ten seconds.
4. Read the result of each completed task with task_get. Create a task anew if it failed and is still needed, with what you learned from its error.
5. When all are done, put the results together.

Every error says in its last line what to do next.`,
	},
}

// addPrompts adds the prompts. They take no arguments.
func addPrompts(server *sdk.Server) {
	for _, p := range prompts {
		server.AddPrompt(&sdk.Prompt{Name: p.name, Title: p.title, Description: p.description},
			func(context.Context, *sdk.GetPromptRequest) (*sdk.GetPromptResult, error) {
				return &sdk.GetPromptResult{
					Description: p.description,
					Messages:    []*sdk.PromptMessage{{Role: "user", Content: &sdk.TextContent{Text: p.text}}},
				}, nil
			})
	}
}
