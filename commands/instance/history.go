package instance

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/lua"
)

var readInstanceHistory = lua.Bind[lua.NoArgs]("read_instance_history")

func (o Options) historyMethod() (*command.Method, error) {
	return command.New[api.InstanceHistoryParams, api.EventsResult](command.Spec{
		Name: "instance.history",
		Description: "List the events that concern an instance, with actor and cause, from the index in Postgres: its registrations, what became " +
			"of the tasks that it had, its batches, votes and hooks, and how it left. An instance without events has an empty list.",
		Limit:   600,
		Timeout: 10 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Readers,
		Hidden:  true,
		Effect:  command.Reads,
		Refine:  command.RefineEvents,
	}, o.history)
}

func (o Options) history(ctx context.Context, c *command.Call, p *api.InstanceHistoryParams) (json.RawMessage, error) {
	return command.ReadEvents(ctx, c, readInstanceHistory, o.Index, o.Shares, p.Limit, p.Cursor,
		api.EventQuery{Instance: string(p.ID), Descending: p.Order == "desc"})
}
