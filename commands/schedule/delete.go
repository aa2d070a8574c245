package schedule

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

type deleteScheduleArgs struct {
	ID    string
	Actor []byte // JSON
}

var deleteSchedule = lua.Bind[deleteScheduleArgs]("delete_schedule")

func deleteMethod() (*command.Method, error) {
	return command.New[api.DeleteScheduleParams, api.DeleteScheduleResult](command.Spec{
		Name:        "schedule.delete",
		Description: "Delete a schedule. The tasks that it has made stay.",
		Limit:       300,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Operators,
		Hidden:      true,
		Effect:      command.Destroys,
	}, func(ctx context.Context, c *command.Call, p *api.DeleteScheduleParams) (json.RawMessage, error) {
		return command.Decide(ctx, c, deleteSchedule, "", deleteScheduleArgs{ID: string(p.ID), Actor: jsontext.Quote(c.Actor(""))})
	})
}
