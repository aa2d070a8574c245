package task

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/lua"
)

type getTaskArgs struct {
	ID           string
	Dependencies bool
}

// maxDependencies is the maximum size of what the answer says of the tasks that a task depends on, in
// bytes: results and errors of 1 MiB, and the rest.
const maxDependencies = 1<<20 + 64<<10

var getTask = lua.Bind[getTaskArgs]("get_task")

func getMethod() (*command.Method, error) {
	return command.New[api.GetTaskParams, api.Task](command.Spec{
		Name:        "task.get",
		Description: "Read the current state of a task. Finished tasks are kept for a week by default; task.list keeps them for longer.",
		Limit:       6000,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Readers,
		MCPHidden:   []string{"dependencies"},
		Effect:      command.Reads,
	}, func(ctx context.Context, c *command.Call, p *api.GetTaskParams) (json.RawMessage, error) {
		size := int64(maxTask)
		if p.Dependencies {
			size += maxDependencies
		}
		if err := answers.Reserve(ctx, size); err != nil {
			return nil, err
		}
		return command.Decide(ctx, c, getTask, "", getTaskArgs{ID: string(p.ID), Dependencies: p.Dependencies})
	})
}
