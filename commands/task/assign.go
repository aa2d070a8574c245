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

type assignTaskArgs struct{ ID, Instance, Agent string }

var assignTask = lua.Bind[assignTaskArgs]("assign_task")

func assignMethod() (*command.Method, error) {
	return command.New[api.AssignTaskParams, api.AssignTaskResult](command.Spec{
		Name:        "task.assign",
		Description: "Assign a waiting task to an instance that has the required roles. It stays there until it is claimed or unassigned.",
		Limit:       6000,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Writers,
		Effect:      command.Sets,
	}, func(ctx context.Context, c *command.Call, p *api.AssignTaskParams) (json.RawMessage, error) {
		if err := c.MayName(string(p.InstanceID)); err != nil {
			return nil, err
		}
		return command.Decide(ctx, c, assignTask, "", assignTaskArgs{
			ID: string(p.TaskID), Instance: string(p.InstanceID), Agent: c.Agent(),
		})
	})
}
