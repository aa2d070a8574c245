package queue

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

type pauseQueueArgs struct{ Queue, Reason, Actor string }

var pauseQueue = lua.Bind[pauseQueueArgs]("pause_queue")

func pauseMethod() (*command.Method, error) {
	return command.New[api.PauseQueueParams, api.PausesResult](command.Spec{
		Name: "queue.pause",
		Description: "Pause a queue, or all queues: nothing is claimed or auto-assigned from it until queue.resume. " +
			"Claimed tasks go on. A queue that is paused already keeps its pause.",
		Limit:   60,
		Timeout: 5 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Operators,
		Effect:  command.Sets,
		Hidden:  true,
		Refine: func(p map[string]*jsonschema.Schema) {
			refineRoles(p)
			params.Text(p["reason"])
		},
	}, func(ctx context.Context, c *command.Call, p *api.PauseQueueParams) (json.RawMessage, error) {
		return command.Decide(ctx, c, pauseQueue, "", pauseQueueArgs{Queue: queueOf(p.Roles), Reason: p.Reason, Actor: c.Actor("")})
	})
}
