package commands

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// GetTaskParams are the params of task.get.
type GetTaskParams struct {
	ID api.TaskID `json:"id"`
}

var getTask = lua.Named("get_task")

func taskGet() (*Method, error) {
	return method[GetTaskParams, api.Task](spec{
		name:        "task.get",
		description: "Read a task as it stands now. Finished ones are kept for a week; task.list has them for longer.",
		limit:       6000,
		timeout:     5 * time.Second,
		breaker:     Breaker{Failures: 5, Open: 30 * time.Second},
		roles:       readers,
		effect:      Reads,
	}, func(ctx context.Context, c *call, p *GetTaskParams) (json.RawMessage, error) {
		return c.decide(ctx, getTask, "", string(p.ID))
	})
}
