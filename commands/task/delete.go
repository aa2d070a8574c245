package task

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/lua"
)

type deleteTaskArgs struct {
	ID       string
	Actor    []byte // JSON
	Agent    string
	Statuses string // one of which the task must have; "" for any
}

var deleteTask = lua.Bind[deleteTaskArgs]("delete_task")

func (o Options) deleteMethod() (*command.Method, error) {
	return command.New[api.DeleteTaskParams, api.DeleteTaskResult](command.Spec{
		Name:        "task.delete",
		Description: "Delete a task, whatever its status. Its worker learns of it when it completes the task.",
		Limit:       600,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Writers,
		Effect:      command.Destroys,
	}, func(ctx context.Context, c *command.Call, p *api.DeleteTaskParams) (json.RawMessage, error) {
		defer o.Timers.Look() // for the tasks that depend on it
		return command.Decide(ctx, c, deleteTask, "", deleteArgs(c, string(p.ID)))
	})
}

func deleteArgs(c *command.Call, id string) deleteTaskArgs {
	return deleteTaskArgs{ID: id, Actor: jsontext.Quote(c.Actor("")), Agent: c.Agent()}
}
