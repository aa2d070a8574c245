package commands

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/lua"
)

// DeleteTaskParams are the params of task.delete.
type DeleteTaskParams struct {
	ID api.TaskID `json:"id"`
}

// DeleteTaskResult is the result of task.delete.
type DeleteTaskResult struct {
	ID        api.TaskID `json:"id"`
	Deleted   bool       `json:"deleted"`
	DeletedAt string     `json:"deletedAt"`
}

var deleteTask = lua.Named("delete_task")

func taskDelete() (*Method, error) {
	return method[DeleteTaskParams, DeleteTaskResult](spec{
		name:        "task.delete",
		description: "Delete a task, whatever its status. Who works on it is told when finishing it.",
		limit:       600,
		timeout:     5 * time.Second,
		breaker:     Breaker{Failures: 5, Open: 30 * time.Second},
		roles:       writers,
		effect:      Destroys,
	}, func(ctx context.Context, c *call, p *DeleteTaskParams) (json.RawMessage, error) {
		return c.decide(ctx, deleteTask, "", string(p.ID), jsontext.Quote(c.actor("")), c.agent())
	})
}
