package task

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/params"
)

// completeManyMethod returns task.complete_many. single is task.complete.
func (o Options) completeManyMethod(single *command.Method) (*command.Method, error) {
	items, err := params.New[api.CompleteTaskParams](refineComplete)
	if err != nil {
		return nil, err
	}
	decision := o.completeDecision()
	return command.New[api.CompleteManyParams, api.ManyResult[api.CompleteTaskResult]](command.Spec{
		Name: "task.complete_many",
		Description: "Finish up to 1,000 tasks. Each has its own answer and counts as a call of task.complete; one that is rejected " +
			"does not stop the others. To repeat a call safely, give each item an idempotencyKey.",
		CountsAs: single,
		Timeout:  manyTimeout,
		Breaker:  breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:    command.Writers,
		Hidden:   true,
		Effect:   command.Sets,
		Refine:   manyItems("items", items.Schema),
	}, func(ctx context.Context, c *command.Call, p *api.CompleteManyParams) (json.RawMessage, error) {
		return decision.Many(ctx, c, single, items, p.Items)
	})
}
