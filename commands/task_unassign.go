package commands

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// UnassignTaskParams are the params of task.unassign.
type UnassignTaskParams struct {
	TaskID api.TaskID `json:"taskId"`
}

// UnassignTaskResult is the result of task.unassign.
type UnassignTaskResult struct {
	TaskID             api.TaskID `json:"taskId"`
	PreviousAssignment string     `json:"previousAssignment"`
	UnassignedAt       string     `json:"unassignedAt"`
}

var unassignTask = lua.Named("unassign_task")

func taskUnassign() (*Method, error) {
	return method[UnassignTaskParams, UnassignTaskResult](spec{
		name:        "task.unassign",
		description: "Take a task from its owner, claimed or not, and put it back with its priority and place.",
		limit:       6000,
		timeout:     5 * time.Second,
		breaker:     Breaker{Failures: 5, Open: 30 * time.Second},
		roles:       writers,
		effect:      Sets,
	}, func(ctx context.Context, c *call, p *UnassignTaskParams) (json.RawMessage, error) {
		return c.decide(ctx, unassignTask, "", string(p.TaskID), c.agent())
	})
}
