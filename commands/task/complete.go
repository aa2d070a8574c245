package task

import (
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

// CompleteTaskParams are the params of task.complete.
type CompleteTaskParams struct {
	ID             api.TaskID `json:"id,omitempty" jsonschema:"the task to finish; required without taskId"`
	TaskID         api.TaskID `json:"taskId,omitempty" jsonschema:"another name for id"`
	WorkerID       api.ID     `json:"workerId,omitempty" jsonschema:"the instance that must own the task; if left out, any owner is accepted"`
	Attempt        *int       `json:"attempt,omitempty" jsonschema:"the attempt that task.claim returned. It must be the task's current attempt, so a worker that was declared dead cannot finish a task that was claimed again"`
	Result         api.Value  `json:"result,omitempty" jsonschema:"the result of the work; any JSON"`
	Error          api.Value  `json:"error,omitempty" jsonschema:"why the work failed; any JSON. Unless it is null, the task becomes failed instead of completed"`
	IdempotencyKey string     `json:"idempotencyKey,omitempty" jsonschema:"for 24 hours, a call with the same key returns the first answer"`
}

// CompleteTaskResult is the result of task.complete.
type CompleteTaskResult struct {
	ID          api.TaskID `json:"id"`
	Status      string     `json:"status"`
	CompletedAt string     `json:"completedAt"`
}

type completeTaskArgs struct {
	Key, Digest, ID, Worker string
	Attempt                 *int
	Result, Failure         []byte
	Retention               int64 // ms
	Agent                   string
}

// completeDecision returns how task.complete and each item of task.complete_many are decided.
func (o Options) completeDecision() command.Decision[CompleteTaskParams, completeTaskArgs] {
	return command.Decision[CompleteTaskParams, completeTaskArgs]{
		Script: completeTask,
		Prepare: func(c *command.Call, p *CompleteTaskParams) (string, completeTaskArgs, error) {
			id, err := p.task()
			if err != nil {
				return "", completeTaskArgs{}, err
			}
			key, digest, err := c.Idempotency(p.IdempotencyKey)
			worker := string(p.WorkerID)
			return worker, completeTaskArgs{
				Key: key, Digest: digest, ID: string(id), Worker: worker, Attempt: p.Attempt, Result: notNull(p.Result), Failure: notNull(p.Error),
				Retention: o.Retention.Milliseconds(), Agent: c.Agent(),
			}, err
		},
	}
}

var completeTask = lua.Bind[completeTaskArgs]("complete_task")

func refineComplete(p map[string]*jsonschema.Schema) {
	p["attempt"].Minimum, p["attempt"].Maximum = new(0.0), new(float64(jsontext.MaxInteger))
	params.IdempotencyKey(p["idempotencyKey"])
}

func (o Options) completeMethod() (*command.Method, error) {
	return command.New[CompleteTaskParams, CompleteTaskResult](command.Spec{
		Name:        "task.complete",
		Description: "Finish a task that has an owner: as failed if there is an error, else as completed.",
		Limit:       6000,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Writers,
		Effect:      command.Sets,
		// A model must prove that it owns the task: by the worker and the attempt of its claim.
		MCPRequired: []string{"workerId", "attempt"},
		Refine:      refineComplete,
	}, o.completeDecision().One)
}

// task returns the ID of the task to finish, which the params name id or taskId.
func (p *CompleteTaskParams) task() (api.TaskID, error) {
	switch {
	case p.ID == "" && p.TaskID == "":
		return "", api.InvalidParams("id parameter is required (taskId is another name for it)")
	case p.ID == "":
		return p.TaskID, nil
	case p.TaskID != "" && p.TaskID != p.ID:
		return "", api.InvalidParams("taskId parameter must equal id if both are present")
	}
	return p.ID, nil
}

// notNull returns a value, or nil if the value is missing or null.
func notNull(v api.Value) []byte {
	if string(v) == "null" {
		return nil
	}
	return v
}
