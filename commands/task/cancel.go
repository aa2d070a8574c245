package task

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

type cancelTaskArgs struct {
	ID        string
	Reason    []byte // JSON
	Grace     int64  // ms
	Actor     []byte // JSON
	Retention int64  // ms
	Agent     string
	Statuses  string // one of which the task must have; "" for any
}

var cancelTask = lua.Bind[cancelTaskArgs]("cancel_task")

const (
	defaultGrace = 30 * time.Second
	maxGrace     = 24 * time.Hour
	maxReason    = 500 // characters
)

func (o Options) cancelMethod() (*command.Method, error) {
	return command.New[api.CancelTaskParams, api.CancelTaskResult](command.Spec{
		Name: "task.cancel",
		Description: "Call a task off. One that is not claimed is cancelled at once; the worker of a claimed one is told, and has graceMs to " +
			"end it.",
		Limit:   6000,
		Timeout: 5 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Writers,
		Hidden:  true,
		Effect:  command.Sets,
		Refine:  refineCancel,
	}, func(ctx context.Context, c *command.Call, p *api.CancelTaskParams) (json.RawMessage, error) {
		defer o.Timers.Look() // for the tasks that depend on it
		return command.Decide(ctx, c, cancelTask, "", o.cancelArgs(c, string(p.ID), p.Reason, p.GraceMs))
	})
}

func refineCancel(p map[string]*jsonschema.Schema) {
	p["reason"].MaxLength = new(maxReason)
	params.Between(p["graceMs"], 0, float64(maxGrace.Milliseconds()))
}

func (o Options) cancelArgs(c *command.Call, id string, reason *string, grace *int) cancelTaskArgs {
	return cancelTaskArgs{
		ID: id, Reason: quoted(reason), Grace: int64(params.Or(grace, int(defaultGrace.Milliseconds()))),
		Actor: jsontext.Quote(c.Actor("")), Retention: o.Retention.Milliseconds(), Agent: c.Agent(),
	}
}

// quoted returns a text as JSON, null for none.
func quoted(text *string) []byte {
	if text == nil {
		return []byte("null")
	}
	return jsontext.Quote(*text)
}
