package event

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

type getEventArgs struct{ Seq int64 }

var getEvent = lua.Bind[getEventArgs]("get_event")

func getMethod() (*command.Method, error) {
	return command.New[api.GetEventParams, api.RecentEvent](command.Spec{
		Name:        "event.get",
		Description: "Read an event of the log by its seq.",
		Limit:       600,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Readers,
		Hidden:      true,
		Effect:      command.Reads,
		Refine: func(p map[string]*jsonschema.Schema) {
			params.Between(p["seq"], 1, jsontext.MaxInteger)
		},
	}, func(ctx context.Context, c *command.Call, p *api.GetEventParams) (json.RawMessage, error) {
		if err := answers.Reserve(ctx, command.MaxEvent); err != nil {
			return nil, err
		}
		return command.Decide(ctx, c, getEvent, "", getEventArgs{Seq: p.Seq})
	})
}
