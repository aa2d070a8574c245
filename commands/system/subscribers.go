package system

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/subscribers"
)

func (o Options) subscribersMethod() (*command.Method, error) {
	return command.New[api.SubscribersParams, api.SubscribersResult](command.Spec{
		Name: "system.subscribers",
		Description: "List up to 200 readers of the log and its topics with their position and lag: the projections, services with a " +
			"checkpoint in Redis, and consumer groups. Also count the parked events.",
		Limit:   60,
		Timeout: 3 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Readers,
		Hidden:  true, // agents do not read the log
		Effect:  command.Reads,
	}, o.subscribers)
}

func (o Options) subscribers(ctx context.Context, c *command.Call, _ *api.SubscribersParams) (json.RawMessage, error) {
	view := ""
	if o.View != nil {
		asking, cancel := context.WithTimeout(ctx, healthPatience)
		defer cancel()
		if at, err := o.View.Checkpoint(asking); err == nil {
			view = at
		}
	}
	reply, err := command.Run(ctx, c, subscribers.Script, "", subscribers.ArgsFor(view))
	if err != nil {
		return nil, err
	}
	result, err := subscribers.Result(reply, o.View != nil)
	if err != nil {
		return nil, err
	}
	return jsontext.Marshal(result)
}
