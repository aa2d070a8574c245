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

type completeTaskArgs struct {
	Key, Digest, ID, Worker string
	Attempt                 *int
	Result, Failure         []byte
	Retention               int64 // ms
	Agent                   string
	Final, Cancelled        bool
}

// completeDecision returns how task.complete and each item of task.complete_many are decided.
func (o Options) completeDecision() command.Decision[api.CompleteTaskParams, completeTaskArgs] {
	return command.Decision[api.CompleteTaskParams, completeTaskArgs]{
		Script: completeTask,
		Prepare: func(c *command.Call, p *api.CompleteTaskParams) (string, completeTaskArgs, error) {
			id, err := completedTask(p)
			if err != nil {
				return "", completeTaskArgs{}, err
			}
			if p.Cancelled && (notNull(p.Result) != nil || notNull(p.Error) != nil) {
				return "", completeTaskArgs{}, api.InvalidParams("cancelled parameter: it cannot be together with a result or an error")
			}
			key, digest, err := c.Idempotency(p.IdempotencyKey)
			worker := string(p.WorkerID)
			return worker, completeTaskArgs{
				Key: key, Digest: digest, ID: string(id), Worker: worker, Attempt: p.Attempt, Result: notNull(p.Result), Failure: notNull(p.Error),
				Retention: o.Retention.Milliseconds(), Agent: c.Agent(), Final: !params.Or(p.Retryable, true), Cancelled: p.Cancelled,
			}, err
		},
		After: func(p *api.CompleteTaskParams) {
			if notNull(p.Error) != nil {
				o.Timers.Look() // it may be tried again
			}
		},
	}
}

var completeTask = lua.Bind[completeTaskArgs]("complete_task")

func refineComplete(p map[string]*jsonschema.Schema) {
	params.Between(p["attempt"], 0, jsontext.MaxInteger)
	params.IdempotencyKey(p["idempotencyKey"])
}

func (o Options) completeMethod() (*command.Method, error) {
	return command.New[api.CompleteTaskParams, api.CompleteTaskResult](command.Spec{
		Name:        "task.complete",
		Description: "Finish a task that has an owner: as failed if there is an error, else as completed.",
		Limit:       6000,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Writers,
		Effect:      command.Sets,
		// A model must prove that it owns the task: by the worker and the attempt of its claim.
		MCPRequired: []string{"workerId", "attempt"},
		MCPHidden:   []string{"retryable"},
		Refine:      refineComplete,
	}, o.completeDecision().One)
}

// completedTask returns the ID of the task to finish, which the params name id or taskId.
func completedTask(p *api.CompleteTaskParams) (api.TaskID, error) {
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
