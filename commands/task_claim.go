package commands

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// ClaimTaskParams are the params of task.claim.
type ClaimTaskParams struct {
	WorkerID       api.ID `json:"workerId" jsonschema:"the instance that will do the work"`
	MaxTasks       *int   `json:"maxTasks,omitempty" jsonschema:"how many tasks to claim at most; 1 when left out"`
	IdempotencyKey string `json:"idempotencyKey,omitempty" jsonschema:"makes a repeated call answer as the first did, for 24 hours"`
}

// ClaimTaskResult is the result of task.claim; Tasks is there when more than one was asked for.
type ClaimTaskResult struct {
	Claimed bool       `json:"claimed"`
	TaskID  api.TaskID `json:"taskId,omitempty"`
	Task    *api.Task  `json:"task,omitempty"`
	Tasks   []api.Task `json:"tasks,omitempty"`
}

var claimTask = lua.Named("claim_task")

func taskClaim() (*Method, error) {
	return method[ClaimTaskParams, ClaimTaskResult](spec{
		name: "task.claim",
		description: "Take tasks to work on: those assigned to the worker first, then the queue's best. The attempt in each is " +
			"the proof of ownership to give to task.complete.",
		limit:   6000,
		timeout: 5 * time.Second,
		breaker: Breaker{Failures: 10, Open: 30 * time.Second},
		roles:   writers,
		effect:  Adds,
		refine: func(p map[string]*jsonschema.Schema) {
			p["maxTasks"].Minimum, p["maxTasks"].Maximum = new(1.0), new(10.0)
			refineKey(p["idempotencyKey"])
		},
	}, func(ctx context.Context, c *call, p *ClaimTaskParams) (json.RawMessage, error) {
		most := 1
		if p.MaxTasks != nil {
			most = *p.MaxTasks
		}
		key, digest, err := c.once(p.IdempotencyKey)
		if err != nil {
			return nil, err
		}
		worker := string(p.WorkerID)
		return c.decide(ctx, claimTask, worker, key, digest, worker, most, c.agent())
	})
}
