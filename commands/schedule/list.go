package schedule

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

const (
	defaultListed = 100
	maxListed     = 500
	// maxPage is the maximum size of a page in bytes: the script ends it after 1 MiB.
	maxPage = 1<<20 + 2*maxTask
)

type listSchedulesArgs struct {
	After string
	Most  int
}

var listSchedules = lua.Bind[listSchedulesArgs]("list_schedules")

func listMethod() (*command.Method, error) {
	return command.New[api.ListSchedulesParams, api.ListSchedulesResult](command.Spec{
		Name:        "schedule.list",
		Description: "List the schedules, in the order of their ids. The list comes from Redis and has every schedule that was put before the call.",
		Limit:       600,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Readers,
		Hidden:      true,
		Effect:      command.Reads,
		Refine: func(p map[string]*jsonschema.Schema) {
			params.Between(p["limit"], 1, maxListed)
		},
	}, func(ctx context.Context, c *command.Call, p *api.ListSchedulesParams) (json.RawMessage, error) {
		if err := answers.Reserve(ctx, maxPage); err != nil {
			return nil, err
		}
		return command.Decide(ctx, c, listSchedules, "", listSchedulesArgs{After: string(p.Cursor), Most: params.Or(p.Limit, defaultListed)})
	})
}
