package queue

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/lua"
)

type resumeQueueArgs struct{ Queue, Actor string }

var resumeQueue = lua.Bind[resumeQueueArgs]("resume_queue")

func resumeMethod() (*command.Method, error) {
	return command.New[api.ResumeQueueParams, api.PausesResult](command.Spec{
		Name: "queue.resume",
		Description: "End the pause of a queue, or that of all queues. Calls of task.claim that wait get its tasks at once. " +
			"The result lists the pauses that are left.",
		Limit:   60,
		Timeout: 5 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Operators,
		Effect:  command.Sets,
		Hidden:  true,
		Refine:  refineRoles,
	}, func(ctx context.Context, c *command.Call, p *api.ResumeQueueParams) (json.RawMessage, error) {
		return command.Decide(ctx, c, resumeQueue, "", resumeQueueArgs{Queue: queueOf(p.Roles), Actor: c.Actor("")})
	})
}
