package schedule

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

type getScheduleArgs struct{ ID string }

var getSchedule = lua.Bind[getScheduleArgs]("get_schedule")

func getMethod() (*command.Method, error) {
	return command.New[api.GetScheduleParams, api.Schedule](command.Spec{
		Name:        "schedule.get",
		Description: "Read a schedule: its next tick, its last one, and the task that it made.",
		Limit:       3000,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Readers,
		Hidden:      true,
		Effect:      command.Reads,
	}, func(ctx context.Context, c *command.Call, p *api.GetScheduleParams) (json.RawMessage, error) {
		if err := answers.Reserve(ctx, 2*maxTask); err != nil {
			return nil, err
		}
		return command.Decide(ctx, c, getSchedule, "", getScheduleArgs{ID: string(p.ID)})
	})
}
