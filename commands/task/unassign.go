package task

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/lua"
)

type unassignTaskArgs struct {
	ID, Agent string
	Retention int64 // ms
}

var unassignTask = lua.Bind[unassignTaskArgs]("unassign_task")

func (o Options) unassignMethod() (*command.Method, error) {
	return command.New[api.UnassignTaskParams, api.UnassignTaskResult](command.Spec{
		Name:        "task.unassign",
		Description: "Take a task from its owner, claimed or not, and return it to its queue with its priority and position.",
		Limit:       6000,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Writers,
		Effect:      command.Sets,
	}, func(ctx context.Context, c *command.Call, p *api.UnassignTaskParams) (json.RawMessage, error) {
		return command.Decide(ctx, c, unassignTask, "", unassignTaskArgs{ID: string(p.TaskID), Agent: c.Agent(), Retention: o.Retention.Milliseconds()})
	})
}
