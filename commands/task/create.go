package task

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

type createTaskArgs struct {
	Key, Digest, Text string
	Priority          int
	Metadata          []byte
	Roleset           string
	Creator, Agent    string
	Extras            []byte // JSON of an Extras, empty for a plain task
}

// Extras are what a plain task does not have.
type Extras struct {
	Moment    *int64 `json:"moment,omitempty"`  // when the task becomes claimable, ms since 1970
	Delay     *int   `json:"delay,omitempty"`   // how long until then, ms
	Options   string `json:"options,omitempty"` // JSON object with all defaults
	Retention int64  `json:"retention"`         // how long the finished task is kept, ms
}

var createTask = lua.Bind[createTaskArgs]("create_task")

// createDecision returns how task.create and each item of task.create_many are decided.
func (o Options) createDecision() command.Decision[api.CreateTaskParams, createTaskArgs] {
	return command.Decision[api.CreateTaskParams, createTaskArgs]{
		Script: createTask,
		Prepare: func(c *command.Call, p *api.CreateTaskParams) (string, createTaskArgs, error) {
			extras, err := extrasOf(p)
			if err != nil {
				return "", createTaskArgs{}, err
			}
			var text []byte
			if extras != nil {
				extras.Retention = o.Retention.Milliseconds()
				if text, err = jsontext.Marshal(extras); err != nil {
					return "", createTaskArgs{}, fmt.Errorf("encode the extras of a task: %w", err)
				}
			}
			key, digest, err := c.Idempotency(p.IdempotencyKey)
			return "", createTaskArgs{
				Key: key, Digest: digest, Text: p.Text, Priority: params.Or(p.Priority, params.DefaultPriority), Metadata: p.Metadata,
				Roleset: params.RoleSet(p.Metadata), Creator: c.Caller, Agent: c.Agent(), Extras: text,
			}, err
		},
		After: func(p *api.CreateTaskParams) {
			if p.RunAt != "" || p.DelayMs != nil {
				o.Timers.Look()
			}
		},
		Complete: func(task string) string {
			if members, plain := strings.CutSuffix(task, eventEnd); plain {
				return members + plainEnd
			}
			return task
		},
	}
}

// The payload of task.created of a plain task ends with eventEnd, and its task object with plainEnd.
const (
	eventEnd = `"completedAt":null}`
	plainEnd = `"completedAt":null,"failures":0,"losses":0,"runAt":null,"errors":[],"created":true}`
)

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
