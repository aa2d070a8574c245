package commands

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// AssignTaskParams are the params of task.assign.
type AssignTaskParams struct {
	TaskID     api.TaskID `json:"taskId"`
	InstanceID api.ID     `json:"instanceId"`
}

// AssignTaskResult is the result of task.assign.
type AssignTaskResult struct {
	TaskID     api.TaskID `json:"taskId"`
	InstanceID string     `json:"instanceId"`
	AssignedAt string     `json:"assignedAt"`
}

var assignTask = lua.Named("assign_task")

func taskAssign() (*Method, error) {
	return method[AssignTaskParams, AssignTaskResult](spec{
		name:        "task.assign",
		description: "Assign a waiting task to an instance that has the roles it asks for. It stays there until it is claimed or unassigned.",
		limit:       6000,
		timeout:     5 * time.Second,
		breaker:     Breaker{Failures: 5, Open: 30 * time.Second},
		roles:       writers,
		effect:      Sets,
	}, func(ctx context.Context, c *call, p *AssignTaskParams) (json.RawMessage, error) {
		if err := c.mayName(string(p.InstanceID)); err != nil {
			return nil, err
		}
		return c.decide(ctx, assignTask, "", string(p.TaskID), string(p.InstanceID), c.agent())
	})
}
