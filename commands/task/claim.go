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
	"github.com/claudebench/claudebench/lua"
)

type claimTaskArgs struct {
	Key, Digest, Worker string
	Most                int
	Agent               string
}

const (
	// maxClaimed is the maximum number of tasks that a call may claim.
	maxClaimed = 100
	// maxClaimedInLot is the maximum number of tasks that a call may claim if it shares an EVALSHA
	// with other calls. Larger claims have an EVALSHA of their own.
	maxClaimedInLot = 10
)

var (
	claimTask      = lua.Bind[claimTaskArgs]("claim_task")
	claimManyTasks = claimTask.Alone()
)

func claimMethod() (*command.Method, error) {
	return command.New[api.ClaimTaskParams, api.ClaimTaskResult](command.Spec{
		Name: "task.claim",
		Description: "Take tasks to work on: those assigned to the worker first, then the queue's best. Pass the attempt of each " +
			"task to task.complete; it proves the ownership.",
		Limit:       6000,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 10, Open: 30 * time.Second},
		Roles:       command.Writers,
		Effect:      command.Adds,
		LongAnswers: true,
		Refine: func(p map[string]*jsonschema.Schema) {
			p["maxTasks"].Minimum, p["maxTasks"].Maximum = new(1.0), new(float64(maxClaimed))
			params.IdempotencyKey(p["idempotencyKey"])
		},
	}, func(ctx context.Context, c *command.Call, p *api.ClaimTaskParams) (json.RawMessage, error) {
		most := 1
		if p.MaxTasks != nil {
			most = *p.MaxTasks
		}
		key, digest, err := c.Idempotency(p.IdempotencyKey)
		if err != nil {
			return nil, err
		}
		worker := string(p.WorkerID)
		script := claimTask
		if most > maxClaimedInLot {
			script = claimManyTasks
		}
		return command.Decide(ctx, c, script, worker, claimTaskArgs{
			Key: key, Digest: digest, Worker: worker, Most: most, Agent: c.Agent(),
		})
	})
}
