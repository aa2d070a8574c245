package task

import (
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

type createTaskArgs struct {
	Key, Digest, Text string
	Priority          int
	Metadata          []byte
	Roleset           string
	Creator, Agent    string
	Moment            *int64 // ms since 1970
	Delay             *int   // ms
	Options           []byte // JSON
	Retention         int64  // ms
}

var createTask = lua.Bind[createTaskArgs]("create_task")

// createDecision returns how task.create and each item of task.create_many are decided.
func (o Options) createDecision() command.Decision[api.CreateTaskParams, createTaskArgs] {
	return command.Decision[api.CreateTaskParams, createTaskArgs]{
		Script: createTask,
		Prepare: func(c *command.Call, p *api.CreateTaskParams) (string, createTaskArgs, error) {
			at, options, err := optionsOf(p)
			if err != nil {
				return "", createTaskArgs{}, err
			}
			key, digest, err := c.Idempotency(p.IdempotencyKey)
			return "", createTaskArgs{
				Key: key, Digest: digest, Text: p.Text, Priority: params.Or(p.Priority, params.DefaultPriority), Metadata: p.Metadata,
				Roleset: params.RoleSet(p.Metadata), Creator: c.Caller, Agent: c.Agent(), Moment: at, Delay: p.DelayMs, Options: options,
				Retention: o.Retention.Milliseconds(),
			}, err
		},
		After: func(p *api.CreateTaskParams) {
			if p.RunAt != "" || p.DelayMs != nil {
				o.Timers.Look()
			}
		},
	}
}

func refineCreate(p map[string]*jsonschema.Schema) {
	params.Text(p["text"])
	params.Priority(p["priority"])
	params.Metadata(p["metadata"])
	params.IdempotencyKey(p["idempotencyKey"])
	refineOptions(p)
}

// createHidden are the params that models do not need often enough to read about them with each list
// of tools.
var createHidden = []string{
	"runAt", "delayMs", "retry", "timeoutMs", "dependsOn", "onDependencyFailure", "uniqueKey", "limitKey",
}

func createMethod(decision command.Decision[api.CreateTaskParams, createTaskArgs]) (*command.Method, error) {
	return command.New[api.CreateTaskParams, api.Task](command.Spec{
		Name:        "task.create",
		Description: "Create a task. It waits in a queue until it is claimed or assigned, the highest priority first.",
		Limit:       6000,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Writers,
		Effect:      command.Adds,
		MCPHidden:   createHidden,
		Refine:      refineCreate,
	}, decision.One)
}
