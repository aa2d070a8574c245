package task

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/params"
)

// maxMany is the maximum number of items in a call of task.create_many or task.complete_many.
const maxMany = 1000

// manyTimeout is the timeout of a call with up to maxMany items. On an idle coordinator maxMany
// items take about 20 ms.
const manyTimeout = 15 * time.Second

// createManyMethod returns task.create_many. single is task.create.
func createManyMethod(single *command.Method, decision command.Decision[api.CreateTaskParams, createTaskArgs]) (*command.Method, error) {
	items, err := params.New[api.CreateTaskParams](refineCreate)
	if err != nil {
		return nil, err
	}
	hidden := make([]string, len(createHidden))
	for i, name := range createHidden {
		hidden[i] = "tasks." + name
	}
	return command.New[api.CreateManyParams, api.ManyResult[api.Task]](command.Spec{
		Name: "task.create_many",
		Description: "Create up to 1,000 tasks. Each has its own answer and counts as a call of task.create; one that is rejected " +
			"does not stop the others. To repeat a call safely, give each task an idempotencyKey.",
		CountsAs:  single,
		Timeout:   manyTimeout,
		Breaker:   breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:     command.Writers,
		Effect:    command.Adds,
		MCPHidden: hidden,
		Refine:    manyItems("tasks", items.Schema),
	}, func(ctx context.Context, c *command.Call, p *api.CreateManyParams) (json.RawMessage, error) {
		return decision.Many(ctx, c, single, items, p.Tasks)
	})
}

// manyItems returns a Refine function that bounds the number of items in a member and sets their
// schema.
func manyItems(member string, item *jsonschema.Schema) func(map[string]*jsonschema.Schema) {
	return func(p map[string]*jsonschema.Schema) {
		p[member].MinItems, p[member].MaxItems = new(1), new(maxMany)
		p[member].Items = item
	}
}
