package system

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/subscribers"
	"github.com/claudebench/claudebench/internal/taskview"
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
	var at taskview.Checkpoints
	var inPostgres []string
	// An error leaves the checkpoint unknown.
	asking, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	if o.View != nil {
		inPostgres = append(inPostgres, "tasks")
		at.Tasks, _ = o.View.Checkpoint(asking)
	}
	if o.Index != nil {
		var err error
		if at.Events, err = o.Index.Checkpoint(asking); !errors.Is(err, taskview.ErrIndexOff) {
			inPostgres = append(inPostgres, "events")
		}
	}
	reply, err := command.Run(ctx, c, subscribers.Script, "", subscribers.ArgsFor(at))
	if err != nil {
		return nil, err
	}
	result, err := subscribers.Result(reply, inPostgres...)
	if err != nil {
		return nil, err
	}
	return jsontext.Marshal(result)
}
