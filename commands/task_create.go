package commands

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// CreateTaskParams are the params of task.create.
type CreateTaskParams struct {
	Text           string     `json:"text" jsonschema:"what is to be done"`
	Priority       *int       `json:"priority,omitempty" jsonschema:"the highest first; 50 when left out"`
	Metadata       api.Object `json:"metadata,omitempty" jsonschema:"whatever the task needs; roles (array of strings) are those a worker must have"`
	IdempotencyKey string     `json:"idempotencyKey,omitempty" jsonschema:"makes a repeated call answer as the first did, for 24 hours"`
}

var createTask = lua.Named("create_task")

func taskCreate() (*Method, error) {
	return method[CreateTaskParams, api.Task](spec{
		name:        "task.create",
		description: "Create a task. It waits in the queue until it is claimed or assigned, the highest priority first.",
		limit:       6000,
		timeout:     5 * time.Second,
		breaker:     Breaker{Failures: 5, Open: 30 * time.Second},
		roles:       writers,
		effect:      Adds,
		refine: func(p map[string]*jsonschema.Schema) {
			refineText(p["text"])
			refinePriority(p["priority"])
			refineMetadata(p["metadata"])
			refineKey(p["idempotencyKey"])
		},
	}, func(ctx context.Context, c *call, p *CreateTaskParams) (json.RawMessage, error) {
		priority := defaultPriority
		if p.Priority != nil {
			priority = *p.Priority
		}
		key, digest, err := c.once(p.IdempotencyKey)
		if err != nil {
			return nil, err
		}
		return c.decide(ctx, createTask, "", key, digest, p.Text, priority, []byte(p.Metadata), roleset(p.Metadata), c.Caller)
	})
}
